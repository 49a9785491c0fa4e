//! Functions and methods that templates call: their signatures and the table that names them.

use std::fmt;
use std::sync::Arc;

use crate::error::FuncError;
use crate::hash::HashMap;
use crate::run::Run;
use crate::types::Type;
use crate::value::Value;

/// What a function takes. The engine checks arguments against it and converts constants to it, as Go does, so a
/// function finds exactly the types it asked for (nil for a missing list, map or [`Type::Any`]).
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The types of the fixed parameters.
    pub params: &'static [Type],
    /// The type of each further argument, when the function takes any number of them.
    pub variadic: Option<Type>,
}

impl Signature {
    /// A function of just these parameters.
    pub const fn fixed(params: &'static [Type]) -> Signature {
        Signature { params, variadic: None }
    }

    /// A function of these parameters and any number of further ones of one type.
    pub const fn variadic(params: &'static [Type], rest: Type) -> Signature {
        Signature { params, variadic: Some(rest) }
    }

    /// The type of parameter `i` (counted from 0).
    pub(crate) fn param(&self, i: usize) -> Option<Type> {
        self.params.get(i).copied().or(self.variadic)
    }
}

/// The outcome of a function.
pub type CallResult = Result<Value, FuncError>;

/// A method of a [`crate::NamedType`].
pub struct Method {
    /// The name, as templates write it after the dot.
    pub name: &'static str,
    /// What it takes besides the receiver.
    pub signature: Signature,
    /// The method; the receiver comes before the arguments.
    pub call: fn(&mut Run<'_>, &Value, &[Value]) -> CallResult,
}

type Native = dyn Fn(&mut Run<'_>, &[Value]) -> CallResult + Send + Sync;

/// A function that templates can call by name.
pub struct Function {
    signature: Signature,
    /// Steps that a call counts as, besides what every call does.
    steps: u64,
    /// It walks through its arguments all the way down.
    deep: bool,
    native: Box<Native>,
}

impl Function {
    /// Wraps a Rust function.
    pub fn new(
        signature: Signature,
        native: impl Fn(&mut Run<'_>, &[Value]) -> CallResult + Send + Sync + 'static,
    ) -> Function {
        Function { signature, steps: 0, deep: false, native: Box::new(native) }
    }

    /// What the function takes.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Calls the function. The arguments must fit the signature.
    pub fn call(&self, run: &mut Run<'_>, args: &[Value]) -> CallResult {
        if self.steps > 0 {
            run.work(self.steps)?;
        }
        if self.deep {
            run.survey(args)?;
        }
        (self.native)(run, args)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("signature", &self.signature).finish_non_exhaustive()
    }
}

/// The functions that templates may call besides Go's own, by name. A name that is also one of Go's hides it.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    table: HashMap<String, Arc<Function>>,
}

impl Functions {
    /// An empty table.
    pub fn new() -> Functions {
        // There are some 250 in Helm's table.
        Functions { table: HashMap::with_capacity_and_hasher(256, Default::default()) }
    }

    /// Adds or replaces a function.
    pub fn insert(&mut self, name: impl Into<String>, function: Function) {
        self.table.insert(name.into(), Arc::new(function));
    }

    /// Adds or replaces a function of fixed parameters.
    pub fn fixed(
        &mut self,
        name: &str,
        params: &'static [Type],
        native: impl Fn(&mut Run<'_>, &[Value]) -> CallResult + Send + Sync + 'static,
    ) {
        self.insert(name, Function::new(Signature::fixed(params), native));
    }

    /// Adds or replaces a function that takes any number of arguments of type `rest` after its fixed ones.
    pub fn variadic(
        &mut self,
        name: &str,
        params: &'static [Type],
        rest: Type,
        native: impl Fn(&mut Run<'_>, &[Value]) -> CallResult + Send + Sync + 'static,
    ) {
        self.insert(name, Function::new(Signature::variadic(params, rest), native));
    }

    /// Says that calls of these functions take long: as many steps.
    pub fn take_steps(&mut self, steps: u64, names: &[&str]) {
        self.each(names, |function| function.steps = steps);
    }

    /// Says that these functions walk through their arguments all the way down, so that what they walk through counts,
    /// see [`Run::survey`].
    pub fn go_deep(&mut self, names: &[&str]) {
        self.each(names, |function| function.deep = true);
    }

    fn each(&mut self, names: &[&str], change: impl Fn(&mut Function)) {
        for name in names {
            // While the table is being made nobody else has the function.
            let function = self.table.get_mut(*name).and_then(Arc::get_mut);
            debug_assert!(function.is_some(), "{name}");
            function.map(&change);
        }
    }

    /// Removes a function.
    pub fn remove(&mut self, name: &str) {
        self.table.remove(name);
    }

    /// Adds all functions of another table, replacing those of the same name.
    pub fn extend(&mut self, other: Functions) {
        self.table.extend(other.table);
    }

    /// The function of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Function>> {
        self.table.get(name)
    }

    /// All names, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(String::as_str)
    }
}
