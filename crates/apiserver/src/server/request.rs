//! Paths and queries of requests.

use std::collections::HashMap;

/// The decoded query of a request; the last of repeated keys counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

/// Decodes `%xx`; in queries `+` is a space. Broken escapes stay as they are.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if plus_is_space && bytes[i] == b'+' { b' ' } else { bytes[i] });
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|p| !p.is_empty());
        let decode = |t: &str| percent_decode(t, true);
        Query(
            pairs
                .map(|p| p.split_once('=').map_or_else(|| (decode(p), String::new()), |(k, v)| (decode(k), decode(v))))
                .collect(),
        )
    }

    /// The value of a key; absent and empty are the same.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> HashMap<String, String> {
        self.0.clone()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// What a path means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// Discovery, health, version, OpenAPI: the path segments.
    Other(Vec<String>),
    /// The resources of a group version.
    GroupVersion { group: String, version: String },
    /// Objects.
    Objects(ObjectPath),
}

/// A path below a group version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ObjectPath {
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    pub plural: String,
    pub name: Option<String>,
    /// First segment after the name, empty when none.
    pub subresource: String,
    /// Segments after the subresource (proxies).
    pub rest: Vec<String>,
    /// Whether the path is the old `/watch/` form.
    pub watch: bool,
}

pub(crate) fn parse_path(path: &str) -> Target {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(|s| percent_decode(s, false)).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Target::Other(segments),
    };
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        [] => return Target::GroupVersion { group: group.into(), version: version.into() },
        // The namespace itself and its own subresources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_string()), rest),
        rest => (None, rest),
    };
    let mut rest = rest.iter().map(|s| (*s).to_string());
    Target::Objects(ObjectPath {
        group: group.into(),
        version: version.into(),
        namespace,
        plural: rest.next().unwrap_or_default(),
        name: rest.next(),
        subresource: rest.next().unwrap_or_default(),
        rest: rest.collect(),
        watch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> ObjectPath {
        match parse_path(path) {
            Target::Objects(path) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths() {
        let pod = objects("/api/v1/namespaces/ns/pods/p/log");
        assert_eq!((pod.namespace.as_deref(), pod.plural.as_str()), (Some("ns"), "pods"));
        assert_eq!((pod.name.as_deref(), pod.subresource.as_str()), (Some("p"), "log"));
        assert_eq!(objects("/api/v1/namespaces/ns").plural, "namespaces");
        assert_eq!(objects("/api/v1/namespaces/ns/finalize").subresource, "finalize");
        assert_eq!(objects("/apis/batch/v1/jobs").namespace, None);
        assert_eq!(
            objects("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode").name.unwrap(),
            "system:node"
        );
        assert_eq!(objects("/api/v1/nodes/n/proxy/stats/summary").rest, ["stats", "summary"]);
        assert!(matches!(parse_path("/apis/apps/v1"), Target::GroupVersion { .. }));
        assert!(matches!(parse_path("/apis/apps"), Target::Other(_)));
    }

    #[test]
    fn queries() {
        let query = Query::parse(Some("labelSelector=a%3Db%2Cc&watch=1&x=&y=a+b%zz"));
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert!(query.flag("watch"));
        assert_eq!(query.get("x"), None);
        assert_eq!(query.get("y"), Some("a b%zz"));
    }
}
