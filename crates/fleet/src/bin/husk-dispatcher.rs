//! The dispatcher's own binary; all of it is [`fleet::cli`].

fn main() -> std::process::ExitCode {
    fleet::cli::main(std::env::args_os())
}
