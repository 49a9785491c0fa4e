//! [`Texts`]: texts that any number of threads parse together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::ast::Tree;
use crate::bytestr::Str;
use crate::error::Error;
use crate::function::Functions;
use crate::parse;

/// Texts under their names, to be parsed as one set of templates. Each thread that calls [`Texts::parse`] takes the next one
/// that nobody has begun with.
#[derive(Debug)]
pub struct Texts {
    pub(crate) functions: Arc<Functions>,
    texts: Vec<(String, Str)>,
    /// The first that nobody has begun with.
    next: AtomicUsize,
    /// The parts of those that are parsed.
    parts: AtomicUsize,
    /// Nothing further is parsed.
    stopped: AtomicBool,
    parsed: Mutex<Parsed>,
    /// A thread has parsed what it took.
    rested: Condvar,
}

#[derive(Debug, Default)]
struct Parsed {
    /// The trees of each text, by its place.
    trees: Vec<(usize, Vec<Tree>)>,
    /// Threads that are parsing.
    busy: usize,
}

impl Texts {
    /// Texts that may call these functions.
    pub fn new(functions: Arc<Functions>, texts: Vec<(String, Str)>) -> Texts {
        Texts {
            functions,
            texts,
            next: AtomicUsize::new(0),
            parts: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            parsed: Mutex::default(),
            rested: Condvar::new(),
        }
    }

    /// How long they are together.
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.len()).sum()
    }

    /// Parses texts until all are taken, or one of them does not parse.
    pub fn parse(&self) {
        self.parsed().busy += 1;
        let _busy = Busy(self);
        while !self.stopped.load(Ordering::Relaxed)
            && let at = self.next.fetch_add(1, Ordering::Relaxed)
            && let Some((name, text)) = self.texts.get(at)
        {
            let room = parse::MAX_PARTS.saturating_sub(self.parts.load(Ordering::Relaxed));
            let mut left = room;
            match parse::parse(name, text, &self.functions, &mut left) {
                Ok(trees) => {
                    self.parts.fetch_add(room - left, Ordering::Relaxed);
                    self.parsed().trees.push((at, trees));
                }
                Err(_) => self.stop(),
            }
        }
    }

    fn parsed(&self) -> MutexGuard<'_, Parsed> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the parsing, because nobody wants the templates any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Takes all trees in the order of the texts, and tells how many parts there may still be. What is not parsed yet is parsed now.
    ///
    /// # Errors
    /// [`Error::Parse`] of the first text that does not parse, with the name of that text.
    pub(crate) fn take_trees(&self) -> Result<(Vec<Tree>, usize), (String, Error)> {
        self.parse();
        let resting = self.rested.wait_while(self.parsed(), |parsed| parsed.busy > 0);
        let mut found = std::mem::take(&mut resting.unwrap_or_else(PoisonError::into_inner).trees);
        let left = parse::MAX_PARTS.checked_sub(self.parts.load(Ordering::Relaxed));
        if let Some(left) = left
            && found.len() == self.texts.len()
        {
            found.sort_unstable_by_key(|(at, _)| *at);
            return Ok((found.into_iter().flat_map(|(_, trees)| trees).collect(), left));
        }
        // What is wrong is told by parsing one after the other.
        let (mut trees, mut left) = (Vec::new(), parse::MAX_PARTS);
        for (name, text) in &self.texts {
            let parsed = parse::parse(name, text, &self.functions, &mut left);
            trees.extend(parsed.map_err(|error| (name.clone(), error))?);
        }
        Ok((trees, left))
    }
}

/// A thread that is parsing. Whoever waits for it goes on even when that ends in a panic.
struct Busy<'t>(&'t Texts);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.parsed().busy -= 1;
        self.0.rested.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, TemplateSet, Value};

    fn texts() -> Vec<(String, Str)> {
        let text = |i: usize| Str::from(format!("{{{{define \"same\"}}}}{i}{{{{end}}}}{{{{ len \"x\" }}}}"));
        (0..80).map(|i| (format!("t{i}"), text(i))).collect()
    }

    fn by_two(texts: Vec<(String, Str)>) -> Result<TemplateSet, (String, Error)> {
        let texts = Texts::new(Arc::default(), texts);
        std::thread::scope(|scope| {
            scope.spawn(|| texts.parse());
            texts.parse();
        });
        TemplateSet::of(&texts)
    }

    #[test]
    fn many_texts_are_as_if_parsed_one_after_the_other() {
        let set = Arc::new(by_two(texts()).expect("texts"));
        let output = set.execute("same", &Value::Nil, &mut Run::default()).expect("a template");
        assert_eq!(output, "79", "the last definition counts");
        let mut wrong = texts();
        wrong[60].1 = Str::from("{{");
        wrong[2].1 = Str::from("{{ nothing }}");
        let (name, error) = by_two(wrong).expect_err("malformed");
        assert_eq!(name, "t2");
        assert_eq!(error.to_string(), "template: t2:1: function \"nothing\" not defined");
    }

    #[test]
    fn what_was_stopped_is_parsed_when_it_is_wanted_after_all() {
        let texts = Texts::new(Arc::default(), texts());
        texts.stop();
        texts.parse();
        assert!(TemplateSet::of(&texts).expect("texts").contains("t79"));
    }

    #[test]
    fn all_texts_together_have_a_bound() {
        let text = Str::from("{{.}}".repeat(parse::MAX_PARTS / 4));
        let many = (0..3).map(|i| (format!("t{i}"), text.clone())).collect();
        let (name, error) = by_two(many).expect_err("too many");
        assert!(error.to_string().ends_with("templates have more than 1000000 parts"), "{name}: {error}");
    }
}
