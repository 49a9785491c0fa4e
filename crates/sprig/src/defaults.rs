//! Defaults and choices.

use gotemplate::{Functions, Kind, Type, Value};

use crate::args::{any, boolean, rest};

const A: Type = Type::Any;

pub(crate) fn register(table: &mut Functions) {
    table.variadic("default", &[A], A, |_, args| {
        let given = rest(args, 1).first().filter(|value| !is_empty(value));
        Ok(given.unwrap_or(any(args, 0)).clone())
    });
    table.fixed("empty", &[A], |_, args| Ok(is_empty(any(args, 0)).into()));
    table.variadic("coalesce", &[], A, |_, args| {
        Ok(args.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default())
    });
    table.variadic("all", &[], A, |_, args| Ok((!args.iter().any(is_empty)).into()));
    table.variadic("any", &[], A, |_, args| Ok((!args.iter().all(is_empty)).into()));
    table.fixed("ternary", &[A, A, Type::Bool], |_, args| Ok(any(args, usize::from(!boolean(args, 2))).clone()));
}

/// Is it nil, false, zero, or without content? Structs never are.
pub fn is_empty(value: &Value) -> bool {
    match value.kind() {
        Kind::Struct => false,
        _ => !value.truth(),
    }
}
