//! Arithmetic on integers (wrapping, as in Go) and on floats (exact decimals).

use gotemplate::{CallResult, FuncError, Functions, List, Run, Type, Value, format};

use crate::args::{any, int, rest, utf8};
use crate::cast::{to_float, to_int};
use crate::decimal::{self, Decimal};
use crate::env::Env;
use crate::lists::ITEM;

const A: Type = Type::Any;
const I: Type = Type::Int;

pub(crate) fn register(table: &mut Functions, env: &Env) {
    conversions(table);
    integers(table);
    decimals(table);
    ranges(table);
    rounding(table);
    let env = env.clone();
    table.fixed("randInt", &[I, I], move |_, args| {
        let (low, high) = (int(args, 0), int(args, 1));
        match u64::try_from(high.wrapping_sub(low)) {
            Ok(width) if width > 0 => Ok(Value::Int(low.wrapping_add(env.below(width) as i64))),
            _ => Err("invalid argument to Intn".into()),
        }
    });
}

fn conversions(table: &mut Functions) {
    table.fixed("int", &[A], |_, args| Ok(Value::Int(to_int(any(args, 0)))));
    table.fixed("int64", &[A], |_, args| Ok(Value::Int64(to_int(any(args, 0)))));
    table.fixed("float64", &[A], |_, args| Ok(to_float(any(args, 0)).into()));
    table.fixed("atoi", &[Type::Str], |_, args| Ok(Value::Int(atoi(&utf8(args, 0)))));
    table.fixed("toDecimal", &[A], |_, args| {
        let digits = format::to_string(any(args, 0)).lossy().into_owned();
        Ok(Value::Int64(decimal_integer(&digits, 8).unwrap_or(0)))
    });
}

/// Digits with a sign, in a base.
fn decimal_integer(text: &str, base: u32) -> Option<i64> {
    // Rust would take a sign after a sign for nothing wrong only in the first place, as Go does.
    i64::from_str_radix(text, base).ok()
}

/// Go's Atoi, of which Sprig keeps the nearest number when it does not fit.
fn atoi(text: &str) -> i64 {
    match text.parse::<i64>() {
        Ok(number) => number,
        Err(error) => match error.kind() {
            std::num::IntErrorKind::PosOverflow => i64::MAX,
            std::num::IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        },
    }
}

fn integers(table: &mut Functions) {
    table.fixed("add1", &[A], |_, args| Ok(Value::Int64(to_int(any(args, 0)).wrapping_add(1))));
    table.variadic("add", &[], A, |_, args| Ok(Value::Int64(args.iter().map(to_int).fold(0, i64::wrapping_add))));
    table.fixed("sub", &[A, A], |_, args| Ok(Value::Int64(to_int(any(args, 0)).wrapping_sub(to_int(any(args, 1))))));
    table.variadic("mul", &[A], A, |_, args| Ok(Value::Int64(args.iter().map(to_int).fold(1, i64::wrapping_mul))));
    const BY_ZERO: &str = "runtime error: integer divide by zero";
    table.fixed("div", &[A, A], |_, args| match to_int(any(args, 1)) {
        0 => Err(BY_ZERO.into()),
        divisor => Ok(Value::Int64(to_int(any(args, 0)).wrapping_div(divisor))),
    });
    table.fixed("mod", &[A, A], |_, args| match to_int(any(args, 1)) {
        0 => Err(BY_ZERO.into()),
        divisor => Ok(Value::Int64(to_int(any(args, 0)).wrapping_rem(divisor))),
    });
    for name in ["max", "biggest"] {
        table.variadic(name, &[A], A, |_, args| Ok(Value::Int64(args.iter().map(to_int).max().unwrap_or(0))));
    }
    table.variadic("min", &[A], A, |_, args| Ok(Value::Int64(args.iter().map(to_int).min().unwrap_or(0))));
    table.variadic("maxf", &[A], A, |_, args| {
        let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        Ok(args.iter().map(to_float).reduce(larger).unwrap_or(0.0).into())
    });
    table.variadic("minf", &[A], A, |_, args| {
        let smaller = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
        Ok(args.iter().map(to_float).reduce(smaller).unwrap_or(0.0).into())
    });
}

fn decimals(table: &mut Functions) {
    type Operation = fn(&Decimal, &Decimal) -> Result<Decimal, decimal::DecimalError>;
    let fold = |first: &Value, others: &[Value], operation: Operation| -> CallResult {
        let failed = |error: decimal::DecimalError| FuncError::Message(error.to_string());
        let mut result = Decimal::from_float(to_float(first)).map_err(failed)?;
        for other in others {
            let other = Decimal::from_float(to_float(other)).map_err(failed)?;
            result = operation(&result, &other).map_err(failed)?;
        }
        Ok(result.to_float().into())
    };
    table.fixed("add1f", &[A], move |_, args| fold(any(args, 0), &[Value::Int(1)], |a, b| Ok(a.add(b))));
    table.variadic("addf", &[], A, move |_, args| fold(&Value::Int(0), args, |a, b| Ok(a.add(b))));
    table.variadic("subf", &[A], A, move |_, args| fold(any(args, 0), rest(args, 1), |a, b| Ok(a.sub(b))));
    table.variadic("mulf", &[A], A, move |_, args| fold(any(args, 0), rest(args, 1), |a, b| Ok(a.mul(b))));
    table.variadic("divf", &[A], A, move |_, args| fold(any(args, 0), rest(args, 1), Decimal::div));
}

fn rounding(table: &mut Functions) {
    table.fixed("floor", &[A], |_, args| Ok(to_float(any(args, 0)).floor().into()));
    table.fixed("ceil", &[A], |_, args| Ok(to_float(any(args, 0)).ceil().into()));
    table.variadic("round", &[A, I], Type::Float64, |_, args| {
        let up_from = rest(args, 2).first().and_then(Value::as_float).unwrap_or(0.5);
        let power = 10f64.powf(int(args, 1) as f64);
        let digit = power * to_float(any(args, 0));
        let rounded = if digit.fract() >= up_from { digit.ceil() } else { digit.floor() };
        Ok((rounded / power).into())
    });
}

fn ranges(table: &mut Functions) {
    table.fixed("until", &[I], |run, args| {
        let count = int(args, 0);
        Ok(int_list(&until(run, 0, count, if count < 0 { -1 } else { 1 })?))
    });
    table.fixed("untilStep", &[I, I, I], |run, args| {
        Ok(int_list(&until(run, int(args, 0), int(args, 1), int(args, 2))?))
    });
    table.variadic("seq", &[], I, |run, args| {
        let (start, step, end) = match args {
            [_] => (1, None, int(args, 0)),
            [_, _] => (int(args, 0), None, int(args, 1)),
            [_, _, _] => (int(args, 0), Some(int(args, 1)), int(args, 2)),
            _ => return Ok("".into()),
        };
        let direction = if end < start { -1 } else { 1 };
        if direction < 0 && step.is_some_and(|step| step > 0) {
            return Ok("".into());
        }
        let numbers = until(run, start, end.saturating_add(direction), step.unwrap_or(direction))?;
        Ok(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ").into())
    });
}

/// The numbers from `start` on, `stop` excluded.
fn until(run: &mut Run<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, FuncError> {
    let mut numbers = Vec::new();
    if step == 0 || (stop < start) != (step < 0) {
        return Ok(numbers);
    }
    let count = (i128::from(stop) - i128::from(start)).unsigned_abs() / u128::from(step.unsigned_abs());
    run.claim(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(ITEM))?;
    let mut next = Some(start);
    while let Some(number) = next.filter(|n| if step > 0 { *n < stop } else { *n > stop }) {
        numbers.push(number);
        next = number.checked_add(step);
    }
    Ok(numbers)
}

fn int_list(numbers: &[i64]) -> Value {
    List::typed(Type::INT_LIST, numbers.iter().map(|n| Value::Int(*n)).collect()).into()
}
