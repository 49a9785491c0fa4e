//! Nodes whose turn has not come, in the order in which they get it.

use std::collections::{BTreeMap, BTreeSet};

/// Where a node stands, as far as the pace looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Servers of a control plane sort last.
    pub(super) control_plane: bool,
    /// Its zone.
    pub(super) zone: String,
}

/// A place in the queue: by kind of node, then in the order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) place: Place,
    pub(super) number: u64,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Ticket, String>,
    next: u64,
}

impl Queue {
    /// Returns a ticket behind everybody of its place.
    pub(super) fn ticket(&mut self, place: Place) -> Ticket {
        self.next += 1;
        Ticket { place, number: self.next }
    }

    pub(super) fn insert(&mut self, ticket: Ticket, node: String) {
        self.waiting.insert(ticket, node);
    }

    pub(super) fn remove(&mut self, ticket: &Ticket) {
        self.waiting.remove(ticket);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells whether nodes outside the control plane wait.
    pub(super) fn has_workers(&self) -> bool {
        self.waiting.first_key_value().is_some_and(|(ticket, _)| !ticket.place.control_plane)
    }

    /// Returns the first node whose place is open. Asks once for each place, however many wait there.
    pub(super) fn first(&self, mut open: impl FnMut(&Place) -> bool) -> Option<&str> {
        let mut at = self.waiting.first_key_value();
        while let Some((ticket, node)) = at {
            if open(&ticket.place) {
                return Some(node);
            }
            let behind = Ticket { place: ticket.place.clone(), number: u64::MAX };
            at = self.waiting.range(behind..).next();
        }
        None
    }

    pub(super) fn nodes(&self) -> BTreeSet<String> {
        self.waiting.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_an_open_place_comes_and_control_planes_last() {
        let mut queue = Queue::default();
        for (node, control_plane, zone) in
            [("cp", true, ""), ("a1", false, "a"), ("a2", false, "a"), ("b1", false, "b")]
        {
            let ticket = queue.ticket(Place { control_plane, zone: zone.into() });
            queue.insert(ticket, node.into());
        }
        assert_eq!(queue.first(|_| true), Some("a1"));
        let mut asked = 0;
        let first = queue.first(|place| {
            asked += 1;
            place.zone != "a"
        });
        assert_eq!((first, asked), (Some("b1"), 2));
        assert!(queue.has_workers());
        assert_eq!(queue.first(|place| place.control_plane), Some("cp"));
        assert_eq!(queue.first(|_| false), None);
    }
}
