//! Compiles the crate again when a page is added or removed; `include_dir` alone notices only changes of files that it knows.

#![allow(clippy::print_stdout, reason = "it is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../docs");
    println!("cargo::rerun-if-changed=build.rs");
}
