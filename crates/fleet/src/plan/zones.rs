//! How many nodes each zone can still spare: counted along, because with ten thousand nodes counting anew for every one of
//! them takes minutes.

use super::Fleet;
use super::work::Phase;
use crate::pace::Amount;
use std::collections::BTreeMap;

/// The nodes of the run in one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    /// All of them.
    total: usize,
    /// Those that are in flight or not Ready.
    unavailable: usize,
}

impl Zone {
    pub(super) fn may_spare_one(self, amount: Amount) -> bool {
        self.unavailable < amount.of(self.total).max(1)
    }
}

/// Zones by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Zones(BTreeMap<Box<str>, Zone>);

impl Zones {
    pub(super) fn of(&self, zone: &str) -> Zone {
        self.0.get(zone).copied().unwrap_or_default()
    }

    /// Counts a node in.
    fn add(&mut self, zone: &str, unavailable: bool) {
        let zone = self.0.entry(zone.into()).or_default();
        zone.total += 1;
        zone.unavailable += usize::from(unavailable);
    }

    /// Counts a node out again that was counted in like this.
    fn take(&mut self, zone: &str, unavailable: bool) {
        if let Some(counted) = self.0.get_mut(zone) {
            counted.total = counted.total.saturating_sub(1);
            counted.unavailable = counted.unavailable.saturating_sub(usize::from(unavailable));
            if counted.total == 0 {
                self.0.remove(zone);
            }
        }
    }
}

impl Fleet {
    /// Changes what is known of one node, and keeps the count of its zone.
    pub(super) fn tallied(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        if self.zones.is_none() {
            return change(self);
        }
        let before = self.stands(name).map(|(zone, unavailable)| (Box::<str>::from(zone), unavailable));
        change(self);
        let after = self.stands(name).map(|(zone, unavailable)| (Box::<str>::from(zone), unavailable));
        if let Some(zones) = self.zones.as_mut().filter(|_| before != after) {
            if let Some((zone, unavailable)) = before {
                zones.take(&zone, unavailable);
            }
            if let Some((zone, unavailable)) = after {
                zones.add(&zone, unavailable);
            }
        }
    }

    /// Returns the zone of a node of the run, and whether the zone lacks it now.
    fn stands(&self, name: &str) -> Option<(&str, bool)> {
        let (work, node) = (self.works.get(name)?, self.nodes.get(name)?);
        // A node that waits for its turn while it is down is no reason to keep its own zone closed to it.
        let down = !node.ready && work.phase != Phase::Waiting;
        Some((&node.zone, work.phase.flies() || down))
    }

    /// Counts all zones anew.
    #[cfg(test)]
    pub(super) fn counted_anew(&self) -> Option<Zones> {
        self.zones.as_ref()?;
        let mut zones = Zones::default();
        for (zone, unavailable) in self.works.keys().filter_map(|name| self.stands(name)) {
            zones.add(zone, unavailable);
        }
        Some(zones)
    }
}
