//! Labels, annotations and object names that several rooms share.

/// Node label: `false` while an installation is under way, `true` when the handlers are served. Upstream's name.
pub const KATA_RUNTIME: &str = "katacontainers.io/kata-runtime";
/// Prefix of the Node label that each installation sets; the rest is its suffix, or [`DEFAULT_INSTALL`].
pub const INSTALL_MARK_PREFIX: &str = "kata-deploy.katacontainers.io/";
/// Name of the installation without a `multiInstallSuffix`.
pub const DEFAULT_INSTALL: &str = "default";
/// Name of the installation that switches containerd and brings no runtimes, so marks no Node either.
pub const CONTAINERD_INSTALL: &str = "containerd";
/// Label on per-node Jobs and their pods: `install` or `cleanup`. Upstream's name.
pub const STAGE: &str = "kata-deploy/stage";
/// Label on the dispatcher Jobs: `install` or `cleanup`. Upstream's name.
pub const DISPATCHER: &str = "kata-deploy/dispatcher";
/// Label on per-node Jobs: the dispatcher Job that owns them. Upstream's name.
pub const JOB_OWNER: &str = "kata-deploy-job-dispatcher/owner";
/// Label on per-node Jobs: the node, shortened where a label needs it. Upstream's name.
pub const JOB_NODE: &str = "kata-deploy-job-dispatcher/node";
/// Annotation on per-node Jobs and node records: the node's true name.
pub const NODE_NAME_ANNOTATION: &str = "kata-deploy-job-dispatcher/node-name";
/// Annotation on per-node Jobs and node records: the identity of the Node, which a successor of its name does not share.
pub const NODE_UID_ANNOTATION: &str = "husk/node-uid";
/// Label on node records: the identity of the dispatcher whose run the node is through with. On per-node Jobs: that of their owner.
pub const RUN: &str = "husk/run";
/// Annotation on Nodes: how many nodes the cluster will have, from whoever knows that beforehand. When so many are there,
/// nobody has to wait and see whether more come.
pub const NODES_EXPECTED: &str = "husk/nodes-expected";
/// Annotation on Nodes: cordoned by a rollout, which uncordons them.
pub const CORDONED: &str = "husk/cordoned";
/// Annotation on a dispatcher Job: `pause`, `resume` or `abort`.
pub const ORDER: &str = "husk/rollout";
/// Node label that no node has: a DaemonSet that asks for it leaves every node.
pub const ABSENT: &str = "husk/absent";
/// Label on the ConfigMaps that hold node records; the value is always `true`.
pub const NODE_RECORD: &str = "husk/node-record";
/// Label on node records: the installation ([`DEFAULT_INSTALL`] or the suffix).
pub const INSTALL: &str = "husk/install";
/// The key of a node record's ConfigMap that holds the JSON of [`crate::NodeRecord`].
pub const NODE_RECORD_KEY: &str = "record.json";
/// Label set on a RuntimeClass: the installation. Upstream's name.
pub const RUNTIMECLASS_INSTANCE: &str = "kata-deploy/instance";

/// Returns the Node label of one installation.
pub fn install_mark(install: &str) -> String {
    format!("{INSTALL_MARK_PREFIX}{install}")
}

/// Returns the name of an installation: its suffix, or [`DEFAULT_INSTALL`] when that is empty.
pub fn install_name(suffix: &str) -> &str {
    if suffix.is_empty() { DEFAULT_INSTALL } else { suffix }
}

/// Returns the name of the ConfigMap that holds a node's record.
///
/// Node names are DNS subdomains of at most 253 characters and so are ConfigMap names; a name that would not fit is cut
/// and ends in a hash of the whole, so that no two nodes share one.
pub fn node_record_name(install: &str, node: &str) -> String {
    let whole = format!("husk-node-{install}-{node}");
    if whole.len() <= 253 {
        return whole;
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a: stable across versions, unlike the standard hasher
    for byte in whole.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let head: String = whole.chars().take(236).collect();
    format!("{}-{hash:016x}", head.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_node_names_keep_distinct_record_names() {
        let a = node_record_name("default", &format!("{}a", "n".repeat(252)));
        let b = node_record_name("default", &format!("{}b", "n".repeat(252)));
        assert!(a.len() <= 253 && b.len() <= 253);
        assert_ne!(a, b);
        assert_eq!(node_record_name("default", "n1"), "husk-node-default-n1");
    }
}
