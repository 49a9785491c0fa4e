//! Who works on a release, and is that process still there?
//!
//! A record in a pending state says that somebody works, not that somebody is alive. So whoever works leaves a name in
//! the record's annotations and renews it; a process of the same machine can be looked up, one elsewhere is gone when it
//! stops renewing. Helm leaves no name: its pending records can only be judged by their age.

use crate::record::{Release, Status};
use crate::storage::{Lease, Storage};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often a holder renews.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// A holder that was silent for this long (seconds) is probably gone.
pub const SILENT_AFTER: i64 = 30;
/// A pending record without a name is left alone for this long (seconds): Helm may be at work.
pub const NAMELESS_AFTER: i64 = 15 * 60;

/// Operations of this process that have not ended.
static UNDER_WAY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What is known about a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// At work.
    Alive,
    /// Gone for certain.
    Gone,
    /// Silent for long enough that it is worth looking twice.
    Silent,
}

/// The identity of a process: machine, process namespace, number, start time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    place: String,
    pid: u32,
    start: String,
}

impl Process {
    fn this() -> Process {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let names = std::fs::read_link("/proc/self/ns/pid").map(|path| path.display().to_string()).unwrap_or_default();
        let digits: String = names.chars().filter(char::is_ascii_digit).collect();
        let pid = std::process::id();
        Process { place: format!("{}:{digits}", host.trim()), pid, start: start_time(pid).unwrap_or_default() }
    }

    fn name(&self, operation: u64) -> String {
        format!("{}/{}/{}/{operation}", self.place, self.pid, self.start)
    }
}

/// Returns when a process started (in clock ticks after boot), or nothing when there is no such process.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything, so count from its end.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// Judges the holder of a lease at a time in seconds since 1970.
pub fn judge(lease: &Lease, now: i64) -> Holder {
    let alive_here = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).contains(&lease.holder);
    judge_seen_from(lease, now, &Process::this(), alive_here, start_time)
}

fn judge_seen_from(
    lease: &Lease,
    now: i64,
    me: &Process,
    alive_here: bool,
    start_time: impl Fn(u32) -> Option<String>,
) -> Holder {
    let parts: Vec<&str> = lease.holder.rsplitn(4, '/').collect();
    if let [_, start, pid, place] = parts.as_slice()
        && *place == me.place
        && !me.start.is_empty()
        && let Ok(pid) = pid.parse::<u32>()
    {
        let alive =
            if pid == me.pid && *start == me.start { alive_here } else { start_time(pid).as_deref() == Some(start) };
        return if alive { Holder::Alive } else { Holder::Gone };
    }
    if now - lease.renewed > SILENT_AFTER { Holder::Silent } else { Holder::Alive }
}

/// Has a pending record without a holder's name been left for long enough?
pub fn is_abandoned(release: &Release, now: i64) -> bool {
    let touched = match release.info.status {
        Status::Uninstalling => release.info.deleted,
        _ => release.info.last_deployed,
    };
    touched.is_none_or(|time| now - time.at.as_second() > NAMELESS_AFTER)
}

/// An operation of this process that is under way, until it is dropped.
pub struct Claim {
    /// What the record says about it.
    pub lease: Lease,
}

/// Makes a name for an operation of this process and counts it as under way.
pub fn begin() -> Claim {
    let holder = Process::this().name(NEXT.fetch_add(1, Ordering::Relaxed));
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).insert(holder.clone());
    Claim { lease: Lease { holder, renewed: Timestamp::now().as_second() } }
}

impl Drop for Claim {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.lease.holder);
    }
}

/// A claim on a revision whose sign of life is renewed until it is dropped.
pub struct Held {
    _claim: Claim,
    renewal: JoinHandle<()>,
}

impl Held {
    /// Renews a claim in the background.
    pub fn keep(storage: &Storage, name: &str, revision: u32, claim: Claim) -> Held {
        let (storage, name) = (storage.clone(), name.to_owned());
        let mut lease = claim.lease.clone();
        let renewal = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                lease.renewed = Timestamp::now().as_second();
                // Should it fail, the next renewal tries again; the operation itself reports a lost API server.
                let _ = storage.renew(&name, revision, &lease).await;
            }
        });
        Held { _claim: claim, renewal }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Process {
        Process { place: "host:1".into(), pid: 10, start: "500".into() }
    }

    fn lease(holder: &str) -> Lease {
        Lease { holder: holder.into(), renewed: 1000 }
    }

    #[test]
    fn processes_of_this_machine_are_looked_up() {
        let running = |pid: u32| (pid == 11).then(|| "600".to_owned());
        let at = |holder: &str, here: bool| judge_seen_from(&lease(holder), 9999, &me(), here, running);
        assert_eq!(at("host:1/11/600/1", false), Holder::Alive);
        assert_eq!(at("host:1/11/599/1", false), Holder::Gone, "the number was given to another process");
        assert_eq!(at("host:1/12/600/1", false), Holder::Gone);
        assert_eq!(at("host:1/10/500/1", true), Holder::Alive);
        assert_eq!(at("host:1/10/500/1", false), Holder::Gone, "an operation of this process that was dropped");
    }

    #[test]
    fn others_are_judged_by_their_silence() {
        let at = |now| judge_seen_from(&lease("elsewhere:1/11/600/1"), now, &me(), false, |_| None);
        assert_eq!(at(1000 + SILENT_AFTER), Holder::Alive);
        assert_eq!(at(1001 + SILENT_AFTER), Holder::Silent);
        assert_eq!(judge_seen_from(&lease("no name at all"), 1010, &me(), false, |_| None), Holder::Alive);
    }

    #[test]
    fn this_process_is_alive_while_it_works() {
        let claim = begin();
        let lease = claim.lease.clone();
        assert_eq!(judge(&lease, lease.renewed), Holder::Alive);
        drop(claim);
        assert_eq!(judge(&lease, lease.renewed), Holder::Gone);
    }
}
