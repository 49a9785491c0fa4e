//! [`Run`]: one rendering run. Budgets, cancellation, the host's state, and the way back into the engine for functions.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ast::Word;
use crate::bytestr::Str;
use crate::error::{Error, LimitError};
use crate::eval::Datum;
use crate::set::TemplateSet;
use crate::value::Value;

/// Below both of these the memory does not count.
const LEAST_OUTPUT: usize = 16 << 20;
const LEAST_STEPS: u64 = 1_000_000;

/// Claimed bytes and steps after which the memory is looked at again.
const LOOK_AFTER: usize = 4 << 20;
const LOOK_AFTER_STEPS: u64 = 1 << 14;

/// Spare lists with more room than this, in bytes, are given back.
const LARGEST_SPARE: usize = 64 << 10;

/// Emptied lists that are used again: nearly every call takes one or two, for a moment.
pub(crate) struct Spare<T>(Vec<Vec<T>>);

impl<T> Spare<T> {
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.0.pop().unwrap_or_default()
    }

    pub(crate) fn keep(&mut self, mut list: Vec<T>) {
        if list.capacity() * size_of::<T>() <= LARGEST_SPARE {
            list.clear();
            self.0.push(list);
        }
    }
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Spare(Vec::new())
    }
}

/// What one run may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `template` actions inside each other within one execution. Go's own limit is 100000.
    pub template_depth: usize,
    /// Executions inside each other, through functions that call [`Run::execute`].
    pub execution_depth: usize,
    /// Bytes that all executions of the run write together, and that functions claim with [`Run::claim`].
    pub output: usize,
    /// Bytes that one claim may ask for.
    pub claim: usize,
    /// Nodes walked, range items counted, and [`Run::work`] that functions count.
    pub steps: u64,
    /// Memory that the run may take.
    pub memory: Option<MemoryLimit>,
}

/// A bound for the memory of a run, watched from time to time.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    /// Bytes above what was in use when the run began.
    pub bytes: usize,
    /// Tells how many bytes are in use now; `None` when that cannot be told.
    pub in_use: fn() -> Option<usize>,
}

impl Default for Limits {
    /// Go's limit for the depth, generous ones for the rest: 20000 nested executions, 1 GiB, 10^10 steps.
    fn default() -> Self {
        Limits {
            template_depth: 100_000,
            execution_depth: 20_000,
            output: 1 << 30,
            claim: 1 << 30,
            steps: 10_000_000_000,
            memory: None,
        }
    }
}

/// One rendering run: any number of executions that share budgets and the host's state.
///
/// Functions get the run as their first argument: through it they reach the host's state and execute further templates.
pub struct Run<'s> {
    limits: Limits,
    steps: u64,
    output: usize,
    /// Memory in use at the beginning, and the output at which it is looked at next.
    memory: (usize, usize),
    /// The step at which the memory is looked at next.
    look_at: u64,
    depth: usize,
    cancel: Option<Arc<AtomicBool>>,
    state: Option<&'s mut (dyn Any + Send)>,
    templates: Option<Arc<TemplateSet>>,
    /// The outputs of executions.
    pub(crate) outputs: Spare<u8>,
    /// The arguments of calls.
    pub(crate) arguments: Spare<Value>,
    /// The variables of templates.
    pub(crate) variables: Spare<(Word, Datum)>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Run::new(Limits::default())
    }
}

impl<'s> Run<'s> {
    /// A run with these limits.
    pub fn new(limits: Limits) -> Run<'s> {
        let steps = limits.steps;
        let begun = limits.memory.as_ref().and_then(|memory| (memory.in_use)()).unwrap_or_default();
        Run {
            limits,
            steps: 0,
            output: 0,
            memory: (begun, 0),
            look_at: LOOK_AFTER_STEPS.min(steps.saturating_add(1)),
            depth: 0,
            cancel: None,
            state: None,
            templates: None,
            outputs: Spare::default(),
            arguments: Spare::default(),
            variables: Spare::default(),
        }
    }

    /// Gives functions something of the host's to work with, see [`Run::state`].
    pub fn with_state(mut self, state: &'s mut (dyn Any + Send)) -> Run<'s> {
        self.state = Some(state);
        self
    }

    /// Stops the run soon after the flag is set, with [`LimitError::Cancelled`].
    pub fn with_cancel(mut self, flag: Arc<AtomicBool>) -> Run<'s> {
        self.cancel = Some(flag);
        self
    }

    /// The host's state, if it is of this type.
    pub fn state<T: Any>(&mut self) -> Option<&mut T> {
        self.state.as_mut()?.downcast_mut()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The template set being executed; `None` outside an execution. Its functions and templates are those that the
    /// calling template sees.
    pub fn templates(&self) -> Option<&Arc<TemplateSet>> {
        self.templates.as_ref()
    }

    /// Executes a template of the set being executed and returns its output.
    ///
    /// # Errors
    /// When there is no such template or its execution fails.
    pub fn execute(&mut self, name: &str, data: &Value) -> Result<Str, Error> {
        match self.templates.clone() {
            Some(set) => set.execute(name, data, self),
            None => Err(Error::NoTemplate { name: name.to_owned() }),
        }
    }

    /// Counts bytes that a function is about to produce against the output limit.
    ///
    /// # Errors
    /// When the limit is reached.
    pub fn claim(&mut self, bytes: usize) -> Result<(), LimitError> {
        if bytes > self.limits.claim {
            return Err(LimitError::Output(self.limits.claim));
        }
        self.output = self.output.saturating_add(bytes);
        if self.output > self.limits.output {
            return Err(LimitError::Output(self.limits.output));
        }
        if self.output >= self.memory.1 {
            self.memory.1 = self.output.saturating_add(LOOK_AFTER);
            self.look_at_memory()?;
        }
        Ok(())
    }

    /// Counts work that a function is about to do, as steps: about twenty million take a second.
    ///
    /// # Errors
    /// When the limit is reached.
    pub fn work(&mut self, steps: u64) -> Result<(), LimitError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps >= self.look_at { self.look() } else { Ok(()) }
    }

    /// Checks the steps, and the memory.
    #[cold]
    fn look(&mut self) -> Result<(), LimitError> {
        if self.steps > self.limits.steps {
            return Err(LimitError::Steps(self.limits.steps));
        }
        self.look_at = self.steps.saturating_add(LOOK_AFTER_STEPS).min(self.limits.steps.saturating_add(1));
        self.look_at_memory()
    }

    fn look_at_memory(&self) -> Result<(), LimitError> {
        let Some(memory) = &self.limits.memory else { return Ok(()) };
        // A run that did little did not take it: other threads of the process may have.
        if self.output < LEAST_OUTPUT && self.steps < LEAST_STEPS {
            return Ok(());
        }
        let taken = (memory.in_use)().map_or(0, |now| now.saturating_sub(self.memory.0));
        if taken > memory.bytes { Err(LimitError::Memory(memory.bytes)) } else { Ok(()) }
    }

    /// Counts one step, and looks now and then whether the run was cancelled.
    pub(crate) fn step(&mut self) -> Result<(), LimitError> {
        self.steps += 1;
        if self.steps >= self.look_at {
            self.look()?;
        }
        let due = self.steps & 0xff == 0;
        if due && self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(LimitError::Cancelled);
        }
        Ok(())
    }

    /// Enters an execution of a set; give the result to [`Run::leave`] afterwards.
    pub(crate) fn enter(&mut self, set: &Arc<TemplateSet>) -> Result<Option<Arc<TemplateSet>>, LimitError> {
        if self.depth >= self.limits.execution_depth {
            return Err(LimitError::Depth(self.limits.execution_depth));
        }
        self.depth += 1;
        Ok(self.templates.replace(set.clone()))
    }

    pub(crate) fn leave(&mut self, outer: Option<Arc<TemplateSet>>) {
        self.depth -= 1;
        self.templates = outer;
    }
}
