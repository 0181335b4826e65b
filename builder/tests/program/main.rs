//! Tests of the program `kbundle` as a whole, against a small upstream on loopback.

mod cli;
mod fetch;
mod server;
mod upstream;
