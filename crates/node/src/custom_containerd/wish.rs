//! What the values ask for: which tarball, on which nodes, by which way through the network.

use crate::error::{NodeError, Result};
use crate::network::Network;
use crate::settings::FileText;
use crate::shim::Arch;
use contract::Code;
use std::collections::BTreeMap;

/// A tarball of containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub url: String,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
}

impl Source {
    /// The version in the file's name: releases are called `containerd-2.1.4-linux-amd64.tar.gz`.
    pub fn version_of_name(&self) -> Option<String> {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        name.split('-').find(|word| triple(word).is_some()).map(|word| word.trim_start_matches('v').to_owned())
    }
}

/// Everything that `customContainerd` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The tarball for this architecture; `None` when there are only ones for others.
    source: Option<Source>,
    /// Labels that a node must have; empty for all nodes.
    selector: BTreeMap<String, String>,
    /// How it is fetched.
    pub network: Network,
}

impl Wish {
    /// Reads the `CUSTOM_CONTAINERD_*` variables; `None` when no other containerd is asked for.
    ///
    /// # Errors
    /// [`Code::BAD_SETTINGS`] for an address, checksum or selector that cannot be meant.
    pub fn read(get: &dyn Fn(&str) -> Option<String>, arch: Arch, file: FileText) -> Result<Option<Wish>> {
        let per = |name: &str, arch: Arch| get(&format!("CUSTOM_CONTAINERD_{name}_{}", arch.variable()));
        let any = |name: &str| get(&format!("CUSTOM_CONTAINERD_{name}"));
        let arches = [Arch::X86_64, Arch::Aarch64, Arch::S390x, Arch::Ppc64le];
        if any("URL").is_none() && arches.iter().all(|arch| per("URL", *arch).is_none()) {
            return Ok(None);
        }
        let source = match (per("URL", arch), any("URL")) {
            (Some(url), _) => Some((url, per("SHA256", arch))),
            (None, Some(url)) => Some((url, any("SHA256").or_else(|| per("SHA256", arch)))),
            (None, None) => None,
        };
        let source = source.map(|(url, sha256)| checked(url, sha256)).transpose()?;
        let network = Network::read(get, file);
        let selector = labels("CUSTOM_CONTAINERD_NODE_SELECTOR", &any("NODE_SELECTOR").unwrap_or_default())?;
        Ok(Some(Wish { source, selector, network }))
    }

    /// Whether a node with these labels is meant; `None` when nobody has told its labels.
    pub fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> Result<bool> {
        match labels {
            _ if self.selector.is_empty() => Ok(true),
            Some(labels) => Ok(self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))),
            None => {
                Err(bad("`customContainerd.nodeSelector` is set, and nobody has told the node's labels (NODE_LABELS)"))
            }
        }
    }

    /// The tarball for this architecture.
    pub fn source(&self, arch: Arch) -> Result<&Source> {
        self.source.as_ref().ok_or_else(|| {
            bad(format!(
                "`customContainerd.tarballUrls` has none for {arch}; name one, or leave these nodes out with \
                 `customContainerd.nodeSelector`"
            ))
        })
    }
}

/// Reads `k=v,k=v`.
pub fn labels(variable: &str, text: &str) -> Result<BTreeMap<String, String>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(bad(format!("{variable} has `{item}`; entries look like `label=value`"))),
        })
        .collect()
}

fn checked(url: String, sha256: Option<String>) -> Result<Source> {
    let parsed: http::Uri = url.parse().map_err(|error| bad(format!("`{url}` is not a URL: {error}")))?;
    let authority = parsed.authority().filter(|authority| !authority.host().is_empty());
    match (parsed.scheme_str(), authority) {
        (Some("https" | "http"), Some(authority)) if authority.as_str().contains('@') => {
            return Err(bad("the URL of a custom containerd must not hold a user or password"));
        }
        (Some("http"), Some(_)) if sha256.is_none() => {
            return Err(bad(format!("{url} is not fetched over https: its sha256 is needed too")));
        }
        (Some("https" | "http"), Some(_)) => {}
        _ => return Err(bad(format!("`{url}` is neither an https nor an http URL"))),
    }
    let sha256 = sha256.map(|sum| sum.to_ascii_lowercase());
    if let Some(sum) =
        sha256.as_ref().filter(|sum| sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(bad(format!("`{sum}` is not a SHA-256 of 64 hexadecimal digits")));
    }
    Ok(Source { url, sha256 })
}

fn bad(message: impl Into<String>) -> NodeError {
    NodeError::new(Code::BAD_SETTINGS, message)
}

/// The three numbers of a version such as `v2.1.4` or `1.7.24~ds1`.
pub fn triple(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).splitn(3, '.');
    let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Wish>> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Wish::read(&get, Arch::X86_64, &|path| (path == "/ca.crt").then(|| "PEM".to_owned()))
    }

    #[test]
    fn an_architectures_own_tarball_wins_and_keeps_its_own_checksum() {
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        let general = [("CUSTOM_CONTAINERD_URL", "https://m/any.tar.gz"), ("CUSTOM_CONTAINERD_SHA256", &one)];
        let source = |extra: &[(&str, &str)]| {
            read(&[&general[..], extra].concat()).unwrap().unwrap().source(Arch::X86_64).unwrap().clone()
        };
        assert_eq!(source(&[]).sha256.as_deref(), Some(one.as_str()));
        let own = [("CUSTOM_CONTAINERD_URL_X86_64", "https://m/x.tar.gz")];
        assert_eq!(source(&own), Source { url: "https://m/x.tar.gz".into(), sha256: None });
        let both = [own[0], ("CUSTOM_CONTAINERD_SHA256_X86_64", two.as_str())];
        assert_eq!(source(&both).sha256.as_deref(), Some(two.as_str()));
        assert!(read(&[]).unwrap().is_none());
        let other = read(&[("CUSTOM_CONTAINERD_URL_S390X", "https://m/z.tar.gz")]).unwrap().unwrap();
        assert_eq!(other.source(Arch::X86_64).unwrap_err().code, Code::BAD_SETTINGS);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (name, variables) in [
            ("scheme", &[("CUSTOM_CONTAINERD_URL", "ftp://m/c.tar.gz")][..]),
            ("no host", &[("CUSTOM_CONTAINERD_URL", "https:///c.tar.gz")]),
            ("password", &[("CUSTOM_CONTAINERD_URL", "https://u:p@m/c.tar.gz")]),
            ("http", &[("CUSTOM_CONTAINERD_URL", "http://m/c.tar.gz")]),
            ("shell", &[("CUSTOM_CONTAINERD_URL", "https://m/c.tar.gz\"; reboot")]),
            ("sum", &[("CUSTOM_CONTAINERD_URL", "https://m/c.tar.gz"), ("CUSTOM_CONTAINERD_SHA256", "../../etc")]),
            ("selector", &[("CUSTOM_CONTAINERD_URL", "https://m/c"), ("CUSTOM_CONTAINERD_NODE_SELECTOR", "tee")]),
        ] {
            assert_eq!(read(variables).expect_err(name).code, Code::BAD_SETTINGS, "{name}");
        }
    }

    #[test]
    fn a_selector_needs_all_of_its_labels_and_somebody_who_tells_them() {
        let wish = read(&[
            ("CUSTOM_CONTAINERD_URL", "https://m/c"),
            ("CUSTOM_CONTAINERD_NODE_SELECTOR", "a=1,example.com/b="),
            ("https_proxy", "http://proxy:3128"),
            ("SSL_CERT_FILE", "/ca.crt"),
        ]);
        let wish = wish.unwrap().unwrap();
        let labels = |text: &str| labels("NODE_LABELS", text).unwrap();
        assert!(wish.selects(Some(&labels("a=1,example.com/b=,c=3"))).unwrap());
        assert!(!wish.selects(Some(&labels("a=1"))).unwrap());
        assert!(!wish.selects(Some(&labels("a=1,example.com/b=2"))).unwrap());
        assert_eq!(wish.selects(None).unwrap_err().code, Code::BAD_SETTINGS);
        assert_eq!(wish.network.https_proxy, "http://proxy:3128");
        assert_eq!(wish.network.certificates, Some(("/ca.crt".into(), Some("PEM".into()))));
    }

    #[test]
    fn versions_are_found_in_names() {
        let of = |url: &str| Source { url: url.into(), sha256: None }.version_of_name();
        assert_eq!(of("https://m/v1/containerd-2.1.4-linux-amd64.tar.gz").as_deref(), Some("2.1.4"));
        assert_eq!(of("https://m/containerd-static-1.7.29-linux-arm64.tar.gz?x=1.2.3").as_deref(), Some("1.7.29"));
        assert_eq!(of("https://m/2.1.4/containerd-linux-amd64.tar.gz"), None);
        assert_eq!(triple("v2.1.5-k3s1"), Some((2, 1, 5)));
        assert_eq!(triple("linux"), None);
    }
}
