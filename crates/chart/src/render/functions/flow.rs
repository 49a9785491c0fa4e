//! Functions that run templates, stop them, or ask the cluster.

use super::Messages;
use crate::render::error::marked;
use crate::{LogLevel, LogLine, RenderOptions};
use gotemplate::{CallResult, Error, FuncError, Functions, Map, Run, Str, Type, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// How often one template may be in progress through `include`.
const MAX_INCLUDES: usize = 1000;

/// The steps that parsing a text costs besides its length.
const PARSING: u64 = 40;

/// The name under which Go knows the set itself and every text given to `tpl`.
const ANONYMOUS: &str = "gotpl";

pub(super) fn register(table: &mut Functions, options: &RenderOptions, messages: &Messages) {
    // What is in progress, innermost last.
    let included: Arc<Mutex<Vec<Str>>> = Arc::default();
    table.fixed("include", &[Type::Str, Type::Any], move |run, args| include(run, args, &included));
    table.fixed("tpl", &[Type::Str, Type::Any], tpl);
    let (lint, said) = (options.lint, messages.clone());
    table.fixed("required", &[Type::Str, Type::Any], move |_, args| required(args, lint, &said));
    let said = messages.clone();
    table.fixed("fail", &[Type::Str], move |_, args| fail(args, lint, &said));
    let cluster = options.lookup.clone().filter(|_| !options.lint);
    table.fixed("lookup", &[Type::Str, Type::Str, Type::Str, Type::Str], move |_, args| {
        let Some(cluster) = &cluster else { return Ok(Value::Map(Map::new())) };
        let text = |i: usize| args[i].as_str().unwrap_or_default().lossy().into_owned();
        let found = cluster.lookup(&text(0), &text(1), &text(2), &text(3))?;
        Ok(crate::convert::to_go(&found))
    });
    table.take_steps(8, &["include", "lookup"]);
    // Names are looked up only for those who ask for it.
    let resolve = options.resolve_host;
    table.fixed("getHostByName", &[Type::Str], move |_, args| {
        let name = args[0].as_str().unwrap_or_default();
        Ok(Value::from(resolve.and_then(|resolve| resolve(&name.lossy())).unwrap_or_default().as_str()))
    });
}

fn include(run: &mut Run<'_>, args: &[Value], included: &Mutex<Vec<Str>>) -> CallResult {
    let name = args[0].as_str().unwrap_or_default();
    let lock = || included.lock().unwrap_or_else(PoisonError::into_inner);
    let mut open = lock();
    let depth = open.len();
    // Whatever has not been begun so often cannot be in progress so often.
    if depth > MAX_INCLUDES && open.iter().filter(|other| **other == name).count() > MAX_INCLUDES {
        let name = name.lossy();
        return Err(FuncError::Message(format!(
            "rendering template has a nested reference name: {name}: unable to execute template"
        )));
    }
    open.push(name.clone());
    drop(open);
    let result = run.execute(&name.lossy(), &args[1]);
    lock().truncate(depth);
    match result {
        Ok(text) => Ok(Value::Str(text)),
        Err(Error::NoTemplate { name }) => Err(FuncError::Message(format!(
            "template: no template {} associated with template \"{ANONYMOUS}\"",
            gotemplate::quote::quoted(name.as_bytes())
        ))),
        Err(e) => Err(FuncError::Template(e)),
    }
}

fn tpl(run: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    let Some(outer) = run.templates().cloned() else {
        return Err("tpl: there is no template set".into());
    };
    run.work(PARSING + text.len() as u64 / 2)?;
    let quoted = || gotemplate::quote::quoted(&text);
    let set = outer
        .fork_with(ANONYMOUS, &text.lossy())
        .map_err(|e| FuncError::Wrapped(format!("cannot parse template {}: {e}", quoted()), e))?;
    let output = Arc::new(set)
        .execute(ANONYMOUS, &args[1], run)
        .map_err(|e| FuncError::Wrapped(format!("error during tpl function execution for {}: {e}", quoted()), e))?;
    Ok(Value::from(output.lossy().replace("<no value>", "")))
}

fn required(args: &[Value], lint: bool, said: &Messages) -> CallResult {
    let message = args[0].as_str().unwrap_or_default().lossy().into_owned();
    let what = match &args[1] {
        Value::Nil => "missing required value",
        Value::Str(text) if text.is_empty() => "missing required values",
        present => return Ok(present.clone()),
    };
    if !lint {
        return Err(FuncError::Message(marked(&message)));
    }
    said.add(LogLine { level: LogLevel::Warn, message: what.into(), fields: vec![("message", message)] });
    Ok(Value::from(""))
}

fn fail(args: &[Value], lint: bool, said: &Messages) -> CallResult {
    let message = args[0].as_str().unwrap_or_default().lossy().into_owned();
    if !lint {
        return Err(FuncError::Message(marked(&message)));
    }
    said.add(LogLine { level: LogLevel::Info, message: "funcMap fail".into(), fields: vec![("message", message)] });
    Ok(Value::from(""))
}
