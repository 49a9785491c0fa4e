//! Go's `reflect.DeepEqual`.

use gotemplate::{List, Map, Value};

/// How deep values are followed; deeper ones, which must contain themselves, count as equal as far as they were seen.
const DEEPEST: usize = 2_000;

/// Are both values of the same type and the same all the way down? `1` and `1.0` are not, nor are an empty list and
/// nil.
pub fn deep_equal(a: &Value, b: &Value) -> bool {
    equal(a, b, 0)
}

fn equal(a: &Value, b: &Value, depth: usize) -> bool {
    if a.ty() != b.ty() {
        return false;
    }
    match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => a == b,
        (Value::Int32(a), Value::Int32(b)) => a == b,
        (Value::Uint(a), Value::Uint(b)) | (Value::Uint64(a), Value::Uint64(b)) => a == b,
        (Value::Uint8(a), Value::Uint8(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(ar, ai), Value::Complex(br, bi)) => ar == br && ai == bi,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => lists(a, b, depth + 1),
        (Value::Map(a), Value::Map(b)) => maps(a, b, depth + 1),
        (Value::Object(a), Value::Object(b)) => a.equals(&**b),
        _ => false,
    }
}

fn lists(a: &List, b: &List, depth: usize) -> bool {
    if a.is_nil() != b.is_nil() || a.len() != b.len() {
        return false;
    }
    depth > DEEPEST || gotemplate::grow_stack(|| a.items().iter().zip(b.items()).all(|(a, b)| equal(a, b, depth)))
}

fn maps(a: &Map, b: &Map, depth: usize) -> bool {
    if a.same(b) || depth > DEEPEST {
        return true;
    }
    if a.is_nil() != b.is_nil() || a.len() != b.len() {
        return false;
    }
    gotemplate::grow_stack(|| {
        a.entries().iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, &other, depth)))
    })
}
