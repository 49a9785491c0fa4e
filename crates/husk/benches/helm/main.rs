//! `husk helm` against real Helm on the same charts, as whole processes: medians of wall time and of peak memory, and their ratios.
//!
//! `cargo bench -p husk --bench helm`. Helm is taken from `HELM` or from the path, husk is the one that was just built unless `HUSK`
//! names another. Figures for people; nothing fails when a ratio is missed, because it depends on what else the machine does.
#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "a program for people")]

mod large_chart;

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Runs of each program; the median counts.
const RUNS: usize = 21;
/// The word by which this program is called to run one other.
const ONCE: &str = "once";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, command)) if first == ONCE => once(command),
        _ => compare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured: husk's words and Helm's, and the ratios wanted of wall time and memory.
struct HotPath {
    name: &'static str,
    ours: Vec<OsString>,
    theirs: Vec<OsString>,
    wanted: &'static str,
}

fn compare() -> Result<(), Box<dyn Error>> {
    let named = |name: &str, default: &str| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| default.into()));
    let (husk, helm) = (named("HUSK", env!("CARGO_BIN_EXE_husk")), named("HELM", "helm"));
    let place = tempfile::tempdir()?;
    let large = place.path().join("umbrella");
    let bytes = large_chart::write(&large)?;
    let kata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/kata-deploy").canonicalize()?;
    let same = |words: &[&str], chart: Option<&Path>| -> Vec<OsString> {
        words.iter().map(OsString::from).chain(chart.map(OsString::from)).collect()
    };
    let verb = |name, words: &[&str], chart: Option<&Path>, wanted| HotPath {
        name,
        ours: same(&[&["helm"], words].concat(), chart),
        theirs: same(words, chart),
        wanted,
    };
    let into = place.path().display().to_string();
    let paths = [
        verb("template kata-deploy", &["template", "r"], Some(&kata), "15x, 6x"),
        verb("template large chart", &["template", "r"], Some(&large), "10x, 4x"),
        verb("lint kata-deploy", &["lint"], Some(&kata), "8x"),
        verb("lint large chart", &["lint"], Some(&large), "8x"),
        verb("package kata-deploy", &["package", "-d", &into], Some(&kata), "8x"),
        verb("package large chart", &["package", "-d", &into], Some(&large), "8x"),
        verb("version", &["version"], None, "5 ms"),
        HotPath {
            name: "husk version",
            ours: same(&["version"], None),
            theirs: same(&["version"], None),
            wanted: "5 ms",
        },
    ];
    println!("medians of {RUNS} runs each, in turns; the large chart has {:.1} MB", bytes as f64 / 1e6);
    println!(
        "{:<22}{:>11}{:>11}{:>8}{:>12}{:>11}{:>8}  wanted",
        "", "helm ms", "husk ms", "ratio", "helm MiB", "husk MiB", "ratio"
    );
    for path in paths {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        // Taking turns, so that whatever else the machine does meets both.
        for _ in 0..RUNS {
            theirs.push(measured(&helm, &path.theirs)?);
            ours.push(measured(&husk, &path.ours)?);
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!(
            "{:<22}{:>11.1}{:>11.1}{:>7.1}x{:>12.1}{:>11.1}{:>7.1}x  {}",
            path.name,
            theirs.0,
            ours.0,
            theirs.0 / ours.0,
            theirs.1,
            ours.1,
            theirs.1 / ours.1,
            path.wanted
        );
    }
    Ok(())
}

/// Milliseconds and mebibytes of one call. It is made by a small process of its own: the system counts the memory of whoever
/// starts a program to that program.
fn measured(program: &Path, arguments: &[OsString]) -> Result<(f64, f64), Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).arg(ONCE).arg(program).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (time, memory) = text.trim().split_once(' ').ok_or("two figures")?;
    Ok((time.parse()?, memory.parse()?))
}

fn once(command: &[OsString]) -> Result<(), Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("no program")?;
    let begun = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = begun.elapsed();
    if !status.success() {
        return Err(format!("{} {arguments:?}: {status}", program.display()).into());
    }
    println!("{} {}", took.as_secs_f64() * 1e3, children_peak() as f64 / 1024.0);
    Ok(())
}

/// The largest resident memory of any process that this one waited for, in kibibytes.
fn children_peak() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory of the right size and alignment that lives through the call, which writes no more than
    // that; all-zero bytes are a valid `rusage` even when nothing is written.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_maxrss
}

/// The medians of both figures, each by itself.
fn median(figures: Vec<(f64, f64)>) -> (f64, f64) {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (middle(figures.iter().map(|f| f.0).collect()), middle(figures.iter().map(|f| f.1).collect()))
}
