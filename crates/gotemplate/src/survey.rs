//! How large a value is all the way down: what functions that walk through a value ask before they do.

use crate::collections::List;
use crate::error::LimitError;
use crate::run::Run;
use crate::value::Value;

/// Deeper levels are left to the functions, which refuse values that contain themselves.
const DEEPEST: usize = 1100;

/// What a value costs wherever it is copied or written out, besides its text.
const EACH: usize = 16;

/// Work that is counted at once.
const PORTION: usize = 4096;

impl Run<'_> {
    /// Counts the work of walking through values, and refuses those whose parts and texts together are larger than one
    /// result may be. A part counts as often as it is found: a small value that holds another one twice, and so on, can be
    /// too large for any machine.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn survey(&mut self, values: &[Value]) -> Result<(), LimitError> {
        let most = self.limits().claim;
        let (mut size, mut counted) = (0usize, 0usize);
        let mut within: Vec<(Value, usize)> = Vec::new();
        for value in values {
            size = size.saturating_add(leaf(value));
            if holds_more(value) {
                within.push((value.clone(), 1));
            }
        }
        while let Some((value, depth)) = within.pop() {
            let mut part = |key: usize, inner: &Value| {
                size = size.saturating_add(key + leaf(inner));
                if depth < DEEPEST && holds_more(inner) {
                    within.push((inner.clone(), depth + 1));
                }
            };
            match &value {
                Value::List(list) => list.items().iter().for_each(|item| part(0, item)),
                Value::Map(map) => map.visit(|key, inner| part(key.len(), inner)),
                _ => {}
            }
            if size > most {
                return Err(LimitError::Output(most));
            }
            if size - counted > PORTION {
                self.work(((size - counted) / 8) as u64)?;
                counted = size;
            }
        }
        self.work(((size - counted) / 8) as u64)
    }
}

/// What a value is besides the values in it.
fn leaf(value: &Value) -> usize {
    EACH + match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

fn holds_more(value: &Value) -> bool {
    match value {
        Value::List(list) => !List::is_empty(list),
        Value::Map(map) => !map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::Map;
    use crate::run::Limits;

    fn survey(value: Value) -> Result<(), LimitError> {
        Run::new(Limits { claim: 10_000, steps: 100_000, ..Limits::default() }).survey(&[value])
    }

    #[test]
    fn parts_count_wherever_they_are_found() {
        let mut value = Value::from("text");
        for _ in 0..6 {
            value = Value::from(vec![value.clone(), value]);
        }
        assert_eq!(survey(value.clone()), Ok(()));
        for _ in 0..40 {
            value = Value::from(vec![value.clone(), value]);
        }
        assert_eq!(survey(value), Err(LimitError::Output(10_000)));
        assert_eq!(survey(Value::from("x".repeat(20_000))), Ok(()), "a text alone is as large as it was made");
        assert_eq!(survey(Value::from(vec![Value::from("x".repeat(20_000))])), Err(LimitError::Output(10_000)));
    }

    #[test]
    fn values_inside_themselves_are_left_to_others() {
        let map = Map::new();
        map.insert("a", Value::Map(map.clone()));
        let mut run = Run::default();
        assert_eq!(run.survey(&[Value::Map(map.clone())]), Ok(()));
        map.remove("a");
    }
}
