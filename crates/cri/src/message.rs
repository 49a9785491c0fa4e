//! Messages of `runtime.v1`, written by hand from the field numbers of the CRI API (k8s.io/cri-api v0.34).
//!
//! Protocol Buffers ignore fields that a reader does not know, so messages hold only what Husk reads or a simulated
//! runtime has to answer. Field numbers must never change.

use std::collections::BTreeMap;

/// Asks for the runtime's name and version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionRequest {
    /// Version of the kubelet's runtime API, such as `0.1.0`; runtimes ignore it.
    #[prost(string, tag = "1")]
    pub version: String,
}

/// The runtime's name and version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionResponse {
    /// Version of the kubelet's runtime API: `0.1.0`.
    #[prost(string, tag = "1")]
    pub version: String,
    /// `containerd` or `cri-o`.
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// Such as `v1.7.27`, `1.6.20~ds1` or `1.34.0`: with or without a `v`, as the runtime was built.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
    /// Version of the CRI: `v1`.
    #[prost(string, tag = "4")]
    pub runtime_api_version: String,
}

/// Asks for the runtime's conditions.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StatusRequest {
    /// Whether `info` is to be filled in.
    #[prost(bool, tag = "1")]
    pub verbose: bool,
}

/// The runtime's conditions, and what it can do.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// The conditions.
    #[prost(message, optional, tag = "1")]
    pub status: Option<RuntimeStatus>,
    /// Extra facts, JSON by name; `config` is the runtime's configuration. Only in answers to verbose requests.
    #[prost(btree_map = "string, string", tag = "2")]
    pub info: BTreeMap<String, String>,
    /// The handlers served; the default one is listed again under the empty name. Absent before containerd 2.0.
    #[prost(message, repeated, tag = "3")]
    pub runtime_handlers: Vec<RuntimeHandler>,
    /// What the runtime supports whatever the handler.
    #[prost(message, optional, tag = "4")]
    pub features: Option<RuntimeFeatures>,
}

impl StatusResponse {
    /// Returns a condition by its type, [`RUNTIME_READY`] or [`NETWORK_READY`].
    pub fn condition(&self, kind: &str) -> Option<&RuntimeCondition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.r#type == kind)
    }
}

/// Condition type: the runtime can make containers.
pub const RUNTIME_READY: &str = "RuntimeReady";
/// Condition type: the runtime can connect pods to a network.
pub const NETWORK_READY: &str = "NetworkReady";

/// The runtime's conditions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeStatus {
    /// At least [`RUNTIME_READY`] and [`NETWORK_READY`].
    #[prost(message, repeated, tag = "1")]
    pub conditions: Vec<RuntimeCondition>,
}

/// One condition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeCondition {
    /// [`RUNTIME_READY`], [`NETWORK_READY`] or a runtime's own.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Whether it holds.
    #[prost(bool, tag = "2")]
    pub status: bool,
    /// Why not, in one word.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Why not, in a sentence.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// One handler that pods can name through their RuntimeClass.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeHandler {
    /// Its name; empty for the default handler.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it supports.
    #[prost(message, optional, tag = "2")]
    pub features: Option<RuntimeHandlerFeatures>,
}

/// What a handler supports.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RuntimeHandlerFeatures {
    /// Read-only mounts whose submounts are read-only too.
    #[prost(bool, tag = "1")]
    pub recursive_read_only_mounts: bool,
    /// User namespaces.
    #[prost(bool, tag = "2")]
    pub user_namespaces: bool,
}

/// What a runtime supports whatever the handler.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RuntimeFeatures {
    /// The supplemental groups policy of pods.
    #[prost(bool, tag = "1")]
    pub supplemental_groups_policy: bool,
}

/// Asks which pod sandboxes there are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxRequest {
    /// Which ones; absent means all.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<PodSandboxFilter>,
}

/// Restricts a list of sandboxes; what is absent or empty does not restrict.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxFilter {
    /// The sandbox's identifier.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The state.
    #[prost(message, optional, tag = "2")]
    pub state: Option<PodSandboxStateValue>,
    /// Labels that must all be there.
    #[prost(btree_map = "string, string", tag = "3")]
    pub label_selector: BTreeMap<String, String>,
}

/// A state that can be absent.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PodSandboxStateValue {
    /// The state.
    #[prost(enumeration = "PodSandboxState", tag = "1")]
    pub state: i32,
}

/// Whether a sandbox runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PodSandboxState {
    /// It runs.
    Ready = 0,
    /// It has ended, or the runtime lost it.
    NotReady = 1,
}

/// The sandboxes found.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxResponse {
    /// In no particular order.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// One pod sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandbox {
    /// Its identifier.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which pod it belongs to.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// Whether it runs.
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub state: i32,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// The pod's labels.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: BTreeMap<String, String>,
    /// The pod's annotations.
    #[prost(btree_map = "string, string", tag = "6")]
    pub annotations: BTreeMap<String, String>,
    /// The handler that it runs on; empty for the default one.
    #[prost(string, tag = "7")]
    pub runtime_handler: String,
}

/// Which pod a sandbox belongs to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The pod's UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// How often the sandbox was made anew.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// Asks for settings that the kubelet must share.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RuntimeConfigRequest {}

/// Settings that the kubelet must share.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RuntimeConfigResponse {
    /// Settings for Linux.
    #[prost(message, optional, tag = "1")]
    pub linux: Option<LinuxRuntimeConfiguration>,
}

/// Settings for Linux.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LinuxRuntimeConfiguration {
    /// Who makes cgroups.
    #[prost(enumeration = "CgroupDriver", tag = "1")]
    pub cgroup_driver: i32,
}

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CgroupDriver {
    /// systemd, asked over D-Bus.
    Systemd = 0,
    /// The runtime itself.
    Cgroupfs = 1,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// Tag and length of a field, by the rules of Protocol Buffers: number times eight plus two, then bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn field_numbers_are_those_of_the_cri() {
        let condition = [field(1, b"RuntimeReady"), vec![2 << 3, 1], field(3, b"r"), field(4, b"m")].concat();
        let info = [field(1, b"config"), field(2, b"{}")].concat();
        let features = vec![1 << 3, 1, 2 << 3, 1];
        let handler = [field(1, b"kata"), field(2, &features)].concat();
        let bytes =
            [field(1, &field(1, &condition)), field(2, &info), field(3, &handler), field(4, &[1 << 3, 1])].concat();
        let status = StatusResponse::decode(bytes.as_slice()).unwrap();
        let condition = status.condition(RUNTIME_READY).unwrap();
        assert_eq!((condition.status, condition.reason.as_str(), condition.message.as_str()), (true, "r", "m"));
        assert_eq!(status.info["config"], "{}");
        assert_eq!(status.runtime_handlers[0].name, "kata");
        let features = status.runtime_handlers[0].features.unwrap();
        assert!(features.recursive_read_only_mounts && features.user_namespaces);
        assert!(status.features.unwrap().supplemental_groups_policy);
        assert_eq!(status.encode_to_vec(), bytes);

        let metadata = [field(1, b"pod"), field(2, b"uid"), field(3, b"ns"), vec![4 << 3, 2]].concat();
        let label = [field(1, b"k"), field(2, b"v")].concat();
        let sandbox = [
            field(1, b"id"),
            field(2, &metadata),
            vec![3 << 3, 1],
            vec![4 << 3, 5],
            field(5, &label),
            field(6, &label),
            field(7, b"kata-qemu"),
        ]
        .concat();
        let found = ListPodSandboxResponse::decode(field(1, &sandbox).as_slice()).unwrap().items.remove(0);
        assert_eq!((found.id.as_str(), found.created_at, found.runtime_handler.as_str()), ("id", 5, "kata-qemu"));
        assert_eq!(found.state(), PodSandboxState::NotReady);
        assert_eq!(found.metadata.as_ref().unwrap().attempt, 2);
        assert_eq!((found.labels["k"].as_str(), found.annotations["k"].as_str()), ("v", "v"));
        assert_eq!(found.encode_to_vec(), sandbox);

        let version = [field(1, b"0.1.0"), field(2, b"cri-o"), field(3, b"1.34.0"), field(4, b"v1")].concat();
        let found = VersionResponse::decode(version.as_slice()).unwrap();
        assert_eq!((found.runtime_name.as_str(), found.runtime_version.as_str()), ("cri-o", "1.34.0"));
    }
}
