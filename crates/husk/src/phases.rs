//! The phases of a verb: each has a bound of its own, which is shown while it runs and named when it has run out.

use crate::error::{Failure, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A part of a verb that waits for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The cluster is asked whether it can be done; nothing is changed.
    Preflight,
    /// The release's objects are applied and its hooks run; each hook may take the bound.
    Apply,
    /// The release's objects are removed and its hooks run; each hook may take the bound.
    Remove,
    /// The nodes do their part: a dispatcher's Job, or the pods of a DaemonSet.
    Nodes,
    /// The kubelets report what the nodes' runtimes have proven.
    Ready,
}

impl Phase {
    /// Every phase of every verb.
    pub(crate) const ALL: [Phase; 5] = [Phase::Preflight, Phase::Apply, Phase::Remove, Phase::Nodes, Phase::Ready];

    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Preflight => "preflight",
            Phase::Apply => "apply",
            Phase::Remove => "remove",
            Phase::Nodes => "nodes",
            Phase::Ready => "ready",
        }
    }

    /// Its bound when nobody says another.
    fn default_bound(self) -> Duration {
        Duration::from_secs(match self {
            Phase::Preflight => 120,
            Phase::Apply | Phase::Remove => 300,
            Phase::Nodes => 1800,
            Phase::Ready => 60,
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One word of `--timeout`: a bound for one phase, or for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    phase: Option<Phase>,
    bound: Duration,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Limit, String> {
        let (phase, bound) = match text.split_once('=') {
            None => (None, text),
            Some((name, bound)) => {
                let phase = Phase::ALL.into_iter().find(|phase| phase.name() == name.trim());
                (Some(phase.ok_or_else(|| format!("there is no phase `{name}`; {}", known(&Phase::ALL)))?), bound)
            }
        };
        Ok(Limit { phase, bound: duration(bound)? })
    }
}

fn known(phases: &[Phase]) -> String {
    let names: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
    format!("the phases are {}", names.join(", "))
}

/// Reads a duration as Helm does (`90s`, `30m`, `1h30m`); a number alone is seconds.
pub(crate) fn duration(text: &str) -> std::result::Result<Duration, String> {
    let text = text.trim();
    let seconds = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match seconds.map(Duration::from_secs).or_else(|| crate::helm::duration(text)) {
        Some(found) if found.is_zero() => Err("nothing is done in no time; say `30s`, `10m` or `1h30m`".to_owned()),
        Some(found) => Ok(found),
        None => Err(format!("`{text}` is no duration; say `30s`, `10m` or `1h30m`")),
    }
}

/// Writes a duration for people: `0.4 s`, `40 s`, `30 min`, `2 h 30 min`.
pub(crate) fn spell(duration: Duration) -> String {
    let (seconds, tenths) = (duration.as_secs(), duration.subsec_millis() / 100);
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big} {unit}"),
        small => format!("{big} {unit} {small} {part}"),
    };
    match seconds {
        0..10 if tenths > 0 => format!("{seconds}.{tenths} s"),
        60 => "1 min".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7200 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
    }
}

/// How long each phase of a verb may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds(BTreeMap<Phase, Duration>);

impl Bounds {
    /// Puts together what `--timeout` says about the phases of a verb; later words win, and one for a phase wins over
    /// one for all.
    pub(crate) fn new(verb: &str, phases: &[Phase], limits: &[Limit]) -> Result<Bounds> {
        let strange = limits.iter().filter_map(|limit| limit.phase).find(|phase| !phases.contains(phase));
        if let Some(phase) = strange {
            return Err(Failure::plain(format!("`husk {verb}` has no phase `{phase}`; {}", known(phases))));
        }
        let all = limits.iter().rfind(|limit| limit.phase.is_none()).map(|limit| limit.bound);
        let own = |phase| limits.iter().rfind(|limit| limit.phase == Some(phase)).map(|limit| limit.bound);
        let bound = |phase: Phase| own(phase).or(all).unwrap_or_else(|| phase.default_bound());
        Ok(Bounds(phases.iter().map(|phase| (*phase, bound(*phase))).collect()))
    }

    /// The bound of a phase.
    pub(crate) fn of(&self, phase: Phase) -> Duration {
        self.0.get(&phase).copied().unwrap_or_else(|| phase.default_bound())
    }
}

/// What a phase took, for reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Taken {
    phase: Phase,
    seconds: f64,
    bound_seconds: f64,
}

/// How far the phase that runs has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) phase: Phase,
    pub(crate) elapsed: Duration,
    pub(crate) bound: Duration,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", spell(self.elapsed), spell(self.bound))
    }
}

/// The clock of a verb; clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    bounds: Bounds,
    times: Arc<Mutex<Times>>,
}

#[derive(Debug)]
struct Times {
    phase: Phase,
    since: Instant,
    before: BTreeMap<Phase, Duration>,
}

impl Clock {
    /// Starts it with the first phase.
    pub(crate) fn start(bounds: Bounds, phase: Phase) -> Clock {
        let times = Times { phase, since: Instant::now(), before: BTreeMap::new() };
        Clock { bounds, times: Arc::new(Mutex::new(times)) }
    }

    /// Starts it again, with the phase that it is in.
    pub(crate) fn anew(self) -> Clock {
        let phase = self.read().phase;
        Clock::start(self.bounds, phase)
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the phase that runs and begins one; its bound counts from now.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut times = self.times();
        let (ended, elapsed) = (times.phase, times.since.elapsed());
        *times.before.entry(ended).or_default() += elapsed;
        (times.phase, times.since) = (phase, Instant::now());
    }

    /// How long a phase may take.
    pub(crate) fn bound(&self, phase: Phase) -> Duration {
        self.bounds.of(phase)
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Reading {
        let times = self.times();
        Reading { phase: times.phase, elapsed: times.since.elapsed(), bound: self.bounds.of(times.phase) }
    }

    /// What is left of the bound of the phase that runs.
    pub(crate) fn left(&self) -> Duration {
        let reading = self.read();
        reading.bound.saturating_sub(reading.elapsed)
    }

    /// Writes how long a phase took in all, and how long it might have: `(0.4 s of 5 min)`.
    pub(crate) fn note(&self, phase: Phase) -> String {
        let times = self.times();
        let running = if times.phase == phase { times.since.elapsed() } else { Duration::ZERO };
        let elapsed = times.before.get(&phase).copied().unwrap_or_default() + running;
        format!("({} of {})", spell(elapsed), spell(self.bounds.of(phase)))
    }

    /// What the phases took, each once.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        let times = self.times();
        let mut all = times.before.clone();
        *all.entry(times.phase).or_default() += times.since.elapsed();
        let round = |duration: Duration| (duration.as_secs_f64() * 1000.0).round() / 1000.0;
        let taken =
            |(phase, elapsed)| Taken { phase, seconds: round(elapsed), bound_seconds: round(self.bounds.of(phase)) };
        all.into_iter().map(taken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_phase_has_its_own_bound_else_that_for_all_else_the_default() {
        let phases = [Phase::Apply, Phase::Nodes, Phase::Ready];
        let bounds = |texts: &[&str]| {
            let bounds = Bounds::new("up", &phases, &limits(texts)).unwrap();
            phases.map(|phase| bounds.of(phase).as_secs())
        };
        assert_eq!(bounds(&[]), [300, 1800, 60]);
        assert_eq!(bounds(&["90"]), [90, 90, 90]);
        assert_eq!(bounds(&["nodes=1h30m", "10m"]), [600, 5400, 600]);
        assert_eq!(bounds(&["nodes=5s", "nodes=7", "ready=2m"]), [300, 7, 120]);
    }

    #[test]
    fn what_is_no_phase_or_no_duration_is_refused_and_the_right_words_are_named() {
        for (text, part) in [
            ("node=5s", "the phases are preflight, apply, remove, nodes, ready"),
            ("nodes=", "is no duration"),
            ("soon", "`30s`"),
            ("0", "in no time"),
            ("0s", "in no time"),
            ("-5s", "is no duration"),
            ("99999999999999999999999", "is no duration"),
        ] {
            let error = text.parse::<Limit>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let error = Bounds::new("down", &[Phase::Remove, Phase::Nodes], &limits(&["apply=5s"])).unwrap_err();
        assert!(error.message.contains("`husk down` has no phase `apply`; the phases are remove, nodes"), "{error}");
    }

    #[test]
    fn durations_are_written_with_the_units_that_fit() {
        for (millis, text) in [
            (0, "0 s"),
            (430, "0.4 s"),
            (9_960, "9.9 s"),
            (5_000, "5 s"),
            (10_700, "10 s"),
            (60_000, "1 min"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (125_000, "2 min 5 s"),
            (1_800_000, "30 min"),
            (5_400_000, "90 min"),
            (9_000_000, "2 h 30 min"),
        ] {
            assert_eq!(spell(Duration::from_millis(millis)), text);
        }
        let reading =
            Reading { phase: Phase::Nodes, elapsed: Duration::from_secs(40), bound: Duration::from_secs(1800) };
        assert_eq!(reading.to_string(), "40 s of 30 min");
    }

    #[test]
    fn a_clock_counts_each_phase_for_itself() {
        let bounds = Bounds::new("up", &[Phase::Apply, Phase::Nodes], &limits(&["nodes=1h"])).unwrap();
        let clock = Clock::start(bounds, Phase::Apply);
        let seen = clock.clone();
        clock.enter(Phase::Nodes);
        assert_eq!((seen.read().phase, seen.read().bound), (Phase::Nodes, Duration::from_secs(3600)));
        assert!(seen.left() <= Duration::from_secs(3600) && seen.left() > Duration::from_secs(3000));
        clock.enter(Phase::Apply);
        let taken = clock.taken();
        assert_eq!(taken.iter().map(|taken| taken.phase).collect::<Vec<_>>(), [Phase::Apply, Phase::Nodes]);
        assert_eq!(taken[1].bound_seconds, 3600.0);
        assert!(clock.note(Phase::Nodes).ends_with(" of 60 min)"), "{}", clock.note(Phase::Nodes));
    }
}
