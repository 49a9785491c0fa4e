//! What is known of the nodes of one installation while `husk up` or `husk down` looks on.

use contract::{NodeRecord, State};
use std::collections::BTreeMap;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) record: NodeRecord,
    /// When its record first changed since we began to look, in milliseconds from then; `None` while it has not.
    pub(crate) begun: Option<u64>,
    /// When it came to an end.
    pub(crate) ended: Option<u64>,
}

/// The nodes, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    rows: BTreeMap<String, Row>,
    listed: bool,
}

/// How many nodes are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) flying: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
}

impl Board {
    /// The first list is through: what was in it is of an earlier run until it changes.
    pub(crate) fn listed(&mut self) {
        self.listed = true;
    }

    /// Takes in a record at `now` milliseconds; returns the row when it changed.
    pub(crate) fn on(&mut self, record: NodeRecord, now: u64) -> Option<&Row> {
        let name = record.node.clone();
        let fresh = self.listed;
        let row = self.rows.entry(name).or_insert_with(|| Row { record: record.clone(), begun: None, ended: None });
        let seen = row.begun.is_some() || !fresh;
        if seen && row.record == record {
            return None;
        }
        let visible =
            (row.record.stage, row.record.state, row.record.code) != (record.stage, record.state, record.code);
        let first = fresh && row.begun.is_none();
        row.record = record;
        if fresh {
            row.begun.get_or_insert(now);
            row.ended = at_end(&row.record).then_some(now);
        }
        (fresh && (visible || first)).then_some(&*row)
    }

    /// A record went away: its node was cleaned. Returns whether it was known.
    pub(crate) fn gone(&mut self, node: &str) -> bool {
        self.rows.remove(node).is_some()
    }

    /// Returns every row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Returns a node's row.
    pub(crate) fn row(&self, node: &str) -> Option<&Row> {
        self.rows.get(node)
    }

    /// Counts the nodes that were touched since we began to look.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for row in self.rows.values().filter(|row| row.begun.is_some()) {
            match (row.ended, row.record.state) {
                (None, _) => tally.flying += 1,
                (Some(_), State::Failed) => tally.failed += 1,
                (Some(_), _) => tally.done += 1,
            }
        }
        tally
    }
}

fn at_end(record: &NodeRecord) -> bool {
    use contract::Stage;
    record.state == State::Failed
        || (record.state == State::Done && matches!(record.stage, Stage::Label | Stage::RemoveArtifacts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Stage;

    fn record(stage: Stage, state: State) -> NodeRecord {
        NodeRecord::new("n", "default", stage, state)
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let mut board = Board::default();
        assert!(board.on(record(Stage::Label, State::Done), 0).is_none());
        board.listed();
        assert_eq!(board.tally(), Tally::default());
        assert!(board.on(record(Stage::HostCheck, State::Running), 5).is_some());
        assert!(board.on(record(Stage::HostCheck, State::Running), 6).is_none(), "no change, no line");
        assert_eq!(board.tally(), Tally { flying: 1, ..Tally::default() });
        board.on(record(Stage::Label, State::Done), 9);
        assert_eq!(board.tally(), Tally { done: 1, ..Tally::default() });
        assert_eq!(board.row("n").map(|row| (row.begun, row.ended)), Some((Some(5), Some(9))));
    }

    #[test]
    fn a_failed_node_that_is_tried_again_is_in_flight_again() {
        let mut board = Board::default();
        board.listed();
        board.on(record(Stage::Cri, State::Failed), 1);
        assert_eq!(board.tally().failed, 1);
        board.on(record(Stage::HostCheck, State::Running), 2);
        assert_eq!(board.tally(), Tally { flying: 1, ..Tally::default() });
        assert!(board.gone("n") && !board.gone("n"));
    }
}
