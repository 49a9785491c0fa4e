//! The names of per-node Jobs.

use sha2::{Digest, Sha256};

/// Longest name: a Job's name becomes a label value of its pods.
const LIMIT: usize = 63;
const HASH_DIGITS: usize = 24;

/// Returns the name of a node's Job: prefix, `-`, node, in the characters that a DNS label allows.
///
/// A name that had to be changed or cut ends in a hash of the true prefix and node, so that no two nodes share one.
pub fn job_name(prefix: &str, node: &str) -> String {
    let plain = format!("{prefix}-{node}");
    let clean: String =
        plain.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    if clean == plain && clean.len() <= LIMIT {
        return clean;
    }
    let mut hasher = Sha256::new();
    hasher.update(prefix);
    hasher.update([0]);
    hasher.update(node);
    let digest = hex::encode(hasher.finalize());
    let head: String = clean.chars().take(LIMIT - HASH_DIGITS - 1).collect();
    format!("{}-{}", head.trim_end_matches('-'), &digest[..HASH_DIGITS])
}

/// Returns a label value for a node: its name, cut and hashed when a label would not hold it.
pub fn node_label(node: &str) -> String {
    if node.len() <= LIMIT {
        return node.to_owned();
    }
    let digest = hex::encode(Sha256::digest(node));
    let head: String = node.chars().take(LIMIT - HASH_DIGITS - 1).collect();
    format!("{}-{}", head.trim_end_matches(['-', '.', '_']), &digest[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_changed_ones_are_told_apart() {
        assert_eq!(job_name("kata-deploy-install", "node-1"), "kata-deploy-install-node-1");
        let dotted = job_name("p", "ip-10.0.0.1");
        let dashed = job_name("p", "ip-10-0-0-1");
        assert_eq!(dashed, "p-ip-10-0-0-1");
        assert!(dotted.starts_with("p-ip-10-0-0-1-") && dotted != dashed);
        let long = "n".repeat(250);
        assert_eq!(job_name("p", &long).len(), LIMIT);
        assert_ne!(job_name("p", &format!("{long}a")), job_name("p", &format!("{long}b")));
    }

    #[test]
    fn node_labels_fit() {
        assert_eq!(node_label("a.b.c"), "a.b.c");
        assert!(node_label(&"a".repeat(200)).len() <= LIMIT);
    }
}
