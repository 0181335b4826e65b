//! What each command does, in the order of its steps.

pub mod build;
pub mod documentation;
pub mod inspect;
pub mod keygen;
pub mod keys;
pub mod lock;
pub mod sign;
pub mod source;
pub mod verify;
