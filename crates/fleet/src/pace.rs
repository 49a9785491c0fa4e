//! How many nodes may be worked on at once, and which of them come first.

use std::str::FromStr;

/// A number of nodes, or a share of those selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Number(usize),
    /// So many of a hundred, rounded up.
    Percent(usize),
}

impl Amount {
    /// Returns how many of `total` nodes are meant; a share is rounded up.
    pub fn of(self, total: usize) -> usize {
        match self {
            Amount::Number(number) => number,
            Amount::Percent(percent) => total.saturating_mul(percent).div_ceil(100),
        }
    }
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

/// What becomes of a node on which Kata sandboxes run when its turn comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandboxes {
    /// It is worked on all the same.
    #[default]
    Allow,
    /// It waits until they have ended; the others go first.
    Wait,
    /// It is cordoned and they are evicted, as far as disruption budgets allow; afterwards it is uncordoned.
    Drain,
}

impl FromStr for Sandboxes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "allow" => Ok(Sandboxes::Allow),
            "wait" => Ok(Sandboxes::Wait),
            "drain" => Ok(Sandboxes::Drain),
            _ => Err(format!("`{text}` is none of allow, wait and drain")),
        }
    }
}

/// The pace of a run. Everything but `parallelism` is off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Jobs in flight at most.
    pub parallelism: Amount,
    /// Nodes that go first; the others follow when all of these converged. `None`: nobody goes first.
    pub canary: Option<Amount>,
    /// Nodes of a wave: the next wave begins when this one is over. `None`: no waves.
    pub wave: Option<Amount>,
    /// How many selected nodes of a zone may be in flight or not Ready at once. `None`: zones are not looked at.
    pub unavailable: Option<Amount>,
    /// Servers of a control plane come after all others, one at a time.
    pub control_plane_last: bool,
    /// No node is begun any more after so many failures. 0: never.
    pub halt_after: usize,
    /// What becomes of nodes on which Kata sandboxes run.
    pub sandboxes: Sandboxes,
    /// Milliseconds that sandboxes get to end. 0: any time that it takes.
    pub sandbox_wait: u64,
}

impl Pace {
    /// Returns a pace with nothing but a bound on the Jobs in flight.
    pub fn plain(parallelism: Amount) -> Self {
        Pace {
            parallelism,
            canary: None,
            wave: None,
            unavailable: None,
            control_plane_last: false,
            halt_after: 0,
            sandboxes: Sandboxes::Allow,
            sandbox_wait: 0,
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nodes selected.
    pub selected: usize,
    /// Nodes that had their turn: in flight, through, or gone silent meanwhile.
    pub begun: usize,
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
        let canaries_failed = at.failed > 0 && at.done < self.canaries(at);
        canaries_failed || (self.halt_after > 0 && at.failed >= self.halt_after)
    }

    /// Returns how many nodes may be begun now, as far as numbers tell.
    pub fn room(&self, at: Standing) -> usize {
        if self.halted(at) {
            return 0;
        }
        let room = self.parallelism.of(at.selected).max(1).saturating_sub(at.flying);
        room.min(self.wave_end(at).saturating_sub(at.begun))
    }

    fn canaries(&self, at: Standing) -> usize {
        self.canary.map_or(0, |canary| canary.of(at.selected))
    }

    /// Returns how many nodes have been begun when the wave that is under way, or comes next, is complete.
    fn wave_end(&self, at: Standing) -> usize {
        let canaries = self.canaries(at);
        if at.done < canaries {
            return canaries.max(at.begun);
        }
        let Some(wave) = self.wave else { return usize::MAX };
        let size = wave.of(at.selected).max(1);
        let within = at.begun.saturating_sub(canaries) % size;
        match (within, at.flying) {
            (0, 0) => at.begun + size,
            (0, _) => at.begun, // complete, and not over yet
            _ => at.begun - within + size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(selected: usize, flying: usize, done: usize, failed: usize) -> Standing {
        Standing { selected, begun: flying + done + failed, flying, done, failed }
    }

    fn plain(parallelism: &str) -> Pace {
        Pace::plain(parallelism.parse().unwrap())
    }

    #[test]
    fn numbers_percentages_and_at_least_one() {
        assert_eq!(plain("7").room(at(100, 3, 0, 0)), 4);
        assert_eq!(plain("25%").room(at(10, 0, 0, 0)), 3);
        assert_eq!(plain("0").room(at(10, 0, 0, 0)), 1);
        assert_eq!(plain("0").room(at(10, 1, 0, 0)), 0);
        assert!("x%".parse::<Amount>().is_err());
    }

    #[test]
    fn canaries_go_first_and_their_failure_ends_the_run() {
        let pace = Pace { canary: Some(Amount::Number(2)), ..plain("100") };
        assert_eq!(pace.room(at(10, 0, 0, 0)), 2);
        assert_eq!(pace.room(at(10, 1, 1, 0)), 0);
        assert_eq!(pace.room(at(10, 0, 2, 0)), 100);
        assert!(pace.halted(at(10, 1, 0, 1)) && pace.halted(at(10, 0, 1, 1)));
        assert!(!pace.halted(at(10, 0, 5, 1)));
        let share = Pace { canary: Some(Amount::Percent(10)), ..plain("100") };
        assert_eq!(share.room(at(45, 0, 0, 0)), 5);
    }

    #[test]
    fn a_wave_begins_when_the_one_before_is_over() {
        let pace = Pace { canary: Some(Amount::Number(1)), wave: Some(Amount::Number(4)), ..plain("100") };
        assert_eq!(pace.room(at(20, 0, 0, 0)), 1);
        assert_eq!(pace.room(at(20, 0, 1, 0)), 4);
        assert_eq!(pace.room(at(20, 1, 1, 0)), 3, "the wave is filled up");
        assert_eq!(pace.room(at(20, 4, 1, 0)), 0);
        assert_eq!(pace.room(at(20, 1, 3, 1)), 0, "one is still at work");
        assert_eq!(pace.room(at(20, 0, 4, 1)), 4, "a failed node is over too");
        let share = Pace { wave: Some(Amount::Percent(50)), ..plain("2") };
        assert_eq!(share.room(at(10, 0, 0, 0)), 2);
        assert_eq!(share.room(at(10, 1, 4, 0)), 0);
    }

    #[test]
    fn failures_halt() {
        let pace = Pace { halt_after: 3, ..plain("5") };
        assert_eq!(pace.room(at(10, 2, 0, 2)), 3);
        assert_eq!(pace.room(at(10, 2, 0, 3)), 0);
    }

    #[test]
    fn what_is_done_about_sandboxes_is_one_of_three() {
        assert_eq!("drain".parse(), Ok(Sandboxes::Drain));
        assert!("kill".parse::<Sandboxes>().is_err());
    }
}
