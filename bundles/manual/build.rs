//! Has the crate compiled again when a page comes or goes; `include_dir` alone sees only changes of those that it knows.

#![allow(clippy::print_stdout, reason = "it is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../docs");
    println!("cargo::rerun-if-changed=build.rs");
}
