//! Where charts come from.
//!
//! Helm knows two kinds of places, and so does this crate. A *chart repository* ([`repository`]) is a web server with an
//! `index.yaml` that lists charts and where their archives are; the ones that a user has added stand in
//! `repositories.yaml`. A *registry* ([`oci`]) keeps charts as container registries keep images; who the user is there is
//! written in Docker's `config.json` or known to a helper program ([`credentials`]). [`download`] turns whatever a user
//! calls a chart into a verified archive, by way of a cache ([`cache`]), and [`dependency`] fills a chart's `charts/`
//! directory from its `Chart.yaml` or `Chart.lock`.
//!
//! All files have Helm's names and forms ([`Paths`]), so both programs can be used side by side. What was received is
//! checked against its digest whenever there is one, and everything is bounded: sizes, redirects, times.
//!
//! Nothing here prints: what a user may want to see goes through [`Notify`]. Nothing here renders, signs or verifies
//! signatures: what charts are is the business of the chart room, which callers pass in where it is needed.

pub mod cache;
pub mod credentials;
pub mod dependency;
pub mod download;
mod error;
mod files;
mod go_text;
pub mod http;
mod notice;
pub mod oci;
mod paths;
pub mod repository;
pub mod url;

pub use error::{Error, Result};
pub use notice::{Notice, Notify};
pub use paths::Paths;

/// No index is larger than this, in bytes: four times as much as the largest public ones.
pub const MAX_INDEX: u64 = 100 << 20;
/// No index in JSON is larger than this, in bytes. It is taken apart as a whole, which takes ten times as much memory.
pub const MAX_JSON_INDEX: u64 = 16 << 20;
/// No packaged chart is larger than this, in bytes: as much as a chart may hold when it is unpacked.
pub const MAX_ARCHIVE: u64 = chart::load::MAX_UNPACKED;
/// No provenance file and no chart's metadata is larger than this, in bytes.
pub const MAX_PROVENANCE: u64 = 4 << 20;

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256_hex(data: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(data))
}
