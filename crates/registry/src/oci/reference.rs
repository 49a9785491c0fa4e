//! References to charts in registries: `host[:port]/path/name[:tag][@digest]`.

use crate::url::{Url, quoted};
use crate::{Error, Result};

/// The scheme of references, with its separator.
pub const SCHEME: &str = "oci://";

/// Whether a text is to be taken as a reference to a registry.
pub fn is_oci(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// A reference in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and port of the registry.
    pub registry: String,
    /// Path of the repository.
    pub repository: String,
    /// The tag, a `+` in it already turned into `_`; empty when there is none.
    pub tag: String,
    /// The digest, with its algorithm; empty when there is none.
    pub digest: String,
}

impl Reference {
    /// Reads a reference, with or without the scheme. The tag of a reference with a digest is kept, as Helm does.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Reference> {
        let invalid = |why: String| Error::Invalid(format!("invalid reference: {why}"));
        let raw = text.strip_prefix(SCHEME).unwrap_or(text);
        let (raw, digest) = raw.rsplit_once('@').map_or((raw, ""), |(name, digest)| (name, digest));
        let Some((registry, path)) = raw.split_once('/') else {
            return Err(invalid("missing registry or repository".into()));
        };
        let (repository, tag) = path.split_once(':').map_or((path, ""), |(repository, tag)| (repository, tag));
        let tag = tag.replace('+', "_");
        let host_ok =
            Url::parse(&format!("dummy://{registry}")).is_ok_and(|url| url.host == registry && url.path.is_empty());
        if registry.is_empty() || !host_ok {
            return Err(invalid(format!("invalid registry {}", quoted(registry))));
        }
        if !is_repository(repository) {
            return Err(invalid(format!("invalid repository {}", quoted(repository))));
        }
        if !tag.is_empty() && !is_tag(&tag) {
            return Err(invalid(format!("invalid tag {}", quoted(&tag))));
        }
        if !digest.is_empty() && !is_digest(digest) {
            return Err(invalid(format!("invalid digest {}", quoted(digest))));
        }
        Ok(Reference { registry: registry.into(), repository: repository.into(), tag, digest: digest.into() })
    }

    /// The host that is asked, which for Docker Hub is another than the one that is written.
    pub fn host(&self) -> &str {
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }

    /// What the manifest is asked for by: the tag, else the digest; empty when there is neither.
    pub fn manifest(&self) -> &str {
        if self.tag.is_empty() { &self.digest } else { &self.tag }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (self.tag.as_str(), self.digest.as_str()) {
            ("", "") => Ok(()),
            ("", digest) => write!(f, "@{digest}"),
            (tag, _) => write!(f, ":{tag}"),
        }
    }
}

/// Lower-case words and numbers, joined by `.`, `_`, `__` or dashes, in segments joined by `/`.
fn is_repository(text: &str) -> bool {
    text.split('/').all(|segment| {
        let bytes = segment.as_bytes();
        let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let joints = segment.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let joints_ok =
            joints.filter(|j| !j.is_empty()).all(|j| matches!(j, "." | "_" | "__") || j.bytes().all(|b| b == b'-'));
        bytes.first().is_some_and(word) && bytes.last().is_some_and(word) && joints_ok
    })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// Only SHA-256 is taken: it is what every registry of charts uses, and all that this crate verifies.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let hex = "a".repeat(64);
        let cases = [
            (
                "oci://localhost:5000/charts/app:1.2.3+build.4",
                "localhost:5000",
                "charts/app",
                "1.2.3_build.4",
                String::new(),
            ),
            ("ghcr.io/o/app", "ghcr.io", "o/app", "", String::new()),
            (&format!("h/a_b/c--d@sha256:{hex}"), "h", "a_b/c--d", "", format!("sha256:{hex}")),
            (&format!("h/a:1@sha256:{hex}"), "h", "a", "1", format!("sha256:{hex}")),
        ];
        for (text, registry, repository, tag, digest) in cases {
            let reference = Reference::parse(text).unwrap();
            let found = (&*reference.registry, &*reference.repository, &*reference.tag, &reference.digest);
            assert_eq!(found, (registry, repository, tag, &digest), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, why) in [
            ("app", "invalid reference: missing registry or repository"),
            ("h/App", "invalid reference: invalid repository \"App\""),
            ("h/a..b", "invalid reference: invalid repository \"a..b\""),
            ("h/a/", "invalid reference: invalid repository \"a/\""),
            ("h/a:-x", "invalid reference: invalid tag \"-x\""),
            ("h x/a", "invalid reference: invalid registry \"h x\""),
            ("h/a@sha256:zz", "invalid reference: invalid digest \"sha256:zz\""),
        ] {
            assert_eq!(Reference::parse(text).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn docker_hub_answers_elsewhere() {
        assert_eq!(Reference::parse("docker.io/library/x:1").unwrap().host(), "registry-1.docker.io");
    }
}
