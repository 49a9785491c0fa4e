//! What a registry answers to a request without credentials, and which scopes a token is asked for.

use crate::url::Url;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The content of a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token from `realm`.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// For which service.
        service: String,
        /// For what, separated by blanks.
        scope: String,
    },
    /// Something else.
    Unknown,
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Challenge {
        let (scheme, rest) = header.trim_start().split_once(' ').unwrap_or((header.trim(), ""));
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => Challenge::Basic,
            "bearer" => {
                let mut parameters = parameters(rest);
                let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
                Challenge::Bearer { realm: take("realm"), service: take("service"), scope: take("scope") }
            }
            _ => Challenge::Unknown,
        }
    }
}

/// `a=b, c="d, e"` as a map; what is malformed ends the list.
fn parameters(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = text.trim_start_matches([' ', '\t', ',']).split_once('=') {
        let (value, after) = match rest.trim_start().strip_prefix('"') {
            Some(inner) => match quoted(inner) {
                Some(parts) => parts,
                None => return found,
            },
            None => {
                let (value, after) = rest.split_once(',').unwrap_or((rest, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.insert(name.trim().to_ascii_lowercase(), value);
        text = after;
    }
    found
}

/// A quoted value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Scopes merged by what they are about, actions in order, as token servers and caches like them.
pub(super) fn merged_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut by_subject: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut other = BTreeSet::new();
    for scope in scopes.into_iter().filter(|scope| !scope.is_empty()) {
        match scope.rsplit_once(':') {
            Some((subject, actions)) if subject.contains(':') => {
                let known = by_subject.entry(subject.into()).or_default();
                known.extend(actions.split(',').filter(|action| !action.is_empty()));
            }
            _ => {
                other.insert(scope.to_owned());
            }
        }
    }
    for (subject, actions) in by_subject {
        if actions.contains("*") {
            other.insert(format!("{subject}:*"));
        } else if !actions.is_empty() {
            other.insert(format!("{subject}:{}", actions.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    other.into_iter().collect()
}

/// Refuses token servers that a registry has no business naming: unencrypted ones when it was reached by TLS, and
/// addresses of this machine or network that are not the registry's own.
///
/// # Errors
/// [`Error::Credentials`].
pub(super) fn check_realm(realm: &str, registry: &Url) -> Result<()> {
    let refuse = |why: &str| Err(Error::Credentials(format!("bearer realm {} {why}", crate::url::quoted(realm))));
    let url = Url::parse(realm)?;
    match url.scheme.as_str() {
        "https" => {}
        "http" if registry.scheme == "https" => return refuse("uses http but registry was contacted over https"),
        "http" => {}
        other => return refuse(&format!("uses unsupported scheme {}", crate::url::quoted(other))),
    }
    let inward = url.host_name().parse::<IpAddr>().is_ok_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_private() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_unique_local(),
    });
    if inward && url.host_name() != registry.host_name() {
        return refuse("is a loopback, link-local, private, or unspecified address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let bearer = |realm: &str, service: &str, scope: &str| Challenge::Bearer {
            realm: realm.into(),
            service: service.into(),
            scope: scope.into(),
        };
        for (header, expected) in [
            (r#"Basic realm="x""#, Challenge::Basic),
            ("basic", Challenge::Basic),
            (
                r#"Bearer realm="https://a/token",service="s",scope="repository:a/b:pull,push""#,
                bearer("https://a/token", "s", "repository:a/b:pull,push"),
            ),
            (r#"bearer Realm=https://a , service="a\"b""#, bearer("https://a", "a\"b", "")),
            (r#"Bearer realm="unterminated"#, bearer("", "", "")),
            ("Negotiate", Challenge::Unknown),
            ("", Challenge::Unknown),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn scopes_are_merged() {
        let merged = merged_scopes([
            "repository:b:push",
            "repository:a:pull",
            "repository:b:pull,push",
            "x",
            "repository:c:*,pull",
        ]);
        assert_eq!(merged, ["repository:a:pull", "repository:b:pull,push", "repository:c:*", "x"]);
    }

    #[test]
    fn realms_must_be_outside() {
        let registry = Url::parse("https://r.example/v2/").unwrap();
        let plain = Url::parse("http://127.0.0.1:5000/v2/").unwrap();
        assert!(check_realm("https://auth.example/t", &registry).is_ok());
        assert!(check_realm("http://127.0.0.1:1/t", &plain).is_ok());
        for bad in ["http://auth.example/t", "https://169.254.169.254/t", "https://10.0.0.1/", "file:///etc", ""] {
            assert!(check_realm(bad, &registry).is_err(), "{bad}");
        }
    }
}
