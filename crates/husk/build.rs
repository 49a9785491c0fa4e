//! The charts are embedded: a change of theirs is a change of the binary.

fn main() {
    println!("cargo:rerun-if-changed=../../charts");
}
