//! The whole product on the sandbox: the binary as a user calls it.

mod bad_input;
mod command_line;
mod crash;
mod faults;
mod golden_lives;
mod harness;
mod helm_transcript;
mod host_roots;
mod kubectl;
mod plain_objects;
mod rights;
mod servers;
mod up_and_down;
mod values_files;
