//! The charts are embedded: a change of theirs is a change of the binary. And the program has a fixed address.

fn main() {
    println!("cargo:rerun-if-changed=../../charts");
    // Sixty thousand pointers of a movable program are written anew whenever it starts: half the time of a short command, and
    // two mebibytes. Stack, heap and libraries keep their random addresses. Programs without glibc are linked otherwise.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
