//! How many nodes may be worked on at once.

use std::str::FromStr;

/// A number of nodes, or a share of those selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Number(usize),
    /// So many of a hundred, rounded up.
    Percent(usize),
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |_| format!("`{text}` is neither a number nor a percentage");
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().map_err(bad).map(Amount::Percent),
            None => text.parse().map_err(bad).map(Amount::Number),
        }
    }
}

/// The pace of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Jobs in flight at most.
    pub parallelism: Amount,
    /// Nodes that go first; the others follow when all of these converged. 0: none.
    pub canary: usize,
    /// No node is begun any more after so many failures. 0: never.
    pub halt_after: usize,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nodes selected.
    pub selected: usize,
    /// Nodes in flight.
    pub flying: usize,
    /// Nodes that converged.
    pub done: usize,
    /// Nodes that failed.
    pub failed: usize,
}

impl Pace {
    /// Tells whether the run has to stop beginning nodes for good.
    pub fn halted(&self, at: Standing) -> bool {
        let canaries_failed = at.failed > 0 && at.done < self.canary;
        canaries_failed || (self.halt_after > 0 && at.failed >= self.halt_after)
    }

    /// Returns how many nodes may be begun now.
    pub fn room(&self, at: Standing) -> usize {
        if self.halted(at) {
            return 0;
        }
        let most = match self.parallelism {
            Amount::Number(number) => number,
            Amount::Percent(percent) => (at.selected * percent).div_ceil(100),
        };
        let room = most.max(1).saturating_sub(at.flying);
        if at.done < self.canary { room.min(self.canary.saturating_sub(at.flying + at.done + at.failed)) } else { room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(selected: usize, flying: usize, done: usize, failed: usize) -> Standing {
        Standing { selected, flying, done, failed }
    }

    #[test]
    fn numbers_percentages_and_at_least_one() {
        let pace = |text: &str| Pace { parallelism: text.parse().unwrap(), canary: 0, halt_after: 0 };
        assert_eq!(pace("7").room(at(100, 3, 0, 0)), 4);
        assert_eq!(pace("25%").room(at(10, 0, 0, 0)), 3);
        assert_eq!(pace("0").room(at(10, 0, 0, 0)), 1);
        assert_eq!(pace("0").room(at(10, 1, 0, 0)), 0);
        assert!("x%".parse::<Amount>().is_err());
    }

    #[test]
    fn canaries_go_first_and_their_failure_ends_the_run() {
        let pace = Pace { parallelism: Amount::Number(100), canary: 2, halt_after: 0 };
        assert_eq!(pace.room(at(10, 0, 0, 0)), 2);
        assert_eq!(pace.room(at(10, 1, 1, 0)), 0);
        assert_eq!(pace.room(at(10, 0, 2, 0)), 100);
        assert!(pace.halted(at(10, 1, 0, 1)) && pace.halted(at(10, 0, 1, 1)));
        assert!(!pace.halted(at(10, 0, 5, 1)));
    }

    #[test]
    fn failures_halt() {
        let pace = Pace { parallelism: Amount::Number(5), canary: 0, halt_after: 3 };
        assert_eq!(pace.room(at(10, 2, 0, 2)), 3);
        assert_eq!(pace.room(at(10, 2, 0, 3)), 0);
    }
}
