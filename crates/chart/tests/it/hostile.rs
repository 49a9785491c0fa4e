//! Hostile charts, each in a process of its own with a bound on its address space: a clear error, soon, in little memory.

use crate::command::options;
use chart::{Chart, Log, Values};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names, templates and a part of the error.
const TEMPLATES: &[(&str, &str, &str)] = &[
    (
        "include itself",
        r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
        "nested reference name: a",
    ),
    ("template itself", r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#, "template"),
    ("tpl itself", r#"{{ $t := "{{ tpl .t . }}" }}{{ tpl $t (dict "t" $t "Template" .Template) }}"#, "template"),
    ("repeat", r#"{{ repeat 2000000000 "abc" }}"#, "produced more than"),
    ("repeat of repeat", r#"{{ repeat 1000000 (repeat 1000000 "a") }}"#, "produced more than"),
    (
        "doubling",
        r#"{{ $s := "0123456789abcdef" }}{{ range until 40 }}{{ $s = print $s $s }}{{ end }}{{ $s }}"#,
        "templates",
    ),
    (
        "kept",
        r#"{{ $d := dict }}{{ range $i := until 1000000 }}{{ $_ := set $d (toString $i) (repeat 10000 "x") }}{{ end }}"#,
        "templates",
    ),
    (
        "nested loops",
        r#"{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}"#,
        "templates",
    ),
    ("long output", r#"{{ range until 1000000 }}{{ range until 1000 }}0123456789{{ end }}{{ end }}"#, "templates"),
    ("until", r#"{{ until 2000000000 }}"#, "produced more than"),
    ("untilStep", r#"{{ untilStep 0 2000000000 1 }}"#, "produced more than"),
    ("seq", r#"{{ seq 1 2000000000 }}"#, "produced more than"),
    ("random text", r#"{{ randAlphaNum 2000000000 }}"#, "produced more than"),
    ("indent", r#"{{ indent 1000000 (repeat 1000 "\n") }}"#, "produced more than"),
    ("append", r#"{{ $l := list }}{{ range until 1000000 }}{{ $l = append $l 1 }}{{ end }}"#, "templates"),
    ("slow functions", r#"{{ range until 1000 }}{{ $_ := bcrypt "x" }}{{ end }}"#, "steps"),
    (
        "regular expression",
        r#"{{ regexMatch "((a{0,100}){0,100}){0,100}" "a" }}{{ mustRegexMatch "(((a{0,100}){0,100}){0,100}){0,100}" "a" }}"#,
        "regexp",
    ),
    (
        "slow match",
        r#"{{ range until 100000 }}{{ $_ := regexMatch "(a*)*(a*)*$" (repeat 100000 "a") }}{{ end }}"#,
        "templates",
    ),
    (
        "hashes",
        r#"{{ $s := repeat 40000000 "x" }}{{ range until 100000 }}{{ $_ := sha512sum $s }}{{ end }}"#,
        "templates",
    ),
    ("map in itself", r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ mustToJson $d }}"#, "encountered a cycle"),
    ("format", r#"{{ printf "%999999d%999999d" 1 2 | repeat 1000 }}"#, "produced more than"),
    ("replace", r#"{{ replace "a" (repeat 100000 "b") (repeat 100000 "a") }}"#, "produced more than"),
    ("loop over a number", "{{ range 1000000000000 }}{{ end }}", "steps"),
];

/// Names, values files and a part of the error.
fn documents() -> Vec<(&'static str, String, &'static str)> {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let below = format!("*a{}, ", i - 1).repeat(10);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", below.trim_end_matches(", ")));
    }
    vec![
        ("aliases", bomb, "excessive aliasing"),
        ("lists in lists", format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "max depth"),
        ("maps in maps", format!("a: {}{}", "{a: ".repeat(100_000), "}".repeat(100_000)), "max depth"),
        ("blocks in blocks", (0..5000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(), "max depth"),
        ("alias of itself", "a: &a [*a]\n".to_owned(), "contains itself"),
    ]
}

fn all() -> usize {
    TEMPLATES.len() + documents().len()
}

fn chart_of(number: usize) -> Result<(&'static str, &'static str, String), (&'static str, &'static str, String)> {
    let head = ("Chart.yaml", "apiVersion: v2\nname: top\nversion: 0.1.0\n".to_owned());
    let (name, wanted, file) = match TEMPLATES.get(number) {
        Some((name, text, wanted)) => (*name, *wanted, ("templates/NOTES.txt", (*text).to_owned())),
        None => {
            let (name, text, wanted) = documents().swap_remove(number - TEMPLATES.len());
            (name, wanted, ("values.yaml", text))
        }
    };
    let files = [head, file].map(|(name, text)| chart::File::new(name, text.into_bytes()));
    let loaded: Result<Chart, chart::Error> = chart::load::files(files.to_vec(), &mut Log::default());
    let rendered = loaded.and_then(|chart| chart::render(&chart, &Values::new(), &options("rel", "space")));
    match rendered {
        Ok(rendered) => Ok((name, wanted, rendered.notes.chars().take(40).collect())),
        Err(error) => Err((name, wanted, error.to_string())),
    }
}

/// What a child does: one chart, and the peak of its memory in KiB.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn one_hostile_chart() {
    let Ok(number) = std::env::var("HUSK_HOSTILE_CHART") else { return };
    let (refused, (name, wanted, text)) = match chart_of(number.parse().expect("a number")) {
        Ok(answer) => (false, answer),
        Err(answer) => (true, answer),
    };
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    let verdict = refused && text.contains(wanted);
    let shown: String = text.chars().rev().take(160).collect::<Vec<char>>().into_iter().rev().collect();
    writeln!(std::io::stdout(), "\nVERDICT {verdict} {} {name}: {shown:?}", peak.trim_end_matches(" kB"))
        .expect("output");
}

/// The bound is generous, because this is the unoptimised program on a machine that may be busy; a chart without a bound
/// would take hours.
const LONGEST: Duration = Duration::from_secs(60);

/// The stack takes more in the unoptimised program.
const MOST_KIB: u64 = if cfg!(debug_assertions) { 384 * 1024 } else { 256 * 1024 };

#[test]
#[cfg(target_os = "linux")]
fn hostile_charts_end_with_an_error() {
    let program = std::env::current_exe().expect("this program");
    let mut wrong = Vec::new();
    for number in 0..all() {
        let begun = Instant::now();
        let child = Command::new("sh")
            .arg("-c")
            .arg("ulimit -v 1048576; exec \"$0\" hostile::one_hostile_chart --exact --ignored --nocapture --test-threads=1")
            .arg(&program)
            .env("HUSK_HOSTILE_CHART", number.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = child.wait_with_output().expect("output");
        let took = begun.elapsed();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let verdict = text.lines().find_map(|line| line.strip_prefix("VERDICT ")).unwrap_or_default().to_owned();
        let peak: u64 = verdict.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(u64::MAX);
        if std::env::var_os("HUSK_HOSTILE_FIGURES").is_some() {
            writeln!(std::io::stderr(), "{:.2} s, {} MiB: {verdict}", took.as_secs_f64(), peak / 1024).expect("output");
        }
        if !verdict.starts_with("true") || took > LONGEST || peak > MOST_KIB {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!(
                "{number}: {:?} {took:.1?} {verdict} {}",
                output.status,
                errors.lines().last().unwrap_or("")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
