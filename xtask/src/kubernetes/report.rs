//! What a run has shown: a table of steps, and a table of times.

use crate::kubernetes::runtime::Kind;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a check found on each machine.
pub(crate) type Found = Vec<(Kind, Result<(), String>)>;

/// The tables; rows are in the order in which they came.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(String, Found)>,
    times: Vec<(String, BTreeMap<String, String>)>,
}

impl Report {
    /// Returns what does the steps of a chapter; `whose` stands before their names.
    pub(crate) fn steps(
        &mut self,
        whose: String,
        kinds: Vec<Kind>,
    ) -> impl FnMut(&str, &mut dyn FnMut() -> Result<Found, String>) -> bool {
        move |name, work| self.step(&format!("{whose}: {name}"), &kinds, work)
    }

    /// Does a step and checks it on each kind of node; prints it as soon as it is known. A step that cannot be done at all fails on
    /// every kind.
    pub(crate) fn step(&mut self, name: &str, kinds: &[Kind], work: impl FnOnce() -> Result<Found, String>) -> bool {
        let begun = Instant::now();
        let results = work().unwrap_or_else(|why| kinds.iter().map(|kind| (*kind, Err(why.clone()))).collect());
        let took = begun.elapsed().as_secs_f64();
        let passed = results.iter().all(|(_, result)| result.is_ok());
        println!("{} {name} ({took:.1} s)", if passed { "pass" } else { "FAIL" });
        for (kind, result) in &results {
            if let Err(why) = result {
                println!("     {kind}: {}", why.replace('\n', "\n       "));
            }
        }
        self.rows.push((name.to_owned(), results));
        passed
    }

    /// Notes how long something took, or what was counted.
    pub(crate) fn time(&mut self, row: &str, column: &str, value: String) {
        match self.times.iter_mut().find(|(name, _)| name == row) {
            Some((_, columns)) => {
                columns.insert(column.to_owned(), value);
            }
            None => self.times.push((row.to_owned(), BTreeMap::from([(column.to_owned(), value)]))),
        }
    }

    /// Both tables as text.
    pub(crate) fn tables(&self, kinds: &[Kind]) -> String {
        let mut text = row("scenario", kinds, |kind| kind.to_string());
        for (name, results) in &self.rows {
            text.push_str(&row(name, kinds, |kind| {
                let own: Vec<bool> = results.iter().filter(|(of, _)| of == kind).map(|(_, it)| it.is_ok()).collect();
                match own.iter().all(|passed| *passed) {
                    _ if own.is_empty() => "-",
                    true => "pass",
                    false => "FAIL",
                }
                .to_owned()
            }));
        }
        let mut columns: Vec<&String> = self.times.iter().flat_map(|(_, columns)| columns.keys()).collect();
        columns.sort();
        columns.dedup();
        if columns.is_empty() {
            return text;
        }
        text.push_str(&format!("\n{:<58}", "stopwatch"));
        columns.iter().for_each(|column| text.push_str(&format!("  {column:<14}")));
        text.push('\n');
        for (name, values) in &self.times {
            text.push_str(&format!("{name:<58}"));
            for column in &columns {
                text.push_str(&format!("  {:<14}", values.get(*column).map_or("-", String::as_str)));
            }
            text.push('\n');
        }
        text
    }

    /// How many steps failed on some kind of node.
    pub(crate) fn failures(&self) -> usize {
        self.rows.iter().filter(|(_, results)| results.iter().any(|(_, result)| result.is_err())).count()
    }
}

/// The table of a machine on which nothing of it can be shown.
pub(crate) fn impossible(scenarios: impl Iterator<Item = String>, kinds: &[Kind]) -> String {
    let mut text = row("scenario", kinds, |kind| kind.to_string());
    for scenario in scenarios {
        text.push_str(&row(&scenario, kinds, |_| "not possible here".to_owned()));
    }
    text
}

fn row(name: &str, kinds: &[Kind], cell: impl Fn(&Kind) -> String) -> String {
    let cells: String = kinds.iter().map(|kind| format!("  {:<14}", cell(kind))).collect();
    format!("{name:<58}{cells}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_on_one_kind_is_a_failure_and_the_table_says_where() {
        let kinds = [Kind::Debian, Kind::Two];
        let mut report = Report::default();
        assert!(report.step("good", &kinds, || Ok(vec![(Kind::Debian, Ok(()))])));
        assert!(!report.step("bad", &kinds, || Ok(vec![(Kind::Debian, Ok(())), (Kind::Two, Err("why".into()))])));
        assert!(!report.step("impossible", &kinds, || Err("why".into())));
        report.time("install", "husk", "3 s".into());
        let words: Vec<Vec<String>> =
            report.tables(&kinds).lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        assert_eq!(words[1], ["good", "pass", "-"]);
        assert_eq!(words[2], ["bad", "pass", "FAIL"]);
        assert_eq!(words[3], ["impossible", "FAIL", "FAIL"]);
        assert_eq!(words[6], ["install", "3", "s"]);
        assert_eq!(report.failures(), 2);
        let nothing = impossible(["life".to_owned()].into_iter(), &kinds);
        assert!(nothing.lines().nth(1).is_some_and(|line| line.matches("not possible here").count() == 2));
    }
}
