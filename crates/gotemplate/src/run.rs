//! [`Run`]: one rendering run. Budgets, cancellation, the host's state, and the way back into the engine for functions.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bytestr::Str;
use crate::error::{Error, LimitError};
use crate::set::TemplateSet;
use crate::value::Value;

/// What one run may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `template` actions inside each other within one execution. Go's own limit is 100000.
    pub template_depth: usize,
    /// Executions inside each other, through functions that call [`Run::execute`].
    pub execution_depth: usize,
    /// Bytes that all executions of the run write together, and that functions claim with [`Run::claim`].
    pub output: usize,
    /// Nodes walked, range items counted.
    pub steps: u64,
}

impl Default for Limits {
    /// Go's limit for the depth, generous ones for the rest: 20000 nested executions, 1 GiB, 10^10 steps.
    fn default() -> Self {
        Limits { template_depth: 100_000, execution_depth: 20_000, output: 1 << 30, steps: 10_000_000_000 }
    }
}

/// One rendering run: any number of executions that share budgets and the host's state.
///
/// Functions get the run as their first argument: through it they reach the host's state and execute further templates.
pub struct Run<'s> {
    limits: Limits,
    steps: u64,
    output: usize,
    depth: usize,
    cancel: Option<Arc<AtomicBool>>,
    state: Option<&'s mut (dyn Any + Send)>,
    templates: Option<Arc<TemplateSet>>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Run::new(Limits::default())
    }
}

impl<'s> Run<'s> {
    /// A run with these limits.
    pub fn new(limits: Limits) -> Run<'s> {
        Run { limits, steps: 0, output: 0, depth: 0, cancel: None, state: None, templates: None }
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
        self.output = self.output.saturating_add(bytes);
        if self.output > self.limits.output { Err(LimitError::Output(self.limits.output)) } else { Ok(()) }
    }

    /// Counts one step, and looks now and then whether the run was cancelled.
    pub(crate) fn step(&mut self) -> Result<(), LimitError> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(LimitError::Steps(self.limits.steps));
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
