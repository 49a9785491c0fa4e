//! A known Node, packed: ten thousand label maps would be most of what the dispatcher keeps in memory.

use crate::node::Node;
use std::ops::Deref;

/// A Node whose labels are one text. Everything else is read through it.
pub(super) struct Known {
    /// Without labels.
    node: Node,
    /// `key=value` joined by commas, which neither may contain.
    labels: Box<str>,
    zone: Box<str>,
    control_plane: bool,
}

impl Known {
    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    pub(super) fn is_control_plane(&self) -> bool {
        self.control_plane
    }

    /// Returns the Node as it came.
    pub(super) fn unpacked(&self) -> Node {
        let pairs = self.labels.split(',').filter_map(|pair| pair.split_once('='));
        let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Node { labels, ..self.node.clone() }
    }
}

impl From<Node> for Known {
    fn from(mut node: Node) -> Self {
        let (zone, control_plane) = (node.zone().into(), node.is_control_plane());
        let labels = std::mem::take(&mut node.labels);
        let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        Known { node, labels: labels.into(), zone, control_plane }
    }
}

impl Deref for Known {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let labels = [("topology.kubernetes.io/zone", "z"), ("a", ""), ("node-role.kubernetes.io/etcd", "true")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let node = Node { name: "n".into(), uid: "u".into(), ready: true, labels, ..Node::default() };
        let known = Known::from(node.clone());
        assert_eq!((known.unpacked(), known.zone(), known.is_control_plane()), (node, "z", true));
        assert_eq!(Known::from(Node::default()).unpacked(), Node::default());
    }
}
