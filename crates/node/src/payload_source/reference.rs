//! The name of an image: registry, repository, tag, digest.

use super::wish::is_sha256;
use std::fmt;

/// An image's name, such as `quay.io/kata-containers/kata-deploy:4.1.0@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, with its port where it has one.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag; it does not count when there is a digest.
    pub tag: Option<String>,
    /// The manifest's SHA-256, hexadecimal.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a name. As everywhere, one without a host is Docker Hub's.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Reference, String> {
        let wrong = |why: &str| Err(format!("`{text}` is not the name of an image: {why}"));
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => match digest.strip_prefix("sha256:").filter(|sum| is_sha256(sum)) {
                Some(sum) => (rest, Some(sum.to_owned())),
                None => return wrong("a digest is `sha256:` and 64 hexadecimal digits"),
            },
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].split_once(':') {
            None => (rest, None),
            Some((last, tag)) => (&rest[..slash + last.len()], Some(tag.to_owned())),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let part = |text: &str, more: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.bytes().any(|m| m == byte))
        };
        if name.is_empty() || !repository.split('/').all(|piece| part(piece, "._-") && !piece.starts_with('.')) {
            return wrong("a repository is made of letters, digits and `._-/`");
        }
        if !part(registry, ".-:[]") {
            return wrong("its registry is not a host");
        }
        if tag.as_deref().is_some_and(|tag| !part(tag, "._-") || tag.len() > 128) {
            return wrong("its tag has characters that no tag has");
        }
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }

    /// What the registry is asked for.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_everybody_reads_them() {
        let sum = "ab".repeat(32);
        let pinned = format!("m.example:5000/a/b:v1@sha256:{sum}");
        for (text, registry, repository, wanted) in [
            ("quay.io/kata-containers/kata-deploy:4.1.0", "quay.io", "kata-containers/kata-deploy", "4.1.0"),
            ("localhost:5000/x", "localhost:5000", "x", "latest"),
            ("busybox", "docker.io", "library/busybox", "latest"),
            ("kata/payload", "docker.io", "kata/payload", "latest"),
            (&pinned, "m.example:5000", "a/b", &format!("sha256:{sum}")),
        ] {
            let found = Reference::parse(text).unwrap();
            assert_eq!(
                (found.registry.as_str(), found.repository.as_str(), found.wanted().as_str()),
                (registry, repository, wanted)
            );
        }
        assert_eq!(Reference::parse(&pinned).unwrap().to_string(), pinned);
        for bad in ["", "a b", "x/../y.io", "q.io/a:b c", "q.io/a@sha256:12", "q.io/a@md5:12", "http://x/y", "q.io/"] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
