//! Types and kinds by their Go names.

use gotemplate::{Functions, Type};

use crate::args::{any, text, utf8};
use crate::compare::deep_equal;

const A: Type = Type::Any;
const S: Type = Type::Str;

pub(crate) fn register(table: &mut Functions) {
    table.fixed("typeOf", &[A], |_, args| Ok(any(args, 0).type_name().into()));
    table.fixed("kindOf", &[A], |_, args| Ok(any(args, 0).kind().name().into()));
    table.fixed("typeIs", &[S, A], |_, args| Ok((text(args, 0) == any(args, 1).type_name().as_str()).into()));
    table.fixed("typeIsLike", &[S, A], |_, args| {
        let (target, name) = (utf8(args, 0), any(args, 1).type_name());
        Ok((target == name || format!("*{target}") == name).into())
    });
    table.fixed("kindIs", &[S, A], |_, args| Ok((text(args, 0) == any(args, 1).kind().name()).into()));
    table.fixed("deepEqual", &[A, A], |_, args| Ok(deep_equal(any(args, 0), any(args, 1)).into()));
}
