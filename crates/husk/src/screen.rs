//! What the user sees while a verb works: a live region on a terminal, plain lines elsewhere, nothing for `-o json`.

use crate::board::{Board, Row, Tally};
use crate::phases::{Phase, Reading};
use contract::State;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How a verb speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document at the end.
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Live,
    Plain,
    Silent,
}

/// Most node lines in the live region; the rest is counted.
const LIVE_ROWS: usize = 12;

/// Where nothing is drawn: after so long without a line it is said that the work goes on.
const QUIET: Duration = Duration::from_secs(30);

/// The user's screen.
pub(crate) struct Screen {
    manner: Manner,
    drawn: usize,
    colour: bool,
    spoken: Instant,
}

impl Screen {
    /// Opens the screen: live when standard output is a terminal.
    pub(crate) fn open(output: Output) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let manner = match output {
            Output::Json => Manner::Silent,
            Output::Text if terminal => Manner::Live,
            Output::Text => Manner::Plain,
        };
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { manner, drawn: 0, colour, spoken: Instant::now() }
    }

    /// Says that a step is through.
    pub(crate) fn step(&mut self, what: &str, detail: &str) {
        let mark = self.paint("32", "✓");
        self.line(&format!("{mark} {what:<9} {detail}"), &format!("{what:<9} {detail}"));
    }

    /// Says something that deserves attention and stops nothing.
    pub(crate) fn warn(&mut self, text: &str) {
        let mark = self.paint("33", "!");
        self.line(&format!("{mark} {text}"), &format!("warning   {text}"));
    }

    /// Prints a block of finished text.
    pub(crate) fn block(&mut self, text: &str) {
        self.line(text, text);
    }

    /// Says that a node changed: a line of its own, unless the live region shows it.
    pub(crate) fn node(&mut self, row: &Row) {
        let text = describe(row);
        match self.manner {
            Manner::Live if row.record.state == State::Failed => {
                let mark = self.paint("31", "✗");
                self.line(&format!("{mark} node      {text}"), "");
            }
            Manner::Live | Manner::Silent => {}
            Manner::Plain => self.line("", &format!("node      {text}")),
        }
    }

    /// Draws the live region anew: the phase with its time, then each node in flight. `of` is how many nodes there are.
    pub(crate) fn draw(&mut self, reading: &Reading, of: Option<usize>, board: &Board, now: u64) {
        let doing = underway(reading, board.tally(), of);
        match self.manner {
            Manner::Live => {}
            Manner::Plain if self.spoken.elapsed() >= QUIET => return self.line("", &doing),
            Manner::Plain | Manner::Silent => return,
        }
        let (width, height) = terminal_size();
        let mut lines = vec![format!("{} {doing}", self.paint("36", spinner(now)))];
        let rows = LIVE_ROWS.min(height.saturating_sub(3)).max(1);
        let flying: Vec<&Row> = board.rows().filter(|row| row.begun.is_some() && row.ended.is_none()).collect();
        for row in flying.iter().take(rows) {
            let seconds = now.saturating_sub(row.begun.unwrap_or(now)) as f64 / 1000.0;
            lines.push(format!("  {:<24} {}  {seconds:.1} s", row.record.node, stages(row)));
        }
        if flying.len() > rows {
            lines.push(format!("  and {} more", flying.len() - rows));
        }
        let mut text = self.erase();
        for line in &lines {
            let _ = writeln!(text, "{}", cut(line, width));
        }
        self.drawn = lines.len();
        emit(&text);
    }

    /// Takes the live region away; what was said before stays.
    pub(crate) fn clear(&mut self) {
        let text = self.erase();
        self.drawn = 0;
        emit(&text);
    }

    fn line(&mut self, live: &str, plain: &str) {
        self.spoken = Instant::now();
        match self.manner {
            Manner::Silent => {}
            Manner::Plain => emit(&format!("{plain}\n")),
            Manner::Live => {
                let erase = self.erase();
                self.drawn = 0;
                emit(&format!("{erase}{live}\n"));
            }
        }
    }

    fn erase(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.drawn) }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes to standard output; a reader that went away is not an error worth stopping for.
pub(crate) fn emit(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn describe(row: &Row) -> String {
    let record = &row.record;
    let state = match record.state {
        State::Pending => "waits",
        State::Running => "runs",
        State::Done => "done",
        State::Failed => "FAILED",
    };
    let code = record.code.map(|code| format!(" {code}")).unwrap_or_default();
    let message = match record.state {
        State::Failed | State::Pending if !record.message.is_empty() => format!(": {}", record.message),
        _ => String::new(),
    };
    format!("{:<12} {:<16} {state}{code}{message}", record.node, record.stage.name())
}

fn stages(row: &Row) -> String {
    use contract::Stage;
    let all: &[Stage] = if Stage::REMOVE.contains(&row.record.stage) { &Stage::REMOVE } else { &Stage::INSTALL };
    let at = all.iter().position(|stage| *stage == row.record.stage).unwrap_or(0);
    let bar: String = (0..all.len())
        .map(|n| {
            if n < at {
                '●'
            } else if n == at {
                '◐'
            } else {
                '○'
            }
        })
        .collect();
    format!("{bar} {:<16}", row.record.stage.name())
}

/// `nodes     3 of 5 done, 1 in flight; 40 s of 30 min`
fn underway(reading: &Reading, tally: Tally, of: Option<usize>) -> String {
    let mut text = format!("{:<9} ", reading.phase.name());
    if reading.phase == Phase::Nodes || tally != Tally::default() {
        let _ = match of {
            Some(all) => write!(text, "{} of {all} done", tally.done),
            None => write!(text, "{} done", tally.done),
        };
        if tally.failed > 0 {
            let _ = write!(text, ", {} failed", tally.failed);
        }
        if tally.flying > 0 {
            let _ = write!(text, ", {} in flight", tally.flying);
        }
        text.push_str("; ");
    }
    let _ = write!(text, "{reading}");
    text
}

fn spinner(now: u64) -> &'static str {
    const FRAMES: [&str; 8] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"];
    FRAMES[usize::try_from(now / 100).unwrap_or(0) % FRAMES.len()]
}

fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
        _ => (80, 24),
    }
}

/// Cuts a line to the terminal's width, colour codes not counted, so that the region's height stays known.
fn cut(line: &str, width: usize) -> String {
    let (mut out, mut columns, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\x1b' {
            escape = true;
        } else if escape {
            escape = !c.is_ascii_alphabetic();
        } else {
            columns += 1;
            if columns >= width {
                continue;
            }
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{Code, NodeRecord, Stage};

    #[test]
    fn lines_are_cut_by_what_is_seen() {
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 4), "\x1b[31mabc\x1b[0m");
        assert_eq!(cut("abc", 80), "abc");
    }

    #[test]
    fn a_phase_is_shown_with_its_time_and_the_nodes_with_their_counts() {
        let of = |phase| Reading { phase, elapsed: Duration::from_secs(40), bound: Duration::from_secs(1800) };
        let tally = Tally { done: 3, flying: 1, failed: 0 };
        assert_eq!(underway(&of(Phase::Nodes), tally, Some(5)), "nodes     3 of 5 done, 1 in flight; 40 s of 30 min");
        assert_eq!(underway(&of(Phase::Apply), Tally::default(), Some(5)), "apply     40 s of 30 min");
    }

    #[test]
    fn a_node_line_has_stage_state_code_and_cause() {
        let mut record = NodeRecord::new("k3s-1", "default", Stage::Cri, State::Failed);
        record.code = Some(Code::RUNTIME_REFUSED);
        record.message = "k3s did not come back".into();
        let row = Row { record, begun: Some(0), ended: Some(1) };
        assert_eq!(describe(&row), "k3s-1        cri              FAILED HUSK-2202: k3s did not come back");
        assert!(stages(&row).starts_with("●●◐○ cri"));
    }
}
