//! Reading arguments, whose types the engine has checked against the signature, and the errors that Go's runtime
//! would have panicked with.

use gotemplate::{FuncError, Map, Str, Value};

/// What Go says when a nil is looked into.
pub(crate) const NIL_DEREFERENCE: &str = "runtime error: invalid memory address or nil pointer dereference";

/// The string argument `i`.
pub(crate) fn text(args: &[Value], i: usize) -> Str {
    args.get(i).and_then(Value::as_str).unwrap_or_default()
}

/// The string argument `i` as UTF-8 text.
pub(crate) fn utf8(args: &[Value], i: usize) -> String {
    text(args, i).lossy().into_owned()
}

/// The integer argument `i`.
pub(crate) fn int(args: &[Value], i: usize) -> i64 {
    args.get(i).and_then(Value::as_int).unwrap_or_default()
}

/// The truth value argument `i`.
pub(crate) fn boolean(args: &[Value], i: usize) -> bool {
    args.get(i).and_then(Value::as_bool).unwrap_or_default()
}

/// Any argument `i`.
pub(crate) fn any(args: &[Value], i: usize) -> &Value {
    args.get(i).unwrap_or(&Value::Nil)
}

/// The map argument `i`; `None` for the nil map.
pub(crate) fn map(args: &[Value], i: usize) -> Option<&Map> {
    args.get(i).and_then(Value::as_map)
}

/// The arguments from `i` on.
pub(crate) fn rest(args: &[Value], i: usize) -> &[Value] {
    args.get(i..).unwrap_or_default()
}

/// The items of a list of any type; otherwise the complaint of a function that looks into lists.
pub(crate) fn items(list: &Value, complaint: impl FnOnce(&str) -> String) -> Result<Vec<Value>, FuncError> {
    match list.to_items() {
        Some(items) => Ok(items),
        None if list.is_nil() => Err(NIL_DEREFERENCE.into()),
        None => Err(complaint(list.kind().name()).into()),
    }
}
