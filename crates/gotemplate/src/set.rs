//! [`TemplateSet`]: templates that can call each other by name.

use std::sync::Arc;

use crate::ast::{Tree, is_empty};
use crate::bytestr::Str;
use crate::error::Error;
use crate::exec;
use crate::function::Functions;
use crate::hash::HashMap;
use crate::parse;
use crate::run::Run;
use crate::texts::Texts;
use crate::value::Value;

/// What a missing map key yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value, which prints as `<no value>`.
    #[default]
    Default,
    /// The zero value of the map's element type: nil for `interface {}`.
    Zero,
    /// An error.
    Error,
}

/// Named templates that see each other, with the functions they may call.
///
/// Parse once, execute as often as needed. A [`TemplateSet::fork`] sees everything of its parent and keeps its own
/// definitions to itself.
#[derive(Clone, Debug)]
pub struct TemplateSet {
    functions: Arc<Functions>,
    missing_key: MissingKey,
    own: HashMap<Arc<str>, Arc<Tree>>,
    parent: Option<Arc<TemplateSet>>,
    /// How many parts further texts may have.
    room: usize,
}

impl TemplateSet {
    /// An empty set.
    pub fn new(functions: Arc<Functions>) -> TemplateSet {
        TemplateSet {
            functions,
            missing_key: MissingKey::Default,
            own: HashMap::default(),
            parent: None,
            room: parse::MAX_PARTS,
        }
    }

    /// A set of these texts, as if they were parsed one after the other.
    ///
    /// # Errors
    /// [`Error::Parse`] of the first that does not parse, with its name.
    pub fn of(texts: &Texts) -> Result<TemplateSet, (String, Error)> {
        let mut set = TemplateSet::new(texts.functions.clone());
        let (trees, room) = texts.take_trees()?;
        trees.into_iter().for_each(|tree| set.add(Arc::new(tree)));
        set.room = room;
        Ok(set)
    }

    /// Chooses what a missing map key yields.
    pub fn with_missing_key(mut self, missing_key: MissingKey) -> TemplateSet {
        self.missing_key = missing_key;
        self
    }

    /// A set that sees the templates of this one, in constant time.
    pub fn fork(self: &Arc<Self>) -> TemplateSet {
        TemplateSet {
            functions: self.functions.clone(),
            missing_key: self.missing_key,
            own: HashMap::default(),
            parent: Some(self.clone()),
            room: parse::MAX_PARTS,
        }
    }

    /// Parses a text and adds its templates: `name` itself and every `define` and `block` in it. A definition replaces
    /// an earlier one of the same name unless its body is blank.
    ///
    /// # Errors
    /// [`Error::Parse`]; the set is then unchanged.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.parse_shared(name, &Str::from(text))
    }

    /// As [`TemplateSet::parse`], with a text that is shared rather than copied. What is not UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// As [`TemplateSet::parse`].
    pub fn parse_shared(&mut self, name: &str, text: &Str) -> Result<(), Error> {
        for tree in parse::parse(name, text, &self.functions, &mut self.room)? {
            self.add(Arc::new(tree));
        }
        Ok(())
    }

    /// A [`TemplateSet::fork`] with the templates of a text in it. `name` stands for the text itself even when that is
    /// blank and a template of that name exists: this is a text to be executed, not a redefinition.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn fork_with(self: &Arc<Self>, name: &str, text: &str) -> Result<TemplateSet, Error> {
        let mut fork = self.fork();
        for tree in parse::parse(name, &Str::from(text), &self.functions, &mut fork.room)? {
            if &*tree.name == name {
                fork.own.insert(tree.name.clone(), Arc::new(tree));
            } else {
                fork.add(Arc::new(tree));
            }
        }
        Ok(fork)
    }

    fn add(&mut self, tree: Arc<Tree>) {
        if is_empty(&tree.source, tree.root) && self.lookup(&tree.name).is_some() {
            return;
        }
        self.own.insert(tree.name.clone(), tree);
    }

    /// Executes a template and returns its output.
    ///
    /// # Errors
    /// When there is no such template or its execution fails.
    pub fn execute(self: &Arc<Self>, name: &str, data: &Value, run: &mut Run<'_>) -> Result<Str, Error> {
        let mut out = run.outputs.take();
        let result = self.execute_into(name, data, run, &mut out).map(|()| Str::from(&out[..]));
        run.outputs.keep(out);
        result
    }

    /// Executes a template and appends its output; what was written before a failure stays.
    ///
    /// # Errors
    /// When there is no such template or its execution fails.
    pub fn execute_into(
        self: &Arc<Self>,
        name: &str,
        data: &Value,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Some(tree) = self.lookup(name).cloned() else {
            return Err(Error::NoTemplate { name: name.to_owned() });
        };
        let outer = run.enter(self)?;
        let result = exec::execute(self, &tree, data, run, out);
        run.leave(outer);
        result
    }

    /// Is there a template of that name?
    pub fn contains(&self, name: &str) -> bool {
        self.lookup(name).is_some()
    }

    /// The names of all templates, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let sets = std::iter::successors(Some(self), |set| set.parent.as_deref());
        let mut names: Vec<_> = sets.flat_map(|set| set.own.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The functions that templates of this set may call besides Go's own.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    pub(crate) fn missing_key(&self) -> MissingKey {
        self.missing_key
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<&Arc<Tree>> {
        std::iter::successors(Some(self), |set| set.parent.as_deref()).find_map(|set| set.own.get(name))
    }
}
