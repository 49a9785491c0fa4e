//! The order of keys in written YAML: "natural", with digit runs compared by value.

use std::cmp::Ordering;

/// Sorts entries by key. Go's comparison is not a total order for every set of keys, which Rust's sort may answer with a
/// panic; insertion by bisection needs no such promise. Entries are brought into byte order first so that the result
/// does not depend on where they came from.
pub(crate) fn sorted<T>(mut entries: Vec<(&str, T)>, newer: bool) -> Vec<(&str, T)> {
    entries.sort_by(|a, b| a.0.cmp(b.0));
    let mut out: Vec<(&str, T)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = out.partition_point(|placed| !less(entry.0, placed.0, newer));
        out.insert(at, entry);
    }
    out
}

/// Whether key `a` comes before key `b`. `newer` is the rule of the third version of Go's library, in which a letter after
/// a common run of digits comes first.
fn less(a: &str, b: &str, newer: bool) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut after_digit = false;
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            after_digit = is_digit(a[i]);
            continue;
        }
        let (letter_a, letter_b) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if letter_a && letter_b {
            return a[i] < b[i];
        }
        if letter_a || letter_b {
            return if newer && after_digit { letter_a } else { letter_b };
        }
        // A zero in the middle of a number is no leading zero: let both runs start with a one.
        let inside_number =
            (a[i] == '0' || b[i] == '0') && a[..i].iter().rev().take_while(|c| is_digit(**c)).any(|c| *c != '0');
        let start = i64::from(inside_number);
        let (number_a, end_a) = digit_run(&a, i, start);
        let (number_b, end_b) = digit_run(&b, i, start);
        return match number_a.cmp(&number_b).then(end_a.cmp(&end_b)) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => a[i] < b[i],
        };
    }
    a.len() < b.len()
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn digit_run(chars: &[char], from: usize, start: i64) -> (i64, usize) {
    let mut value = start;
    let mut at = from;
    while let Some(digit) = chars.get(at).and_then(|c| c.to_digit(10)) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        at += 1;
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(keys: &[&str], newer: bool) -> Vec<String> {
        sorted(keys.iter().map(|k| (*k, ())).collect(), newer).into_iter().map(|(k, ())| k.to_string()).collect()
    }

    #[test]
    fn digit_runs_count() {
        assert_eq!(
            order(&["a10", "a2", "B", "b", "_", "a", "", "a-b", "a.b", "10", "2"], false),
            ["", "_", "2", "10", "B", "a", "a-b", "a.b", "a2", "a10", "b"]
        );
    }

    #[test]
    fn the_newer_rule_differs_behind_digits() {
        assert_eq!(order(&["a1-", "a1b"], false), ["a1-", "a1b"]);
        assert_eq!(order(&["a1-", "a1b"], true), ["a1b", "a1-"]);
    }
}
