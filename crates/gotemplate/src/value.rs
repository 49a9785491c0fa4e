//! [`Value`]: what templates compute with.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::bytestr::Str;
use crate::collections::{List, Map};
use crate::types::{Kind, NamedType, Type};

/// A Go value. Cheap to clone: containers, strings and objects are shared.
///
/// Numbers keep their Go type apart, because templates can see it: a number of a YAML file is a [`Value::Float`], one
/// written in a template a [`Value::Int`], and `eq` refuses to compare the two.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// nil
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `int32`
    Int32(i32),
    /// `int64`
    Int64(i64),
    /// `uint`
    Uint(u64),
    /// `uint8`
    Uint8(u8),
    /// `uint64`
    Uint64(u64),
    /// `float64`
    Float(f64),
    /// `complex128`: real and imaginary part
    Complex(f64, f64),
    /// `string`
    Str(Str),
    /// `[]uint8`
    Bytes(Arc<[u8]>),
    /// Any other slice.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A value of a declared type that is neither a map nor a list: a struct, a pointer to one, or a named number.
    Object(Arc<dyn Object>),
}

/// A value of a declared Go type with behaviour of its own: fields, methods (through its [`NamedType`]), a text form.
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// The type.
    fn named_type(&self) -> &'static NamedType;

    /// The exported fields in the order of their declaration.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// The fields that `%v` shows, which may be more than templates can reach.
    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// The fields as Go's JSON writes them: under their names there, without those that it leaves out.
    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// The value of the underlying type, for named numbers and strings (`time.Duration` is an `int64`).
    fn basic(&self) -> Option<Value> {
        None
    }

    /// What the type's own `String` or `Error` method returns, which `print` and `%v` use.
    fn text(&self) -> Option<String> {
        None
    }

    /// What an action prints. Differs from [`Object::text`] for a type whose `String` method belongs to the pointer
    /// type: an action can take the address of a field, a function argument is a copy that has none.
    fn addressed_text(&self) -> Option<String> {
        self.text()
    }

    /// What a copy made through reflection is, when that is not the same: hidden fields are left behind.
    fn copied(&self) -> Option<Value> {
        None
    }

    /// What stands for this value in JSON and YAML; `None` means an object of the fields.
    fn marshal(&self) -> Option<Value> {
        None
    }

    /// Go's `==` or deep equality.
    fn equals(&self, other: &dyn Object) -> bool;
}

impl Value {
    /// Wraps an object.
    pub fn object(object: impl Object) -> Value {
        Value::Object(Arc::new(object))
    }

    /// The object as a concrete Rust type.
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        match self {
            Value::Object(object) => (&**object as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The Go type; `None` for nil.
    pub fn ty(&self) -> Option<Type> {
        Some(match self {
            Value::Nil => return None,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Int32(_) => Type::Int32,
            Value::Int64(_) => Type::Int64,
            Value::Uint(_) => Type::Uint,
            Value::Uint8(_) => Type::Uint8,
            Value::Uint64(_) => Type::Uint64,
            Value::Float(_) => Type::Float64,
            Value::Complex(..) => Type::Complex128,
            Value::Str(_) => Type::Str,
            Value::Bytes(_) => Type::BYTES,
            Value::List(list) => list.ty(),
            Value::Map(map) => map.ty(),
            Value::Object(object) => Type::Named(object.named_type()),
        })
    }

    /// What `%T` prints: the type's name, `<nil>` for nil.
    pub fn type_name(&self) -> String {
        self.ty().map_or_else(|| "<nil>".to_owned(), |ty| ty.to_string())
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.ty().map_or(Kind::Invalid, Type::kind)
    }

    /// Is it nil?
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// Is it nil, or the nil slice?
    pub fn is_nil_or_nil_list(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::List(list) => list.is_nil(),
            _ => false,
        }
    }

    /// Go's truth: not zero, not empty, not nil.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) | Value::Int64(n) => *n != 0,
            Value::Int32(n) => *n != 0,
            Value::Uint(n) | Value::Uint64(n) => *n != 0,
            Value::Uint8(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::Bytes(b) => !b.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Object(object) => object.basic().is_none_or(|basic| basic.truth()),
        }
    }

    /// The number, when the value is a signed integer of any size or a name for one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) | Value::Int64(n) => Some(*n),
            Value::Int32(n) => Some(i64::from(*n)),
            Value::Object(object) => object.basic()?.as_int(),
            _ => None,
        }
    }

    /// The number, when the value is an unsigned integer of any size or a name for one.
    pub fn as_uint(&self) -> Option<u64> {
        match self {
            Value::Uint(n) | Value::Uint64(n) => Some(*n),
            Value::Uint8(n) => Some(u64::from(*n)),
            Value::Object(object) => object.basic()?.as_uint(),
            _ => None,
        }
    }

    /// The number, when the value is a float or a name for one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(n) => Some(*n),
            Value::Object(object) => object.basic()?.as_float(),
            _ => None,
        }
    }

    /// The truth value, when it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            Value::Object(object) => object.basic()?.as_bool(),
            _ => None,
        }
    }

    /// The string, when the value is one or a name for one.
    pub fn as_str(&self) -> Option<Str> {
        match self {
            Value::Str(s) => Some(s.clone()),
            Value::Object(object) => object.basic()?.as_str(),
            _ => None,
        }
    }

    /// The bytes, when the value is a byte slice. One that is nil is a list.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::List(list) if list.is_empty() && list.ty() == Type::BYTES => Some(&[]),
            _ => None,
        }
    }

    /// The map, when it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items, when the value is a list of any type (bytes included).
    pub fn to_items(&self) -> Option<Vec<Value>> {
        match self {
            Value::List(list) => Some(list.items().to_vec()),
            Value::Bytes(bytes) => Some(bytes.iter().map(|b| Value::Uint8(*b)).collect()),
            _ => None,
        }
    }

    /// The length in Go's sense: bytes of a string, items, entries; `None` for what has no length.
    pub fn length(&self) -> Option<usize> {
        match self {
            Value::Bytes(b) => Some(b.len()),
            Value::List(list) => Some(list.len()),
            Value::Map(map) => Some(map.len()),
            other => other.as_str().map(|s| s.len()),
        }
    }

    /// The zero value of a type: `0`, `""`, nil.
    pub fn zero(ty: Type) -> Value {
        match ty.underlying() {
            Type::Bool => Value::Bool(false),
            Type::Int => Value::Int(0),
            Type::Int32 => Value::Int32(0),
            Type::Int64 => Value::Int64(0),
            Type::Uint => Value::Uint(0),
            Type::Uint8 => Value::Uint8(0),
            Type::Uint64 => Value::Uint64(0),
            Type::Float64 => Value::Float(0.0),
            Type::Complex128 => Value::Complex(0.0, 0.0),
            Type::Str => Value::Str(Str::default()),
            Type::List(_) => Value::List(List::nil(ty)),
            Type::Any | Type::Map(_) | Type::Struct | Type::Pointer | Type::Named(_) => Value::Nil,
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(v: $from) -> Value {
                Value::$variant(v.into())
            }
        })*
    };
}

from! {
    bool => Bool, i64 => Int, f64 => Float, &str => Str, String => Str, Str => Str, Map => Map, List => List,
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(List::new(items))
    }
}
