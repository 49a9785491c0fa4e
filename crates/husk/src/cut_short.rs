//! When a verb ends before the work does, because the user interrupts it or a phase runs out of time: what goes on
//! running, and how to go on.

use crate::error::{Failure, Result, exit};
use crate::phases::{Phase, Reading, spell};
use contract::Code;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The user's wish to stop: Ctrl-C, or SIGTERM as CI systems send it.
pub(crate) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Listens from now on; what comes before it is asked for counts too.
    pub(crate) fn listen() -> Result<Interrupt> {
        let of = |kind| signal(kind).map_err(Failure::plain);
        Ok(Interrupt { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// Waits until the user wants it to end.
    pub(crate) async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What is left behind by a verb that ends before the work does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// What goes on on the cluster: `DaemonSet kata-deploy`.
    pub(crate) goes_on: Vec<String>,
    /// The nodes that are being worked on.
    pub(crate) flying: Vec<String>,
    /// The command that goes on: `husk resume`.
    pub(crate) again: String,
}

impl Left {
    fn what(&self, phase: Phase) -> String {
        if phase == Phase::Preflight {
            return "Nothing was changed.".to_owned();
        }
        let flying: Vec<&str> = self.flying.iter().map(String::as_str).collect();
        let now = if flying.is_empty() { String::new() } else { format!(", now on {}", crate::status::names(&flying)) };
        match self.goes_on.as_slice() {
            [] => "What was done so far stays; nothing goes on by itself.".to_owned(),
            goes_on => format!(
                "On the cluster goes on: {}{now}. A node in flight is finished or undone by its own installer.",
                goes_on.join(", ")
            ),
        }
    }
}

/// Says what goes on without us, and how to go on.
pub(crate) fn interrupted(reading: &Reading, left: &Left) -> Failure {
    let Left { again, .. } = left;
    let next = match reading.phase {
        Phase::Preflight => format!("`{again}` begins again."),
        _ => format!("`husk status --watch` shows how it gets on; `{again}` takes up where this ended."),
    };
    Failure::plain(format!(
        "interrupted in phase {} after {}\n  {}\n  Next: {next}",
        reading.phase,
        spell(reading.elapsed),
        left.what(reading.phase)
    ))
    .exiting(exit::INTERRUPTED)
}

/// Says which phase ran out of which time, with one line for each thing that is open, what is known of the cause, and the
/// command that goes on and waits longer.
pub(crate) fn out_of_time(reading: &Reading, what: &str, open: &[String], cause: Option<&str>, left: &Left) -> Failure {
    let Reading { phase, bound, .. } = *reading;
    let mut text = format!("phase {phase} is out of time after {}: {what}", spell(bound));
    for line in open.iter().take(LINES) {
        text.push_str(&format!("\n  {line}"));
    }
    if open.len() > LINES {
        text.push_str(&format!("\n  and {} more", open.len() - LINES));
    }
    if let Some(cause) = cause {
        text.push_str(&format!("\n  Cause: {cause}"));
    }
    text.push_str(&format!("\n  {}", left.what(phase)));
    text.push_str(&format!("\n  To wait longer: `{} --timeout {phase}={}`", left.again, word(longer(bound))));
    Failure::new(Code::PHASE_TIMED_OUT, text).exiting(exit::TIMED_OUT)
}

/// Most lines about what is open; the rest is counted.
const LINES: usize = 20;

/// A bound that is worth trying next.
fn longer(bound: Duration) -> Duration {
    (bound * 2).max(Duration::from_secs(600))
}

/// Writes a duration as `--timeout` reads it.
fn word(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(phase: Phase) -> Reading {
        Reading { phase, elapsed: Duration::from_secs(12), bound: Duration::from_secs(5) }
    }

    fn left() -> Left {
        Left {
            goes_on: vec!["DaemonSet kata-deploy".into()],
            flying: vec!["k8s-1".into()],
            again: "husk resume".into(),
        }
    }

    #[test]
    fn an_interruption_says_what_goes_on_and_what_to_do() {
        let text = interrupted(&reading(Phase::Nodes), &left()).to_string();
        for part in
            ["in phase nodes after 12 s", "goes on: DaemonSet kata-deploy, now on k8s-1.", "`husk resume` takes up"]
        {
            assert!(text.contains(part), "{text}");
        }
        let before = interrupted(&reading(Phase::Preflight), &Left { again: "husk up".into(), ..Left::default() });
        assert_eq!(before.exit, exit::INTERRUPTED);
        assert!(before.message.contains("Nothing was changed.\n  Next: `husk up` begins again."), "{before}");
        let applying = Left { again: "husk resume".into(), ..Left::default() };
        assert!(interrupted(&reading(Phase::Apply), &applying).message.contains("nothing goes on by itself"));
    }

    #[test]
    fn a_phase_out_of_time_says_which_what_is_open_why_and_the_next_command() {
        let open: Vec<String> = (0..25).map(|n| format!("node n{n}: at stage cri, running")).collect();
        let failure =
            out_of_time(&reading(Phase::Nodes), "0 of 25 nodes are through", &open, Some("no image"), &left());
        assert_eq!((failure.exit, failure.code), (exit::TIMED_OUT, Some(Code::PHASE_TIMED_OUT)));
        let text = failure.to_string();
        for part in [
            "phase nodes is out of time after 5 s: 0 of 25 nodes are through",
            "\n  node n19: at stage cri, running\n  and 5 more\n  Cause: no image\n  On the cluster goes on: DaemonSet",
            "`husk resume --timeout nodes=10m`",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn the_next_bound_is_longer_and_can_be_read_again() {
        for (seconds, text) in [(5, "10m"), (1800, "1h"), (400, "800s"), (450, "15m")] {
            let next = word(longer(Duration::from_secs(seconds)));
            assert_eq!(next, text);
            assert!(crate::phases::duration(&next).unwrap() > Duration::from_secs(seconds));
        }
    }
}
