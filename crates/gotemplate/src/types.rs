//! Go types, as far as templates can tell: what `%T` prints, what a function parameter accepts, which kind a value has.

use std::fmt;

use crate::function::Method;

/// A Go type.
///
/// A type is a small constant: composite types refer to their element type, named types to a static description.
/// Map keys are always strings.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// `interface {}`: anything.
    Any,
    /// `bool`
    Bool,
    /// `int` (64 bits)
    Int,
    /// `int32`, also a character
    Int32,
    /// `int64`
    Int64,
    /// `uint`
    Uint,
    /// `uint8`, a byte
    Uint8,
    /// `uint64`
    Uint64,
    /// `float64`
    Float64,
    /// `complex128`
    Complex128,
    /// `string`
    Str,
    /// A slice of the element type.
    List(&'static Type),
    /// A map from strings to the element type.
    Map(&'static Type),
    /// A struct without a name of its own; used as what a named type stands for.
    Struct,
    /// A pointer; used as what a named type stands for.
    Pointer,
    /// A declared type.
    Named(&'static NamedType),
}

/// A declared Go type: a name, what it stands for and the methods that templates may call.
pub struct NamedType {
    /// The name with its package, as `%T` prints it: `time.Time`, `*semver.Version`.
    pub name: &'static str,
    /// What the type stands for.
    pub underlying: Type,
    /// The methods that templates may call.
    pub methods: &'static [Method],
}

impl fmt::Debug for NamedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The kind of a value, as Go's reflection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value at all.
    Invalid,
    /// Truth value.
    Bool,
    /// Signed integer of the platform's size (64 bits).
    Int,
    /// Signed 32-bit integer.
    Int32,
    /// Signed 64-bit integer.
    Int64,
    /// Unsigned integer of the platform's size (64 bits).
    Uint,
    /// Byte.
    Uint8,
    /// Unsigned 64-bit integer.
    Uint64,
    /// Floating point.
    Float64,
    /// Complex number.
    Complex128,
    /// String.
    String,
    /// List.
    Slice,
    /// Map.
    Map,
    /// Record.
    Struct,
    /// Pointer.
    Pointer,
    /// Interface; only the static type of an element, never the kind of a value.
    Interface,
}

impl Kind {
    /// The name that Go prints: `int64`, `slice`, `ptr`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Uint => "uint",
            Kind::Uint8 => "uint8",
            Kind::Uint64 => "uint64",
            Kind::Float64 => "float64",
            Kind::Complex128 => "complex128",
            Kind::String => "string",
            Kind::Slice => "slice",
            Kind::Map => "map",
            Kind::Struct => "struct",
            Kind::Pointer => "ptr",
            Kind::Interface => "interface",
        }
    }

    /// Is it a signed integer of any size?
    pub fn is_int(self) -> bool {
        matches!(self, Kind::Int | Kind::Int32 | Kind::Int64)
    }

    /// Is it an unsigned integer of any size?
    pub fn is_uint(self) -> bool {
        matches!(self, Kind::Uint | Kind::Uint8 | Kind::Uint64)
    }
}

impl Type {
    /// `map[string]interface {}`
    pub const ANY_MAP: Type = Type::Map(&Type::Any);
    /// `map[string]string`
    pub const STRING_MAP: Type = Type::Map(&Type::Str);
    /// `[]interface {}`
    pub const ANY_LIST: Type = Type::List(&Type::Any);
    /// `[]string`
    pub const STRING_LIST: Type = Type::List(&Type::Str);
    /// `[]int`
    pub const INT_LIST: Type = Type::List(&Type::Int);
    /// `[]uint8`
    pub const BYTES: Type = Type::List(&Type::Uint8);

    /// The kind of the values of this type.
    pub fn kind(self) -> Kind {
        match self {
            Type::Any => Kind::Interface,
            Type::Bool => Kind::Bool,
            Type::Int => Kind::Int,
            Type::Int32 => Kind::Int32,
            Type::Int64 => Kind::Int64,
            Type::Uint => Kind::Uint,
            Type::Uint8 => Kind::Uint8,
            Type::Uint64 => Kind::Uint64,
            Type::Float64 => Kind::Float64,
            Type::Complex128 => Kind::Complex128,
            Type::Str => Kind::String,
            Type::List(_) => Kind::Slice,
            Type::Map(_) => Kind::Map,
            Type::Struct => Kind::Struct,
            Type::Pointer => Kind::Pointer,
            Type::Named(named) => named.underlying.kind(),
        }
    }

    /// The type behind a declared name.
    pub fn underlying(self) -> Type {
        match self {
            Type::Named(named) => named.underlying.underlying(),
            other => other,
        }
    }

    /// The type of the elements of a list or map.
    pub fn element(self) -> Option<Type> {
        match self.underlying() {
            Type::List(element) | Type::Map(element) => Some(*element),
            _ => None,
        }
    }

    /// May nil stand for a value of this type?
    pub fn can_be_nil(self) -> bool {
        matches!(self.kind(), Kind::Interface | Kind::Map | Kind::Slice | Kind::Pointer)
    }

    /// Can a value of type `self` be passed where `target` is wanted? Go's rule: the same type, or the same structure
    /// and one of the two without a name.
    pub fn assignable_to(self, target: Type) -> bool {
        match (self, target) {
            (_, Type::Any) => true,
            (Type::Named(a), Type::Named(b)) => std::ptr::eq(a, b),
            (Type::Named(_), t) | (t, Type::Named(_)) if composite(t) => same(self.underlying(), target.underlying()),
            (Type::Named(_), _) | (_, Type::Named(_)) => false,
            (a, b) => same(a, b),
        }
    }
}

fn composite(t: Type) -> bool {
    matches!(t, Type::List(_) | Type::Map(_))
}

/// Are the two types identical?
fn same(a: Type, b: Type) -> bool {
    match (a, b) {
        (Type::List(a), Type::List(b)) | (Type::Map(a), Type::Map(b)) => same(*a, *b),
        (Type::Named(a), Type::Named(b)) => std::ptr::eq(a, b),
        (Type::Named(_), _) | (_, Type::Named(_)) => false,
        (a, b) => a.kind() == b.kind(),
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        same(*self, *other)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("interface {}"),
            Type::List(element) => write!(f, "[]{element}"),
            Type::Map(element) => write!(f, "map[string]{element}"),
            Type::Named(named) => f.write_str(named.name),
            other => f.write_str(other.kind().name()),
        }
    }
}
