//! What is asked for: the variables `PAYLOAD_*`.

use super::credentials::Credentials;
use super::reference::Reference;
use crate::error::{NodeError, Result};
use crate::network::Network;
use crate::settings::FileText;
use contract::Code;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the image that the container was started from, as upstream's charts have it.
    Image,
    /// In a directory of upstream's layout.
    Directory(PathBuf),
    /// In an archive, a path of the container.
    File(PathBuf),
    /// In an archive on a web server.
    Url(String),
    /// In an OCI image, to be fetched from its registry.
    Registry(Reference),
}

/// Everything that is said of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadWish {
    /// Where it is.
    pub place: Place,
    /// The archive's SHA-256, lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Registries to ask instead: by registry, in order; each a host, or a URL with a path before the repository's name.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// What registries are shown.
    pub credentials: Credentials,
    /// How servers are reached.
    pub network: Network,
}

impl PayloadWish {
    /// Reads the variables: `PAYLOAD_SOURCE` (nothing, a path, an `https://` URL of an archive, `oci://` and an image),
    /// `PAYLOAD_SHA256`, `PAYLOAD_MIRRORS` (`quay.io=mirror.example:5000/quay,other.example;docker.io=…`) and
    /// `PAYLOAD_PULL_SECRET` (a Docker configuration, or the path of one).
    ///
    /// # Errors
    /// [`Code::BAD_SETTINGS`] for one that cannot be meant.
    pub fn read(get: &dyn Fn(&str) -> Option<String>, file: FileText) -> Result<PayloadWish> {
        let place = match get("PAYLOAD_SOURCE") {
            None => Place::Image,
            Some(text) => place(&text)?,
        };
        let sha256 = get("PAYLOAD_SHA256").map(|sum| sum.trim_start_matches("sha256:").to_ascii_lowercase());
        if let Some(sum) = sha256.as_ref().filter(|sum| !is_sha256(sum)) {
            return Err(bad(format!("PAYLOAD_SHA256 `{sum}` is not a SHA-256 of 64 hexadecimal digits")));
        }
        match (&place, &sha256) {
            (Place::Url(url), None) if url.starts_with("http:") => {
                return Err(bad(format!("{url} is not fetched over https: PAYLOAD_SHA256 is needed too")));
            }
            (Place::Registry(_), Some(_)) => {
                return Err(bad("PAYLOAD_SHA256 is for archives; an image is pinned by `@sha256:…` in its name"));
            }
            _ => {}
        }
        let credentials = match get("PAYLOAD_PULL_SECRET") {
            None => Credentials::default(),
            // a Secret that becomes environment variables has the text itself
            Some(text) if text.starts_with('{') => {
                Credentials::parse(&text).map_err(|why| bad(format!("PAYLOAD_PULL_SECRET: {why}")))?
            }
            Some(path) => {
                let text = file(&path).ok_or_else(|| bad(format!("PAYLOAD_PULL_SECRET {path} cannot be read")))?;
                Credentials::parse(&text).map_err(|why| bad(format!("PAYLOAD_PULL_SECRET {path}: {why}")))?
            }
        };
        let mirrors = mirrors(&get("PAYLOAD_MIRRORS").unwrap_or_default())?;
        Ok(PayloadWish { place, sha256, mirrors, credentials, network: Network::read(get, file) })
    }
}

fn place(text: &str) -> Result<Place> {
    if let Some(reference) = text.strip_prefix("oci://") {
        return Reference::parse(reference).map(Place::Registry).map_err(|why| bad(format!("PAYLOAD_SOURCE: {why}")));
    }
    if text.starts_with("https://") || text.starts_with("http://") {
        let uri: http::Uri = text.parse().map_err(|error| bad(format!("PAYLOAD_SOURCE `{text}`: {error}")))?;
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            return Err(bad("PAYLOAD_SOURCE must be a URL with a host and without a password"));
        }
        return Ok(Place::Url(text.to_owned()));
    }
    if text.contains("://") {
        return Err(bad(format!(
            "PAYLOAD_SOURCE is `{text}`; it can be a path, an https:// URL or oci:// and an image"
        )));
    }
    let path = PathBuf::from(text);
    let archive = [".tar", ".tar.zst", ".tzst", ".tar.gz", ".tgz"].iter().any(|ending| text.ends_with(ending));
    Ok(if archive { Place::File(path) } else { Place::Directory(path) })
}

fn mirrors(text: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (registry, list) = item
            .split_once('=')
            .filter(|(registry, list)| !registry.trim().is_empty() && !list.trim().is_empty())
            .ok_or_else(|| bad(format!("PAYLOAD_MIRRORS has `{item}`; entries look like `registry=mirror,mirror`")))?;
        let list: Vec<String> = list
            .split(',')
            .map(|mirror| mirror.trim().trim_end_matches('/').to_owned())
            .filter(|m| !m.is_empty())
            .collect();
        all.insert(registry.trim().to_owned(), list);
    }
    Ok(all)
}

/// Whether a text is a SHA-256 in lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn bad(message: impl Into<String>) -> NodeError {
    NodeError::new(Code::BAD_SETTINGS, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<PayloadWish> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        PayloadWish::read(&get, &|path| (path == "/auth.json").then(|| "{\"auths\":{}}".to_owned()))
    }

    #[test]
    fn places_are_told_by_their_form() {
        let of = |text: &str| read(&[("PAYLOAD_SOURCE", text)]).unwrap().place;
        assert_eq!(read(&[]).unwrap().place, Place::Image);
        assert_eq!(of("/srv/payload"), Place::Directory("/srv/payload".into()));
        assert_eq!(of("/srv/payload.tar.zst"), Place::File("/srv/payload.tar.zst".into()));
        assert_eq!(of("https://m/p.tar.gz"), Place::Url("https://m/p.tar.gz".into()));
        assert!(matches!(of("oci://quay.io/kata-containers/kata-deploy:4.1.0"), Place::Registry(_)));
    }

    #[test]
    fn nonsense_is_refused() {
        for variables in [
            &[("PAYLOAD_SOURCE", "ftp://m/p")][..],
            &[("PAYLOAD_SOURCE", "http://m/p.tar")],
            &[("PAYLOAD_SOURCE", "https://u:p@m/p.tar")],
            &[("PAYLOAD_SOURCE", "oci://")],
            &[("PAYLOAD_SOURCE", "/p.tar"), ("PAYLOAD_SHA256", "abc")],
            &[("PAYLOAD_MIRRORS", "quay.io")],
            &[("PAYLOAD_PULL_SECRET", "/nowhere")],
        ] {
            assert_eq!(read(variables).unwrap_err().code, Code::BAD_SETTINGS, "{variables:?}");
        }
    }
}
