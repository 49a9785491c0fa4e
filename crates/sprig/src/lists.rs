//! Lists.

use gotemplate::{CallResult, FuncError, Functions, List, Run, Str, Type, Value};

use crate::args::{any, int, items, rest};
use crate::cast::to_int;
use crate::compare::deep_equal;
use crate::defaults::is_empty;
use crate::text::{to_text, to_texts};

const A: Type = Type::Any;

/// The bytes that an item of a list takes.
pub(crate) const ITEM: usize = size_of::<Value>();

pub(crate) fn register(table: &mut Functions) {
    for name in ["list", "tuple"] {
        table.variadic(name, &[], A, |_, args| Ok(args.to_vec().into()));
    }
    for name in ["append", "push", "mustAppend", "mustPush"] {
        table.fixed(name, &[A, A], |run, args| {
            let mut list = looked_into(any(args, 0), "push on")?;
            run.claim(ITEM * list.len())?;
            list.push(any(args, 1).clone());
            Ok(list.into())
        });
    }
    for name in ["prepend", "mustPrepend"] {
        table.fixed(name, &[A, A], |run, args| {
            let mut list = looked_into(any(args, 0), "prepend on")?;
            run.claim(ITEM * list.len())?;
            list.insert(0, any(args, 1).clone());
            Ok(list.into())
        });
    }
    table.variadic("concat", &[], A, concat);
    table.fixed("sortAlpha", &[A], |run, args| match any(args, 0).to_items() {
        Some(items) => {
            // Comparing is most of it.
            run.work(4 * items.len() as u64)?;
            run.claim(2 * ITEM * items.len())?;
            let mut texts = to_texts(any(args, 0));
            texts.sort();
            Ok(List::strings(texts).into())
        }
        None => Ok(List::strings([to_text(any(args, 0))]).into()),
    });
    ends(table);
    filters(table);
    for name in ["slice", "mustSlice"] {
        table.variadic(name, &[A], A, |_, args| slice(any(args, 0), rest(args, 1)));
    }
    for name in ["chunk", "mustChunk"] {
        table.fixed(name, &[Type::Int, A], |run, args| chunk(run, int(args, 0), any(args, 1)));
    }
}

/// The items, or the complaint `Cannot <doing> type <kind>`.
fn looked_into(list: &Value, doing: &str) -> Result<Vec<Value>, FuncError> {
    items(list, |kind| format!("Cannot {doing} type {kind}"))
}

/// The nil slice, which functions return for an empty list.
fn nil() -> Value {
    List::nil(Type::ANY_LIST).into()
}

fn ends(table: &mut Functions) {
    type Pick = fn(Vec<Value>) -> Value;
    let picks: [(&str, &str, Pick); 5] = [
        ("first", "mustFirst", |list| list.into_iter().next().unwrap_or_default()),
        ("last", "mustLast", |list| list.into_iter().next_back().unwrap_or_default()),
        ("rest", "mustRest", |list| if list.is_empty() { nil() } else { list[1..].to_vec().into() }),
        ("initial", "mustInitial", |list| if list.is_empty() { nil() } else { list[..list.len() - 1].to_vec().into() }),
        ("reverse", "mustReverse", |list| list.into_iter().rev().collect::<Vec<_>>().into()),
    ];
    for (name, must, pick) in picks {
        let doing = format!("find {name} on");
        for name in [name, must] {
            let doing = doing.clone();
            table.fixed(name, &[A], move |_, args| Ok(pick(looked_into(any(args, 0), &doing)?)));
        }
    }
}

fn filters(table: &mut Functions) {
    for name in ["compact", "mustCompact"] {
        table.fixed(name, &[A], |_, args| {
            let mut list = looked_into(any(args, 0), "compact on")?;
            list.retain(|item| !is_empty(item));
            Ok(list.into())
        });
    }
    for name in ["uniq", "mustUniq"] {
        table.fixed(name, &[A], |run, args| {
            let mut seen: Vec<Value> = Vec::new();
            for item in looked_into(any(args, 0), "find uniq on")? {
                run.work(seen.len() as u64 / 4)?;
                if !seen.iter().any(|known| deep_equal(&item, known)) {
                    seen.push(item);
                }
            }
            Ok(seen.into())
        });
    }
    for name in ["without", "mustWithout"] {
        table.variadic(name, &[A], A, |run, args| {
            let mut list = looked_into(any(args, 0), "find without on")?;
            run.work((list.len() * rest(args, 1).len()) as u64 / 4)?;
            list.retain(|item| !rest(args, 1).iter().any(|unwanted| deep_equal(item, unwanted)));
            Ok(list.into())
        });
    }
    for name in ["has", "mustHas"] {
        table.fixed(name, &[A, A], |_, args| {
            if any(args, 1).is_nil() {
                return Ok(false.into());
            }
            let list = looked_into(any(args, 1), "find has on")?;
            Ok(list.iter().any(|item| deep_equal(any(args, 0), item)).into())
        });
    }
}

fn concat(run: &mut Run<'_>, lists: &[Value]) -> CallResult {
    let length = lists.iter().filter_map(Value::length).fold(0usize, usize::saturating_add);
    run.claim(ITEM.saturating_mul(length))?;
    let mut all = Vec::new();
    for list in lists {
        all.extend(items(list, |kind| format!("Cannot concat type {kind} as list"))?);
    }
    Ok(if all.is_empty() { nil() } else { all.into() })
}

fn slice(list: &Value, bounds: &[Value]) -> CallResult {
    let all = items(list, |kind| format!("list should be type of slice or array but {kind}"))?;
    if all.is_empty() {
        return Ok(Value::Nil);
    }
    let start = bounds.first().map_or(0, to_int);
    let end = bounds.get(1).map_or(all.len() as i64, to_int);
    if start < 0 || start > end || end > all.len() as i64 {
        return Err("reflect.Value.Slice: slice index out of bounds".into());
    }
    let (start, end) = (start as usize, end as usize);
    Ok(match list {
        Value::Bytes(bytes) => Value::Bytes(bytes[start..end].into()),
        Value::List(list) => List::typed(list.ty(), all[start..end].to_vec()).into(),
        _ => all[start..end].to_vec().into(),
    })
}

fn chunk(run: &mut Run<'_>, size: i64, list: &Value) -> CallResult {
    const CHUNKS: Type = Type::List(&Type::ANY_LIST);
    // A chunk is a list of its own.
    run.claim(list.length().unwrap_or(0).saturating_mul(4 * ITEM))?;
    let all = items(list, |kind| format!("Cannot chunk type {kind}"))?;
    let size = match usize::try_from(size) {
        Ok(size) if size > 0 => size,
        _ => return odd_chunks(size, &all),
    };
    let chunks = all.chunks(size).map(|chunk| Value::from(chunk.to_vec())).collect();
    Ok(List::typed(CHUNKS, chunks).into())
}

/// Chunks of no or negative size: the original computes with floats, so that a few of these have an answer.
fn odd_chunks(size: i64, all: &[Value]) -> CallResult {
    let out_of_range = || Err("runtime error: makeslice: len out of range".into());
    let (length, divisor) = (all.len() as f64, size as f64);
    let count = ((length - 1.0) / divisor).floor() + 1.0;
    // What is not finite becomes the smallest integer.
    if size == 0 || count < 0.0 {
        return out_of_range();
    }
    let last = (length % divisor).floor() as i64;
    match (count as usize, usize::try_from(if last == 0 { size } else { last })) {
        (0, _) => Ok(List::typed(Type::List(&Type::ANY_LIST), Vec::new()).into()),
        (1, Ok(length)) if length <= all.len() => {
            Ok(List::typed(Type::List(&Type::ANY_LIST), vec![Value::from(all[..length].to_vec())]).into())
        }
        _ => out_of_range(),
    }
}

/// Texts as a `[]string`, or its nil when there are none.
pub(crate) fn strings_or_nil(texts: Vec<Str>) -> Value {
    if texts.is_empty() { List::nil(Type::STRING_LIST).into() } else { List::strings(texts).into() }
}
