//! The life of releases, told three times on one cluster: by real Helm, by `husk helm`, and by the two taking turns.
//! After every step the exit statuses, the texts, the objects and the release records must be the same.

pub(crate) mod conformance;
pub(crate) mod interruptions;
mod kubelet;
mod steps;
mod world;

use crate::go_program::HELM;
use crate::programs::{husk, on_path, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use steps::{Does, STEPS};
use world::{World, first_difference};

/// Who makes a step.
#[derive(Clone, Copy, PartialEq)]
enum Teller {
    Helm,
    Husk,
    /// Helm makes the first step, husk the second, and so on; `true`: the other way round.
    Turns(bool),
}

/// What a step left.
struct Left {
    code: Option<i32>,
    out: String,
    error: String,
    objects: BTreeMap<String, Value>,
}

struct Programs {
    helm: PathBuf,
    husk: PathBuf,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

/// Runs the script against the cluster of a kubeconfig.
pub(crate) fn check(kubeconfig: &Path, given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<(), String> {
    let programs = programs(kubeconfig, given_husk, given_helm)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let theirs = tell(&programs, Teller::Helm).await?;
        let mut different = 0;
        for (name, teller) in [
            ("husk", Teller::Husk),
            ("helm and husk in turns", Teller::Turns(false)),
            ("husk and helm in turns", Teller::Turns(true)),
        ] {
            let ours = tell(&programs, teller).await?;
            let count = compare(name, &theirs, &ours);
            println!("{name}: {} of {} steps as real Helm", STEPS.len() - count, STEPS.len());
            different += count;
        }
        if different == 0 { Ok(()) } else { Err(format!("{different} steps differ")) }
    })
}

/// Tells the script by real Helm on two clusters, a real one and the sandbox; returns how many steps end differently.
async fn on_both(real: Programs, sandbox: &Path) -> Result<usize, String> {
    let theirs = tell(&real, Teller::Helm).await?;
    let ours = tell(&Programs { kubeconfig: sandbox.to_owned(), ..real }, Teller::Helm).await?;
    let different = compare("Helm at the sandbox", &conformance::unmarked(theirs), &conformance::unmarked(ours));
    println!("Helm: {} of {} steps end in the sandbox as on the real cluster", STEPS.len() - different, STEPS.len());
    Ok(different)
}

fn programs(kubeconfig: &Path, given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<Programs, String> {
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    Ok(Programs { helm, husk: husk(given_husk)?, kubeconfig: kubeconfig.to_owned(), home })
}

pub(crate) async fn client(kubeconfig: &Path) -> Result<kube::Client, String> {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
    let config =
        kube::Config::from_custom_kubeconfig(config, &Default::default()).await.map_err(|error| error.to_string())?;
    kube::Client::try_from(config).map_err(|error| error.to_string())
}

async fn tell(programs: &Programs, teller: Teller) -> Result<Vec<Left>, String> {
    let client = client(&programs.kubeconfig).await?;
    // Names of one length: tables are as wide.
    let namespace = match teller {
        Teller::Helm => "lifecycle-a",
        Teller::Husk => "lifecycle-b",
        Teller::Turns(false) => "lifecycle-c",
        Teller::Turns(true) => "lifecycle-d",
    };
    World { client: client.clone(), namespace: namespace.to_owned() }.clean().await?;
    let world = World::prepare(client, namespace).await?;
    let kubelet = tokio::spawn(kubelet::serve(world.clone()));
    let mut all = Vec::new();
    for (index, step) in STEPS.iter().enumerate() {
        let ended = match step.does {
            Does::Helm(arguments) => {
                let helm = match teller {
                    Teller::Helm => true,
                    Teller::Husk => false,
                    Teller::Turns(swapped) => (index % 2 == 0) != swapped,
                };
                call(programs, &world, arguments, helm).await?
            }
            Does::Edit(name, key, value) => {
                world.edit(name, key, value).await?;
                (Some(0), String::new(), String::new())
            }
            Does::Delete(path) => {
                world.delete(path).await?;
                (Some(0), String::new(), String::new())
            }
        };
        let (code, out, error) = ended;
        all.push(Left { code, out, error, objects: world.snapshot().await? });
    }
    kubelet.abort();
    world.clean().await?;
    Ok(all)
}

async fn call(
    programs: &Programs,
    world: &World,
    arguments: &str,
    helm: bool,
) -> Result<(Option<i32>, String, String), String> {
    let mut command = Command::new(if helm { &programs.helm } else { &programs.husk });
    if !helm {
        command.arg("helm");
    }
    let charts = root().join("xtask/data/lifecycle");
    for argument in arguments.split_whitespace() {
        match argument {
            "V1" => command.arg(charts.join("v1")),
            "V2" => command.arg(charts.join("v2")),
            other => command.arg(other),
        };
    }
    command
        .args(["--namespace", &world.namespace])
        .arg("--kubeconfig")
        .arg(&programs.kubeconfig)
        .env("HOME", programs.home.path());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| plain(&world.without_namespace(&String::from_utf8_lossy(bytes)));
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Takes out of a text what differs between two runs of one program: moments, the width of columns that depends on
/// them, ages, generated names and addresses, what Helm's client library logs when it is cut short, and the order of the kinds in
/// `status`, which Helm leaves to chance.
fn plain(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !is_library_log(line)) {
        let words: Vec<String> = line
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .map(|word| match word {
                word if is_moment(word) => "MOMENT".to_owned(),
                word if word.parse::<std::net::Ipv4Addr>().is_ok() => "ADDRESS".to_owned(),
                word => word.to_owned(),
            })
            .collect();
        lines.push(words.join(" "));
    }
    in_order(&lines.join("\n"))
}

/// Sorts the blocks of `status` that begin with `==>`.
fn in_order(text: &str) -> String {
    let Some(start) = text.find("==> ") else { return text.to_owned() };
    let end = text[start..].find("\n\n\n").map_or(text.len(), |end| start + end);
    let mut blocks: Vec<&str> = text[start..end].split("\n\n").collect();
    blocks.sort_unstable();
    format!("{}{}{}", &text[..start], blocks.join("\n\n"), &text[end..])
}

fn is_library_log(line: &str) -> bool {
    line.starts_with(['E', 'I', 'W']) && line.contains(".go:") && line.contains("] ")
}

/// A word of digits with colons or dashes, as dates, clocks and zones are; also inside JSON quotes.
fn is_moment(word: &str) -> bool {
    let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '+');
    let clock = bare.matches(':').count() == 2 && bare.chars().any(|letter| letter.is_ascii_digit());
    let date = bare.len() == 10 && bare.matches('-').count() == 2 && bare.starts_with("20");
    let duration = bare.ends_with('s')
        && bare.len() > 3
        && bare.trim_end_matches(['s', 'm', 'µ', 'n']).chars().all(|letter| letter.is_ascii_digit() || letter == '.')
        && bare.contains('.');
    let age =
        bare.len() > 1 && bare.ends_with(['s', 'm']) && bare[..bare.len() - 1].bytes().all(|b| b.is_ascii_digit());
    let pod = bare.starts_with("a-") && bare.len() > 15 && bare.matches('-').count() == 2;
    age || pod
        || word.contains("modifiedAt=")
        || clock
        || date
        || duration
        || word.starts_with("time=")
        || word.contains("_deployed\":")
}

fn compare(name: &str, theirs: &[Left], ours: &[Left]) -> usize {
    let mut different = 0;
    for ((step, theirs), ours) in STEPS.iter().zip(theirs).zip(ours) {
        let mut found = Vec::new();
        if theirs.code != ours.code {
            found.push(format!("exit {:?} against {:?}", theirs.code, ours.code));
        }
        for (kind, theirs, ours) in [("out", &theirs.out, &ours.out), ("err", &theirs.error, &ours.error)] {
            if theirs != ours {
                found.push(format!("{kind}:\n--- helm\n{theirs}\n--- here\n{ours}"));
            }
        }
        let as_value = |objects: &BTreeMap<String, Value>| Value::from_iter(objects.clone());
        if let Some(difference) = first_difference("", &as_value(&theirs.objects), &as_value(&ours.objects)) {
            found.push(difference);
        }
        if !found.is_empty() {
            different += 1;
            println!("{name}: step `{}`: {}", step.name, found.join("\n  "));
        }
    }
    different
}
