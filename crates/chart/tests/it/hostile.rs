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
        "steps",
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
    (
        "replace",
        r#"{{ $x := repeat 1000 "a" }}{{ range 100 }}{{ $x = replace "a" "aa" $x }}{{ end }}"#,
        "produced more",
    ),
    ("list doubled", "{{ $x := list 1 }}{{ range 100 }}{{ $x = concat $x $x }}{{ end }}", "produced more than"),
    ("split", r#"{{ split "," (repeat 10000000 ",") }}"#, "produced more than"),
    ("splitList", r#"{{ splitList "" (repeat 10000000 ",") }}"#, "produced more than"),
    ("splitn", r#"{{ splitn "," 9000000 (repeat 10000000 ",") }}"#, "produced more than"),
    ("matches", r#"{{ regexFindAll "a" (repeat 10000000 "a") -1 }}"#, "produced more than"),
    ("regexSplit", r#"{{ regexSplit "a" (repeat 10000000 "a") -1 }}"#, "produced more than"),
    ("chunk", "{{ chunk 1 (until 400000) }}", "produced more than"),
    ("shared parts as JSON", SHARED_JSON, "produced more than"),
    ("shared parts as YAML", SHARED_YAML, "produced more than"),
    ("shared parts as TOML", SHARED_TOML, "produced more than"),
    ("shared parts printed", SHARED_PRINT, "produced more than"),
    ("shared parts compared", SHARED_EQUAL, "produced more than"),
    ("shared parts joined", SHARED_JOIN, "produced more than"),
    ("fromYaml", r#"{{ fromYamlArray (repeat 3000000 "-\n") | first | fail }}"#, "more than 500000 nodes"),
    ("fromJson", r#"{{ printf "[%s1]" (repeat 3000000 "1,") | mustFromJson }}"#, "more than 500000 values"),
    ("fromToml", r#"{{ printf "a=[%s]" (repeat 3000000 "1,") | fromToml }}"#, "longer than 1048576 bytes"),
    ("tpl of much", r#"{{ tpl (repeat 2000000 "{{ 1 }}") $ }}"#, "more than 1000000 parts"),
];

/// Lists that hold another one twice, forty times over: small where they are, beyond any machine once written out.
macro_rules! shared {
    ($call:literal) => {
        concat!("{{ $x := list 1 }}{{ range 40 }}{{ $x = list $x $x }}{{ end }}{{ ", $call, " }}")
    };
}
const SHARED_JSON: &str = shared!("toJson $x");
const SHARED_YAML: &str = shared!("toYaml $x");
const SHARED_TOML: &str = shared!("toToml (dict \"a\" $x)");
const SHARED_PRINT: &str = shared!("$x");
const SHARED_EQUAL: &str = shared!("deepEqual $x (deepCopy $x)");
const SHARED_JOIN: &str = shared!("join \",\" $x");

/// Loops that end for want of steps: they take long where the program is not optimised.
const LOOPS: &[(&str, &str, &str)] = &[
    ("tpl", r#"{{ range 10000000 }}{{ $y := tpl "{{ 1 }}" $ }}{{ end }}"#, "steps"),
    ("lookup", r#"{{ range 10000000 }}{{ $y := lookup "v1" "Pod" "" "" }}{{ end }}"#, "steps"),
    ("trim", r#"{{ $x := repeat 16000000 " " }}{{ range 100000 }}{{ $y := trim $x }}{{ end }}"#, "templates"),
    ("snakecase", r#"{{ $x := repeat 4000000 "aB" }}{{ range 100000 }}{{ $y := snakecase $x }}{{ end }}"#, "templates"),
    ("wrap", r#"{{ $x := repeat 4000000 "a " }}{{ range 100000 }}{{ $y := wrap 1 $x }}{{ end }}"#, "templates"),
    ("adler32sum", r#"{{ $x := repeat 16000000 "a" }}{{ range 100000 }}{{ $y := adler32sum $x }}{{ end }}"#, "steps"),
    (
        "contains",
        r#"{{ $x := repeat 16000000 "a" }}{{ $n := print (repeat 8000000 "a") "b" }}{{ range 100000 }}{{ $y := contains $n $x }}{{ end }}"#,
        "steps",
    ),
    (
        "eq",
        r#"{{ $x := repeat 16000000 "a" }}{{ $z := print $x "" }}{{ range 100000 }}{{ $y := eq $x $z }}{{ end }}"#,
        "steps",
    ),
    ("uniq", "{{ $x := until 100000 }}{{ $y := uniq $x }}", "steps"),
    ("has", r#"{{ $x := until 400000 }}{{ range 100000 }}{{ $y := has "x" $x }}{{ end }}"#, "steps"),
    ("toYaml", "{{ $x := until 400000 }}{{ range 1000 }}{{ $y := toYaml $x }}{{ end }}", "templates"),
    (
        "deepCopy",
        r#"{{ $x := dict "a" (until 400000) }}{{ $l := list }}{{ range 1000 }}{{ $l = append $l (deepCopy $x) }}{{ end }}"#,
        "templates",
    ),
    (
        "keys",
        "{{ $d := dict }}{{ range $i := until 300000 }}{{ $_ := set $d (toString $i) 1 }}{{ end }}{{ range 1000000 }}{{ $k := keys $d }}{{ end }}",
        "templates",
    ),
    (
        "expressions",
        r#"{{ range $i := until 100000 }}{{ $y := regexMatch (printf "(a{0,30}){0,30}b%d" $i) "aaaa" }}{{ end }}"#,
        "steps",
    ),
    ("dates", r#"{{ range 10000000 }}{{ $y := now | date (repeat 1000 "2006") }}{{ end }}"#, "templates"),
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
        ("blocks in blocks", (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(), "max depth"),
        ("alias of itself", "a: &a [*a]\n".to_owned(), "contains itself"),
        ("many nodes", format!("a:\n{}", "- 1\n".repeat(600_000)), "more than 500000 nodes"),
        ("much text", format!("a: {}", "x".repeat(6 << 20)), "longer than 5242880 bytes"),
    ]
}

fn all() -> usize {
    TEMPLATES.len() + documents().len()
}

/// The numbers of the loops start here.
const FIRST_LOOP: usize = 1000;

fn chart_of(number: usize) -> Result<(&'static str, &'static str, String), (&'static str, &'static str, String)> {
    let head = ("Chart.yaml", "apiVersion: v2\nname: top\nversion: 0.1.0\n".to_owned());
    let template = number.checked_sub(FIRST_LOOP).map_or_else(|| TEMPLATES.get(number), |number| LOOPS.get(number));
    let (name, wanted, file) = match template {
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
    end_with_an_error(0..all());
}

#[test]
#[ignore = "takes minutes unless optimised"]
#[cfg(target_os = "linux")]
fn hostile_loops_end_with_an_error() {
    end_with_an_error(FIRST_LOOP..FIRST_LOOP + LOOPS.len());
}

#[cfg(target_os = "linux")]
fn end_with_an_error(numbers: std::ops::Range<usize>) {
    let program = std::env::current_exe().expect("this program");
    let mut wrong = Vec::new();
    for number in numbers {
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

/// An archive of entries: names, kinds, what links point to, contents.
fn archive(entries: impl IntoIterator<Item = (String, tar::EntryType, &'static str, Vec<u8>)>) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, kind, target, data) in entries {
        let mut header = tar::Header::new_gnu();
        // Names that the crate would refuse to write.
        header.as_mut_bytes()[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        if !target.is_empty() {
            header.set_link_name(target).expect("a link");
        }
        header.set_cksum();
        builder.append(&header, &data[..]).expect("an entry");
    }
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).expect("an archive")
}

fn file(name: impl Into<String>, data: impl Into<Vec<u8>>) -> (String, tar::EntryType, &'static str, Vec<u8>) {
    (name.into(), tar::EntryType::Regular, "", data.into())
}

fn chart_file(name: &str) -> (String, tar::EntryType, &'static str, Vec<u8>) {
    file(format!("{name}/Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 0.1.0\n"))
}

/// The outcome of loading the archive of a chart with these files.
fn load(entries: impl IntoIterator<Item = (String, tar::EntryType, &'static str, Vec<u8>)>) -> Result<Chart, String> {
    let whole = std::iter::once(chart_file("top")).chain(entries);
    chart::load::archive(&archive(whole), &mut Log::default()).map_err(|error| error.to_string())
}

#[test]
fn names_in_archives_stay_inside() {
    for (name, wanted) in [
        ("top/../../etc/passwd", "chart illegally references parent directory"),
        ("top/a/../../x", "chart illegally references parent directory"),
        ("top//etc/passwd", "chart illegally contains absolute paths"),
        ("top/c:/windows", "chart contains illegally named files"),
        ("lonely", "chart illegally contains content outside the base directory: \"lonely\""),
    ] {
        assert_eq!(load([file(name, "x")]).expect_err(name), wanted, "{name}");
    }
    // As for Helm the first part of a name is the chart's directory, whatever it is.
    let chart = load([file("/etc/passwd", "x")]).expect("a chart");
    assert!(chart.files.iter().any(|file| file.name == "etc/passwd"));
}

#[test]
fn links_and_devices_in_archives_lead_nowhere() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Fifo] {
        let target = if kind == tar::EntryType::Char { "" } else { "/etc/passwd" };
        let chart = load([("top/templates/x.yaml".to_owned(), kind, target, Vec::new())]).expect("a chart");
        let found = chart.templates.iter().find(|file| file.name == "templates/x.yaml").expect("an empty file");
        assert!(found.data.is_empty(), "{kind:?}");
    }
}

#[test]
fn what_is_in_archives_is_counted() {
    let many = (0..=chart::load::MAX_FILES).map(|i| file(format!("top/f/{i}"), ""));
    assert_eq!(load(many).expect_err("many files"), "chart has more than 50000 files");
    let below = archive([chart_file("s")]);
    let charts = (0..=chart::load::MAX_CHARTS).map(|i| file(format!("top/charts/s{i}.tgz"), below.clone()));
    let error = load(charts).expect_err("many charts");
    assert!(error.ends_with("chart consists of more than 1000 charts"), "{error}");
    // Archives in an archive share one allowance.
    let zeros = archive([chart_file("s"), file("s/x", vec![0; 60 << 20])]);
    let two = (0..2).map(|i| file(format!("top/charts/s{i}.tgz"), zeros.clone()));
    let error = load(two).expect_err("much inside");
    assert!(error.ends_with("decompressed chart is larger than the maximum size 104857600"), "{error}");
    let bomb = file("top/x", vec![0; (100 << 20) + 1]);
    assert_eq!(load([bomb]).expect_err("much"), "decompressed chart is larger than the maximum size 104857600");
}
