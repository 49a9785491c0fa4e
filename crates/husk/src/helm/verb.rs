//! A command of Helm: its words, its flags, how many arguments it takes.

use super::flags::{Flag, Kind, Parsed};
use super::settings::{GLOBAL, Settings};
use std::fmt::Write as _;

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
        let groups: Vec<&[Flag]> = self.flags.iter().copied().chain([GLOBAL]).collect();
        let parsed = Parsed::read(arguments, &groups)?;
        parsed.notices.iter().for_each(|notice| super::err(notice));
        if parsed.help {
            super::out(&self.help());
            return Ok(());
        }
        self.count(parsed.arguments.len())?;
        let settings = Settings::new(&parsed)?;
        (self.run)(&parsed, &settings)
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

    fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage:\n  {}\n", self.about, self.usage());
        if self.names.len() > 1 {
            let _ = writeln!(text, "\nAliases:\n  {}", self.names.join(", "));
        }
        if !self.flags.is_empty() {
            text.push_str("\nFlags:\n");
            self.flags.iter().for_each(|group| list(group, &mut text));
        }
        text.push_str("\nGlobal Flags:\n");
        list(GLOBAL, &mut text);
        text
    }
}

fn list(flags: &[Flag], text: &mut String) {
    for flag in flags.iter().filter(|flag| !flag.is_absent()) {
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
