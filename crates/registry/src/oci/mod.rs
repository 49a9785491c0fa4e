//! Charts in OCI registries: the distribution protocol, as far as charts need it.

mod answer;
mod authorize;
mod challenge;
mod client;
mod login;
mod manifest;
mod pull;
mod push;
mod reference;
mod tags;

pub use client::{Client, Options};
pub use login::{Login, login, logout};
pub use manifest::{Descriptor, Manifest, annotations, media_type};
pub use pull::{Layers, Located, Pulled};
pub use push::{Package, Pushed, package};
pub use reference::{Reference, SCHEME, is_oci};
pub use tags::{matching_tag, version_tags};

/// `sha256:` and the digest of `data` in hexadecimal.
pub fn digest(data: &[u8]) -> String {
    format!("sha256:{}", crate::sha256_hex(data))
}
