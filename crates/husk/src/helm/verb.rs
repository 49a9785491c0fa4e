//! A command of Helm: its words, its flags, how many arguments it takes.

use super::flags::{Flag, Kind, Parsed};
use super::settings::{GLOBAL, Settings};
use std::fmt::Write as _;

/// What the commands that render have besides Helm's flags: more words about a failure.
const EXPLAIN: &[Flag] = &[Flag::new("explain", Kind::Switch)];

/// How a command fails: a text behind `Error: `, which may be empty when everything is said already.
pub(super) type Outcome = Result<(), String>;

/// A command.
pub(super) struct Verb {
    /// Its name and its other names.
    pub(super) names: &'static [&'static str],
    /// Its words, `get values`.
    pub(super) path: &'static str,
    /// The arguments as the usage shows them.
    pub(super) arguments: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    pub(super) arity: Arity,
    pub(super) flags: &'static [&'static [Flag]],
    pub(super) run: fn(&Parsed, &Settings) -> Outcome,
}

/// How many arguments.
#[derive(Clone, Copy)]
pub(super) enum Arity {
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    /// `install` counts by itself.
    Any,
}

impl Verb {
    /// Parses what stands behind the command's words and runs it.
    pub(super) fn call(&self, arguments: &[String]) -> Outcome {
        let groups: Vec<&[Flag]> = self.flags.iter().copied().chain([self.own_flags(), GLOBAL]).collect();
        let parsed = Parsed::read(arguments, &groups)?;
        parsed.notices.iter().for_each(|notice| super::err(notice));
        if parsed.help {
            super::out(&self.help());
            return Ok(());
        }
        self.count(parsed.arguments.len())?;
        let settings = Settings::new(&parsed)?;
        let explained = |text| if parsed.on("explain") { self.explained(&parsed, text) } else { text };
        (self.run)(&parsed, &settings).map_err(explained)
    }

    fn own_flags(&self) -> &'static [Flag] {
        if matches!(self.path, "install" | "lint" | "template" | "upgrade") { EXPLAIN } else { &[] }
    }

    /// Adds to the text of a failure what is known of each chart.
    fn explained(&self, parsed: &Parsed, mut text: String) -> String {
        let charts = match self.path {
            "lint" => parsed.arguments.as_slice(),
            _ => parsed.arguments.last().map_or(&[][..], std::slice::from_ref),
        };
        let Ok(user) = super::values::gather(parsed) else { return text };
        // Helm's lint has its findings on the other stream; its failure only counts them.
        let failure = (self.path != "lint").then(|| text.clone());
        for chart in charts {
            let more = crate::explain_render::explain(chart, &user, failure.as_deref());
            if !more.is_empty() {
                text.push_str("\n\n");
                text.push_str(more.trim_end());
            }
        }
        text
    }

    /// The first word of a command with two.
    pub(super) fn group(&self) -> Option<&'static str> {
        self.path.split_once(' ').map(|(group, _)| group)
    }

    fn usage(&self) -> String {
        let blank = if self.arguments.is_empty() { "" } else { " " };
        format!("helm {}{blank}{} [flags]", self.path, self.arguments)
    }

    fn count(&self, count: usize) -> Outcome {
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let wanted = match self.arity {
            Arity::None if count > 0 => "accepts no arguments".to_owned(),
            Arity::Exactly(n) if count != n => format!("requires {n} {}", plural(n)),
            Arity::AtLeast(n) if count < n => format!("requires at least {n} {}", plural(n)),
            Arity::AtMost(n) if count > n => format!("accepts at most {n} {}", plural(n)),
            _ => return Ok(()),
        };
        Err(format!("\"helm {}\" {wanted}\n\nUsage:  {}", self.path, self.usage()))
    }

    /// The flags of this command that are there to be used.
    pub(super) fn shown_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().chain([self.own_flags()]).flatten().filter(|flag| flag.is_shown())
    }

    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage:\n  {}\n", self.about, self.usage());
        if self.names.len() > 1 {
            let _ = writeln!(text, "\nAliases:\n  {}", self.names.join(", "));
        }
        if !self.flags.is_empty() {
            text.push_str("\nFlags:\n");
            self.flags.iter().for_each(|group| list(group, &mut text));
            list(self.own_flags(), &mut text);
        }
        text.push_str("\nGlobal Flags:\n");
        list(GLOBAL, &mut text);
        text
    }
}

fn list(flags: &[Flag], text: &mut String) {
    for flag in flags.iter().filter(|flag| flag.is_shown()) {
        let short = flag.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match flag.kind {
            Kind::Switch => "",
            Kind::Text | Kind::Repeat => " string",
            Kind::Bare(_) => "[=string]",
            Kind::List => " strings",
            Kind::Number => " int",
            Kind::Duration => " duration",
            Kind::Pairs => " key=value,…",
        };
        let _ = writeln!(text, "  {short}--{}{value}", flag.name);
    }
}
