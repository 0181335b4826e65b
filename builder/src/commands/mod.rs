//! What each command does, in the order of its steps.

pub mod build;
pub mod cat;
pub mod composed;
pub mod config;
pub mod documentation;
pub mod dry_run;
pub mod export;
pub mod extract;
pub mod input;
pub mod inspect;
pub mod join;
pub mod keygen;
pub mod keys;
pub mod layout;
pub mod lock;
pub mod provenance;
pub mod repair;
pub mod reproduce;
pub mod sign;
pub mod source;
pub mod split;
pub mod subset;
pub mod unpack;
pub mod verify;
