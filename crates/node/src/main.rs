//! The installer of one node as a program of its own; the same code is in the `husk` binary.

fn main() -> std::process::ExitCode {
    node::main(std::env::args_os())
}
