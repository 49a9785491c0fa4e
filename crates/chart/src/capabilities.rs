//! What a cluster can do: the versions that templates ask for, and the defaults when there is no cluster to ask.

use crate::options::{ApiVersions, HelmVersion, KubeVersion};
use crate::{Error, version};

/// The group versions that Helm assumes without a cluster, in its order.
const KNOWN_API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// The Kubernetes release whose client library Helm 4.3 is built with.
const DEFAULT_KUBE_VERSION: (&str, &str) = ("1", "37");

impl KubeVersion {
    /// Reads what a user or a cluster calls its version: `1.29`, `v1.29.3-gke.100`.
    ///
    /// Errors: [`Error::Argument`] when the text does not start with numbers.
    pub fn parse(text: &str) -> Result<KubeVersion, Error> {
        let invalid = |reason: String| Error::Argument(format!("invalid kube version '{text}': {reason}"));
        let quoted = gotemplate::quote::quoted(text.as_bytes());
        let body = text.trim_start();
        let body = body.strip_prefix('v').unwrap_or(body);
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = body;
        loop {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                break;
            }
            parts.push(&rest[..digits]);
            rest = &rest[digits..];
            match rest.strip_prefix('.') {
                Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => rest = after,
                _ => break,
            }
        }
        if parts.is_empty() {
            return Err(invalid(format!("could not parse {quoted} as version")));
        }
        if parts.len() < 2 {
            return Err(invalid(format!("illegal version string {quoted}")));
        }
        if parts.iter().any(|p| p.len() > 1 && p.starts_with('0')) {
            return Err(invalid(format!("illegal zero-prefixed version component in {quoted}")));
        }
        Ok(KubeVersion {
            version: if text.starts_with('v') { text.into() } else { format!("v{text}") },
            normalized: format!("v{}", parts.join(".")),
            major: parts[0].into(),
            minor: parts[1].into(),
        })
    }

    /// Whether a chart that asks for `constraint` may be installed here.
    pub fn satisfies(&self, constraint: &str) -> bool {
        version::in_range(constraint, &self.normalized)
    }
}

impl Default for KubeVersion {
    fn default() -> Self {
        let (major, minor) = DEFAULT_KUBE_VERSION;
        let version = format!("v{major}.{minor}.0");
        KubeVersion { normalized: version.clone(), version, major: major.into(), minor: minor.into() }
    }
}

impl Default for ApiVersions {
    fn default() -> Self {
        ApiVersions(KNOWN_API_VERSIONS.iter().map(|v| v.to_string()).collect())
    }
}

impl Default for HelmVersion {
    fn default() -> Self {
        HelmVersion {
            version: "v4.3".into(),
            git_commit: String::new(),
            git_tree_state: String::new(),
            go_version: "go1.26.8".into(),
            kube_client_version: "v1.37".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_suffixes_are_kept_apart() {
        let v = KubeVersion::parse("1.29.3-gke.100").expect("version");
        assert_eq!((v.version.as_str(), v.normalized.as_str()), ("v1.29.3-gke.100", "v1.29.3"));
        assert_eq!(KubeVersion::parse("v1.30").expect("version").normalized, "v1.30");
        assert!(v.satisfies(">=1.29.0") && !v.satisfies(">=1.30"));
        assert_eq!(
            KubeVersion::parse("abc").expect_err("no version").to_string(),
            "invalid kube version 'abc': could not parse \"abc\" as version"
        );
    }
}
