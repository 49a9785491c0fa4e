//! The crate against servers in this process, and against what real Helm wrote in the same situations (`tests/data`).

mod dependencies;
mod fake_registry;
mod helpers_of_docker;
mod index_files;
mod lock_files;
mod parsers;
mod place;
mod registries;
mod repositories;
mod server;
mod tls;
