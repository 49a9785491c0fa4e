//! Merging maps the way Sprig does (through Go's mergo library).

use gotemplate::{Kind, Map, Value};

use crate::defaults::is_empty;

/// Maps nested deeper than this must contain themselves.
const DEEPEST: usize = 10_000;

/// A merge that cannot be done.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// The maps contain themselves.
    #[error("maps are nested more than 10000 deep")]
    TooDeep,
    /// A map or record meets a pointer.
    #[error("src and dst must be of same type")]
    DifferentTypes,
    /// A map that holds one type of values only is given another.
    #[error("reflect.Value.SetMapIndex: value of type {0} is not assignable to type {1}")]
    NotAssignable(String, String),
}

/// Merges `source` into `target`, in place.
///
/// Without `overwrite`, what the target has wins, unless it is empty (0, `""`, false, no items). With it, the source
/// wins also with empty values, except that an empty map leaves the target's map alone. Maps on both sides are merged
/// in turn; everything else, lists too, is taken as a whole and shared with the source.
///
/// # Errors
/// [`MergeError::TooDeep`] for maps that contain themselves, [`MergeError::DifferentTypes`] when a map or record of the
/// source should be merged with a pointer (a version) of the target, [`MergeError::NotAssignable`] for a target like `.Files`.
pub fn merge(target: &Map, source: &Map, overwrite: bool) -> Result<(), MergeError> {
    merge_at(target, source, overwrite, 0)
}

fn merge_at(target: &Map, source: &Map, overwrite: bool, depth: usize) -> Result<(), MergeError> {
    if depth > DEEPEST {
        return Err(MergeError::TooDeep);
    }
    if target.same(source) {
        return Ok(());
    }
    let (given, wanted) = (source.element(), target.element());
    let assignable = match given.assignable_to(wanted) {
        true => Ok(()),
        false => Err(MergeError::NotAssignable(given.to_string(), wanted.to_string())),
    };
    for (key, value) in source.entries() {
        let present = target.get(&key);
        if value.is_nil() {
            if overwrite {
                assignable.clone()?;
                target.insert(key, value);
            }
            continue;
        }
        if let (Value::Map(inner), Some(Value::Map(present))) = (&value, &present) {
            gotemplate::grow_stack(|| merge_at(present, inner, overwrite, depth + 1))?;
        }
        let pointer = present.as_ref().is_some_and(|p| p.kind() == Kind::Pointer);
        if pointer && !overwrite && matches!(value.kind(), Kind::Map | Kind::Struct) {
            return Err(MergeError::DifferentTypes);
        }
        let both_maps = value.kind() == Kind::Map && present.as_ref().is_some_and(|p| p.kind() == Kind::Map);
        let filled = present.as_ref().is_some_and(|present| !is_empty(present));
        if filled && (both_maps || !overwrite) {
            continue;
        }
        assignable.clone()?;
        target.insert(key, value);
    }
    Ok(())
}
