//! The two that are compared: Helm's packages in a Go process, and the rooms of this workspace.

use super::Case;
use crate::programs::{root, run};
use chart::values::UserValues;
use chart::{File, Log, RenderOptions, TemplateOutput};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// What one of the two says: the output and the error's text, each maybe empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Helm's packages, in a process of their own.
pub(crate) struct Helm {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Helm {
    /// Builds the program (Go's cache makes that quick from the second time on) and starts it.
    pub(crate) fn start(given: Option<PathBuf>) -> Result<Helm, String> {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        let program = match (given, BUILT.get()) {
            (Some(program), _) => program,
            (None, Some(program)) => program.clone(),
            (None, None) => {
                let place = root().join("target/real");
                std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
                let program = place.join("helm-engine");
                run(Command::new("go")
                    .args(["build", "-trimpath", "-o"])
                    .arg(&program)
                    .arg(".")
                    .env("CGO_ENABLED", "0")
                    .current_dir(root().join("xtask/go/engine")))?;
                BUILT.get_or_init(|| program).clone()
            }
        };
        let mut child = Command::new(&program)
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Helm { child, to, from })
    }

    /// Asks many questions; `meanwhile` runs while the process is busy with them.
    pub(crate) fn ask<T>(&mut self, cases: &[Case], meanwhile: impl FnOnce() -> T) -> Result<(Vec<Answer>, T), String> {
        let lines: Vec<u8> = cases.iter().flat_map(|case| (question(case).to_string() + "\n").into_bytes()).collect();
        let to = self.to.as_mut().ok_or("helm-engine has ended")?;
        let from = &mut self.from;
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || to.write_all(&lines).and_then(|()| to.flush()));
            let reader = scope.spawn(|| (0..cases.len()).map(|_| read(from)).collect::<Result<Vec<Answer>, String>>());
            let other = meanwhile();
            writer.join().map_err(|_| "writing failed")?.map_err(|error| error.to_string())?;
            Ok((reader.join().map_err(|_| "reading failed")??, other))
        })
    }
}

fn read(from: &mut impl BufRead) -> Result<Answer, String> {
    let mut line = String::new();
    from.read_line(&mut line).map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(&line).map_err(|error| format!("helm-engine said {line:?}: {error}"))?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Ok(Answer { out: masked(&text("out")), err: masked(&text("err")) })
}

impl Drop for Helm {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn question(case: &Case) -> Value {
    json!({
        "kind": case.kind, "files": case.files, "values": case.values, "json": case.json, "set": case.set,
        "string": case.string, "literal": case.literal, "text": case.text,
    })
}

/// Asks this workspace. A panic is an answer that no Helm gives.
pub(crate) fn ours(case: &Case) -> Answer {
    let answered = std::panic::catch_unwind(|| match case.kind {
        "yaml" => round_trip(goyaml::parse(&case.text)).map_err(|error| in_conversion(&error)),
        "strict" => round_trip(goyaml::parse_strict(&case.text)).map_err(|error| in_conversion(&error)),
        _ => render(case),
    });
    match answered {
        Ok(Ok(out)) => Answer { out: masked(&out), err: String::new() },
        Ok(Err(err)) => Answer { out: String::new(), err: masked(&err) },
        Err(_) => Answer { out: String::new(), err: "PANIC".to_owned() },
    }
}

/// Addresses, which differ between two runs of Helm too.
fn masked(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        // An address of either process has eleven digits or more.
        out.push_str(if digits > 10 { "ADDRESS" } else { "0x" });
        out.push_str(if digits > 10 { &part[digits..] } else { part });
    }
    out
}

/// How `sigs.k8s.io/yaml` introduces the errors of its reader.
fn in_conversion(error: &str) -> String {
    format!("error converting YAML to JSON: {error}")
}

fn round_trip(read: Result<Value, goyaml::Error>) -> Result<String, String> {
    let value = goyaml::with_float_numbers(read.map_err(|error| error.to_string())?);
    let yaml = goyaml::to_yaml(&value).map_err(|error| error.to_string())?;
    Ok(format!("{}\n{yaml}", goyaml::json_text(&value)))
}

fn render(case: &Case) -> Result<String, String> {
    let user = UserValues {
        files: (0..case.values.len()).map(|i| format!("{i}.yaml")).collect(),
        json: case.json.clone(),
        set: case.set.clone(),
        string: case.string.clone(),
        file: Vec::new(),
        literal: case.literal.clone(),
    };
    let text = |name: &str| {
        let index: usize = name.trim_end_matches(".yaml").parse().map_err(|_| name.to_owned())?;
        case.values.get(index).map(|text| text.clone().into_bytes()).ok_or_else(|| name.to_owned())
    };
    let values = user.resolve(text).map_err(|error| error.to_string())?;
    let files = case.files.iter().map(|(name, text)| File::new(name.as_str(), text.as_bytes())).collect();
    let mut log = Log::default();
    let chart = chart::load::files(files, &mut log).map_err(|error| error.to_string())?;
    let mut options = RenderOptions::new("release-name", "default", SystemTime::now(), Arc::new(|bytes| bytes.fill(7)));
    options.now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let rendered = chart::render_logged(&chart, &values, &options, &mut log).map_err(|error| {
        let hint = if error.has_debug_hint() { "\n\nUse --debug flag to render out invalid YAML" } else { "" };
        format!("{error}{hint}")
    })?;
    let shown = rendered.template_output(&TemplateOutput::default()).map_err(|error| error.to_string())?;
    Ok(format!("{shown}NOTES:\n{}", rendered.notes))
}
