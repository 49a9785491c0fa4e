//! A known Node, packed: ten thousand label maps would be most of what the dispatcher keeps in memory.

use crate::node::{Node, Taint};

/// A Node whose labels and handlers are one text each.
pub(super) struct Known {
    pub(super) uid: Box<str>,
    pub(super) zone: Box<str>,
    /// `key=value` joined by commas, which neither may contain.
    labels: Box<str>,
    /// Each ends with a comma.
    handlers: Option<Box<str>>,
    taints: Box<[Taint]>,
    runtime_version: Box<str>,
    machine_id: Box<str>,
    pub(super) expected: Option<usize>,
    pub(super) created: i64,
    pub(super) ready: bool,
    pub(super) unreachable: bool,
    pub(super) cordoned_by_us: bool,
    pub(super) control_plane: bool,
}

impl Known {
    /// Returns the Node as it came, except for the time of its last change.
    pub(super) fn unpacked(&self, name: &str) -> Node {
        let pairs = self.labels.split(',').filter_map(|pair| pair.split_once('='));
        Node {
            name: name.to_owned(),
            uid: self.uid.to_string(),
            labels: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            taints: self.taints.to_vec(),
            ready: self.ready,
            unreachable: self.unreachable,
            runtime_version: self.runtime_version.to_string(),
            machine_id: self.machine_id.to_string(),
            expected: self.expected,
            cordoned_by_us: self.cordoned_by_us,
            handlers: self.served().map(|served| served.map(str::to_owned).collect()),
            changed: 0,
            created: self.created,
        }
    }

    /// Returns the handlers that it serves; `None` when its kubelet does not tell.
    pub(super) fn served(&self) -> Option<impl Iterator<Item = &str>> {
        self.handlers.as_deref().map(|served| served.split_terminator(','))
    }

    /// Tells whether it serves a handler; `None` when its kubelet does not tell.
    pub(super) fn serves(&self, handler: &str) -> bool {
        self.served().is_some_and(|mut served| served.any(|one| one == handler))
    }

    /// Forgets what only a node that is not through yet is asked about.
    pub(super) fn shrink(&mut self) {
        (self.labels, self.runtime_version, self.machine_id) = Default::default();
        (self.taints, self.handlers) = Default::default();
    }
}

impl From<Node> for Known {
    fn from(node: Node) -> Self {
        let (zone, control_plane) = (node.zone().into(), node.is_control_plane());
        let labels = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        let handlers =
            node.handlers.map(|served| served.iter().map(|handler| format!("{handler},")).collect::<String>());
        Known {
            uid: node.uid.into(),
            zone,
            labels: labels.into(),
            handlers: handlers.map(String::into_boxed_str),
            taints: node.taints.into(),
            runtime_version: node.runtime_version.into(),
            machine_id: node.machine_id.into(),
            expected: node.expected,
            created: node.created,
            ready: node.ready,
            unreachable: node.unreachable,
            cordoned_by_us: node.cordoned_by_us,
            control_plane,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let labels = [("topology.kubernetes.io/zone", "z"), ("a", ""), ("node-role.kubernetes.io/etcd", "true")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let handlers = Some(vec![String::new(), "kata-qemu".to_owned()]);
        let node = Node { name: "n".into(), uid: "u".into(), ready: true, labels, handlers, ..Node::default() };
        let mut known = Known::from(node.clone());
        assert_eq!((known.unpacked("n"), &*known.zone, known.control_plane), (node, "z", true));
        assert!(known.serves("kata-qemu") && known.serves("") && !known.serves("kata"));
        known.shrink();
        assert_eq!((&*known.zone, &*known.uid, known.served().is_none()), ("z", "u", true));
        assert_eq!(Known::from(Node::default()).unpacked(""), Node::default());
    }
}
