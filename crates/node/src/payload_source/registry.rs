//! The distribution protocol, as far as pulling one image needs it: manifests and layers, by digest, with a token where one is
//! asked for.

use super::credentials::Secret;
use super::reference::Reference;
use super::wish::{PayloadWish, is_sha256};
use super::{MOST_BYTES, corrupt, not_fetched};
use crate::download::{Ask, Download, Head};
use crate::error::{NodeError, Result};
use crate::host::Host;
use crate::network::Network;
use crate::shim::Arch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::Code;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;

/// Bytes of a manifest or a token.
const MOST_METADATA: u64 = 4 << 20;
/// Layers of an image.
const MOST_LAYERS: usize = 128;
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its SHA-256, hexadecimal.
    pub(super) sha256: String,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// An image's layers, the lowest first, and the digest that names it.
pub(super) struct Found {
    pub(super) digest: String,
    pub(super) layers: Vec<Layer>,
}

/// A registry that has the image, and what it wants to be shown.
#[derive(Clone)]
pub(super) struct Registry {
    /// `https://host/v2/repository`.
    base: String,
    authorization: Option<HeaderValue>,
    secret: Option<Secret>,
    trusted: String,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.base)
    }
}

/// Finds an image at the first mirror that has it, or at its own registry. `say` hears of mirrors that do not.
///
/// # Errors
/// [`Code::PAYLOAD_NOT_FETCHED`] when nobody has it, [`Code::PAYLOAD_CORRUPT`] when a manifest is not what its digest says,
/// [`Code::PAYLOAD_MISSING`] when it is not for this architecture.
pub(super) fn find(
    wish: &PayloadWish,
    reference: &Reference,
    host: &Host,
    arch: Arch,
    say: &dyn Fn(&str),
) -> Result<(Registry, Found)> {
    let own = match reference.registry.as_str() {
        "docker.io" => "registry-1.docker.io".to_owned(),
        other => other.to_owned(),
    };
    let mirrors = wish.mirrors.get(&reference.registry).or_else(|| wish.mirrors.get("*"));
    let places: Vec<&String> = mirrors.into_iter().flatten().chain([&own]).collect();
    let mut last = NodeError::new(Code::PAYLOAD_NOT_FETCHED, String::new());
    for (number, place) in places.iter().enumerate() {
        match try_one(wish, reference, place, host, arch) {
            Ok(found) => return Ok(found),
            // another registry cannot cure these
            Err(error) if matches!(error.code, Code::PAYLOAD_MISSING | Code::BAD_SETTINGS) => return Err(error),
            Err(error) => last = error,
        }
        if number + 1 < places.len() {
            say(&format!("{}; asking the next one", last.message));
        }
    }
    Err(last)
}

fn try_one(
    wish: &PayloadWish,
    reference: &Reference,
    place: &str,
    host: &Host,
    arch: Arch,
) -> Result<(Registry, Found)> {
    let (scheme, rest) = match place.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => {
            let message = format!("PAYLOAD_MIRRORS has `{place}`; a mirror is a host or an http(s) URL");
            return Err(NodeError::new(Code::BAD_SETTINGS, message));
        }
        None if is_local(place) => ("http", place),
        None => ("https", place),
    };
    let (authority, prefix) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("{p}/")));
    let name = format!("{authority}/{prefix}{}", reference.repository);
    let failed = |why: String| not_fetched(&name, &why);
    let mut registry = Registry {
        base: format!("{scheme}://{authority}/v2/{prefix}{}", reference.repository),
        authorization: None,
        secret: wish
            .credentials
            .of(authority)
            .or_else(|| wish.credentials.of(&reference.registry).filter(|_| authority == "registry-1.docker.io"))
            .cloned(),
        trusted: wish.network.trusted(host, scheme == "https").map_err(failed)?,
    };
    let (digest, text) = registry.manifest(&reference.wanted(), &wish.network, &name)?;
    let manifest: Manifest = parse(&text, &name)?;
    if manifest.manifests.is_empty() {
        return Ok((registry, Found { digest, layers: layers(&manifest, &name)? }));
    }
    let fits = |entry: &&Entry| {
        entry.platform.as_ref().is_some_and(|platform| platform.os == "linux" && platform.architecture == go_name(arch))
    };
    let entry = manifest.manifests.iter().find(fits).ok_or_else(|| {
        let there: Vec<&str> =
            manifest.manifests.iter().filter_map(|e| e.platform.as_ref()).map(|p| p.architecture.as_str()).collect();
        let message = format!("the payload {name} is not there for {arch}; it is for {}", there.join(", "));
        NodeError::new(Code::PAYLOAD_MISSING, message)
    })?;
    let (digest, text) = registry.manifest(&entry.digest, &wish.network, &name)?;
    let manifest = parse(&text, &name)?;
    Ok((registry, Found { digest, layers: layers(&manifest, &name)? }))
}

/// As container tools do it: what runs on this machine speaks no TLS.
fn is_local(place: &str) -> bool {
    let host = place.split('/').next().unwrap_or(place);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
        Arch::S390x => "s390x",
        Arch::Ppc64le => "ppc64le",
    }
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(default)]
    layers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

fn parse(text: &[u8], name: &str) -> Result<Manifest> {
    serde_json::from_slice(text).map_err(|error| corrupt(name, &format!("its manifest is no image's: {error}")))
}

fn layers(manifest: &Manifest, name: &str) -> Result<Vec<Layer>> {
    if manifest.layers.is_empty() || manifest.layers.len() > MOST_LAYERS {
        return Err(corrupt(name, &format!("its manifest has {} layers", manifest.layers.len())));
    }
    manifest
        .layers
        .iter()
        .map(|entry| match entry.digest.strip_prefix("sha256:").filter(|sum| is_sha256(sum)) {
            Some(_) if entry.size > MOST_BYTES => Err(corrupt(name, "one of its layers is larger than any payload")),
            Some(sum) if !entry.media_type.contains("foreign") => {
                Ok(Layer { sha256: sum.to_owned(), size: entry.size })
            }
            _ => Err(corrupt(name, &format!("its layer {} cannot be fetched by a SHA-256", entry.digest))),
        })
        .collect()
}

impl Registry {
    /// Reads a manifest by tag or digest and returns its digest and bytes.
    fn manifest(&mut self, wanted: &str, network: &Network, name: &str) -> Result<(String, Vec<u8>)> {
        let failed = |why: String| not_fetched(name, &why);
        let url = format!("{}/manifests/{wanted}", self.base);
        let accept = (header::ACCEPT, HeaderValue::from_static(MANIFESTS));
        let (mut head, mut body) =
            self.get(&url, std::slice::from_ref(&accept), network, MOST_METADATA).map_err(failed)?;
        if head.status == StatusCode::UNAUTHORIZED {
            self.authorization = Some(self.authorize(&head, network).map_err(failed)?);
            (head, body) = self.get(&url, &[accept], network, MOST_METADATA).map_err(failed)?;
        }
        if !head.status.is_success() {
            return Err(failed(format!("the registry answers {} for {wanted}", head.status)));
        }
        let mut text = Vec::new();
        body.read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&text)));
        if wanted.starts_with("sha256:") && wanted != digest {
            return Err(corrupt(name, &format!("the manifest {wanted} has the digest {digest}")));
        }
        Ok((digest, text))
    }

    /// Starts to fetch a layer.
    pub(super) fn blob(&self, layer: &Layer, network: &Network) -> std::result::Result<Download, String> {
        let url = format!("{}/blobs/sha256:{}", self.base, layer.sha256);
        let (head, body) = self.get(&url, &[], network, layer.size)?;
        if !head.status.is_success() {
            return Err(format!("the registry answers {} for layer sha256:{}", head.status, layer.sha256));
        }
        Ok(body)
    }

    fn get(
        &self,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        network: &Network,
        limit: u64,
    ) -> std::result::Result<(Head, Download), String> {
        let authorization = self.authorization.clone().map(|value| (header::AUTHORIZATION, value));
        let headers = headers.iter().cloned().chain(authorization).collect();
        Download::ask(&Ask { url, headers, limit }, network, &self.trusted)
    }

    /// What to show after a refusal: the password itself, or a token that the named server gives for it.
    fn authorize(&self, head: &Head, network: &Network) -> std::result::Result<HeaderValue, String> {
        if let Some(Secret::Token(token)) = &self.secret {
            return secret(&format!("Bearer {token}"));
        }
        let challenge = head.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        let basic = match &self.secret {
            Some(Secret::Basic(pair)) => Some(secret(&format!("Basic {}", STANDARD.encode(pair)))?),
            _ => None,
        };
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(|| "the registry wants a user and password; give a pull secret".to_owned());
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(format!("the registry wants to be shown `{scheme}`, which is not known here"));
        }
        let parameter = |name: &str| parameter(parameters, name);
        let realm = parameter("realm").ok_or("the registry asks for a token and does not say where to get it")?;
        if !(realm.starts_with("https://") || (realm.starts_with("http://") && self.base.starts_with("http://"))) {
            return Err(format!("the registry sends passwords to `{realm}`, which is not encrypted"));
        }
        let mut url = realm;
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                let joint = if url.contains('?') { '&' } else { '?' };
                url.push_str(&format!("{joint}{name}={}", escaped(&value)));
            }
        }
        let headers = basic.map(|value| (header::AUTHORIZATION, value)).into_iter().collect();
        let ask = Ask { url: &url, headers, limit: MOST_METADATA };
        let (head, mut body) = Download::ask(&ask, network, &self.trusted)?;
        if !head.status.is_success() {
            return Err(format!("the registry's token server answers {}", head.status));
        }
        let mut text = String::new();
        body.read_to_string(&mut text).map_err(|error| error.to_string())?;
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let token: Token =
            serde_json::from_str(&text).map_err(|_| "the registry's token server gives no token".to_owned())?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        secret(&format!("Bearer {token}"))
    }
}

fn secret(text: &str) -> std::result::Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "a secret has characters that no header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value of `name="value"` in a challenge.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim().trim_start_matches(',').trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text = r#"realm="https://auth.example/token",service="registry.example", scope="repository:a/b:pull,push""#;
        assert_eq!(parameter(text, "realm").as_deref(), Some("https://auth.example/token"));
        assert_eq!(parameter(text, "scope").as_deref(), Some("repository:a/b:pull,push"));
        assert_eq!(parameter(text, "error"), None);
        assert_eq!(parameter("realm=x, service=y", "service").as_deref(), Some("y"));
        assert_eq!(escaped("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }

    proptest::proptest! {
        #[test]
        fn no_challenge_is_a_panic(text in "[a-z=\", ]{0,30}") {
            let _ = parameter(&text, "realm");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        assert!(is_local("localhost:5000") && is_local("127.0.0.1:5000/x") && is_local("localhost"));
        assert!(!is_local("localhost.example:5000") && !is_local("quay.io"));
    }
}
