//! [`Texts`]: texts that any number of threads parse together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// The trees of each text, by its place.
    trees: Mutex<Vec<(usize, Vec<Tree>)>>,
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
            trees: Mutex::default(),
        }
    }

    /// How long they are together.
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.len()).sum()
    }

    /// Parses texts until all are taken, or one of them does not parse.
    pub fn parse(&self) {
        while !self.stopped.load(Ordering::Relaxed)
            && let at = self.next.fetch_add(1, Ordering::Relaxed)
            && let Some((name, text)) = self.texts.get(at)
        {
            let room = parse::MAX_PARTS.saturating_sub(self.parts.load(Ordering::Relaxed));
            let mut left = room;
            match parse::parse(name, text, &self.functions, &mut left) {
                Ok(trees) => {
                    self.parts.fetch_add(room - left, Ordering::Relaxed);
                    self.trees.lock().unwrap_or_else(PoisonError::into_inner).push((at, trees));
                }
                Err(_) => self.stop(),
            }
        }
    }

    /// Ends the parsing, because nobody wants the templates any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// All trees in the order of the texts, and how many parts there may still be. What is not parsed yet is parsed now.
    ///
    /// # Errors
    /// [`Error::Parse`] of the first text that does not parse, with the name of that text.
    pub(crate) fn into_trees(self) -> Result<(Vec<Tree>, usize), (String, Error)> {
        self.parse();
        let mut parsed = self.trees.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left = parse::MAX_PARTS.checked_sub(self.parts.into_inner());
        if let Some(left) = left
            && parsed.len() == self.texts.len()
        {
            parsed.sort_unstable_by_key(|(at, _)| *at);
            return Ok((parsed.into_iter().flat_map(|(_, trees)| trees).collect(), left));
        }
        // What is wrong is told by parsing one after the other.
        let (mut trees, mut left) = (Vec::new(), parse::MAX_PARTS);
        for (name, text) in self.texts {
            trees.extend(parse::parse(&name, &text, &self.functions, &mut left).map_err(|error| (name, error))?);
        }
        Ok((trees, left))
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
        TemplateSet::of(texts)
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
        assert!(TemplateSet::of(texts).expect("texts").contains("t79"));
    }

    #[test]
    fn all_texts_together_have_a_bound() {
        let text = Str::from("{{.}}".repeat(parse::MAX_PARTS / 4));
        let many = (0..3).map(|i| (format!("t{i}"), text.clone())).collect();
        let (name, error) = by_two(many).expect_err("too many");
        assert!(error.to_string().ends_with("templates have more than 1000000 parts"), "{name}: {error}");
    }
}
