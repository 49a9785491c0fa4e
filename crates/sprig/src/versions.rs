//! `semver` and `semverCompare`, and the version as an object of templates.

use std::cmp::Ordering;

use gotemplate::{CallResult, FuncError, Functions, Method, NamedType, Object, Run, Signature, Type, Value};

use crate::args::utf8;
use crate::semver::{Constraint, SemverError, Version};

pub(crate) fn register(table: &mut Functions) {
    table.fixed("semver", &[Type::Str], |_, args| {
        Ok(Value::object(Pointer(Version::parse(&utf8(args, 0)).map_err(failed)?)))
    });
    table.fixed("semverCompare", &[Type::Str, Type::Str], |_, args| {
        let constraint = Constraint::parse(&utf8(args, 0)).map_err(failed)?;
        let version = Version::parse(&utf8(args, 1)).map_err(failed)?;
        Ok(constraint.check(&version).into())
    });
}

fn failed(error: SemverError) -> FuncError {
    error.to_string().into()
}

/// What `semver` returns: in Go a pointer.
#[derive(Debug)]
struct Pointer(Version);

/// What `IncPatch` and the like return: in Go a struct.
#[derive(Debug)]
struct Plain(Version);

static POINTER: NamedType = NamedType { name: "*semver.Version", underlying: Type::Pointer, methods: &METHODS };
static PLAIN: NamedType =
    NamedType { name: "semver.Version", underlying: Type::Struct, methods: METHODS.split_at(VALUE_METHODS).0 };

/// How many of the methods belong to the struct; the others need a pointer.
const VALUE_METHODS: usize = 11;

/// The hidden fields, which formats without a text form show.
fn printed_fields(version: &Version) -> Vec<(&'static str, Value)> {
    vec![
        ("major", Value::Uint64(version.major)),
        ("minor", Value::Uint64(version.minor)),
        ("patch", Value::Uint64(version.patch)),
        ("pre", Value::from(version.pre.as_str())),
        ("metadata", Value::from(version.metadata.as_str())),
        ("original", Value::from(version.original.as_str())),
    ]
}

macro_rules! version_object {
    ($object:ident, $type:ident) => {
        impl Object for $object {
            fn named_type(&self) -> &'static NamedType {
                &$type
            }
            fn text(&self) -> Option<String> {
                Some(self.0.to_string())
            }
            fn printed_fields(&self) -> Vec<(&'static str, Value)> {
                printed_fields(&self.0)
            }
            fn copied(&self) -> Option<Value> {
                Some(Value::object($object(Version::default())))
            }
            fn marshal(&self) -> Option<Value> {
                Some(self.0.to_string().into())
            }
            fn equals(&self, other: &dyn Object) -> bool {
                (other as &dyn std::any::Any).downcast_ref::<$object>().is_some_and(|other| self.0 == other.0)
            }
        }
    };
}
version_object!(Pointer, POINTER);
version_object!(Plain, PLAIN);

fn version_of(value: &Value) -> Option<&Version> {
    value.downcast::<Pointer>().map(|v| &v.0).or_else(|| value.downcast::<Plain>().map(|v| &v.0))
}

const NONE: Signature = Signature::fixed(&[]);
static OTHER_PARAMS: [Type; 1] = [Type::Named(&POINTER)];
const TEXT: Signature = Signature::fixed(&[Type::Str]);

macro_rules! method {
    ($name:literal, $signature:expr, |$version:ident, $args:ident| $body:expr) => {
        Method {
            name: $name,
            signature: $signature,
            call: |_: &mut Run<'_>, receiver: &Value, $args: &[Value]| -> CallResult {
                let $version = version_of(receiver).ok_or("not a version")?;
                Ok($body)
            },
        }
    };
}

/// The methods of the pointer; the first [`VALUE_METHODS`] are the struct's, too.
static METHODS: [Method; 18] = [
    method!("Major", NONE, |v, _args| Value::Uint64(v.major)),
    method!("Minor", NONE, |v, _args| Value::Uint64(v.minor)),
    method!("Patch", NONE, |v, _args| Value::Uint64(v.patch)),
    method!("Prerelease", NONE, |v, _args| v.pre.clone().into()),
    method!("Metadata", NONE, |v, _args| v.metadata.clone().into()),
    method!("String", NONE, |v, _args| v.to_string().into()),
    method!("IncMajor", NONE, |v, _args| Value::object(Plain(v.inc_major()))),
    method!("IncMinor", NONE, |v, _args| Value::object(Plain(v.inc_minor()))),
    method!("IncPatch", NONE, |v, _args| Value::object(Plain(v.inc_patch()))),
    method!("SetPrerelease", TEXT, |v, args| Value::object(Plain(v.with_pre(&utf8(args, 0)).map_err(failed)?))),
    method!("SetMetadata", TEXT, |v, args| Value::object(Plain(v.with_metadata(&utf8(args, 0)).map_err(failed)?))),
    method!("Original", NONE, |v, _args| v.original.clone().into()),
    method!("Compare", Signature::fixed(&OTHER_PARAMS), |v, args| Value::Int(order(v, args)? as i64)),
    method!("Equal", Signature::fixed(&OTHER_PARAMS), |v, args| (order(v, args)? == Ordering::Equal).into()),
    method!("LessThan", Signature::fixed(&OTHER_PARAMS), |v, args| (order(v, args)? == Ordering::Less).into()),
    method!("LessThanEqual", Signature::fixed(&OTHER_PARAMS), |v, args| (order(v, args)? != Ordering::Greater).into()),
    method!("GreaterThan", Signature::fixed(&OTHER_PARAMS), |v, args| (order(v, args)? == Ordering::Greater).into()),
    method!("GreaterThanEqual", Signature::fixed(&OTHER_PARAMS), |v, args| (order(v, args)? != Ordering::Less).into()),
];

fn order(version: &Version, args: &[Value]) -> Result<Ordering, FuncError> {
    let other = args.first().and_then(version_of).ok_or(crate::args::NIL_DEREFERENCE)?;
    Ok(version.compare(other))
}
