//! A real Kubernetes on this machine: its control plane and, as namespaces with a systemd each, its nodes.

mod binaries;
mod chapters;
mod cluster;
mod control_plane;
mod custom_containerd;
mod daemon;
mod disk;
mod files;
mod installer;
mod machine;
mod report;
pub(crate) mod runtime;
mod scenario;

use crate::go_program::HELM;
use crate::images::{self, Programs};
use crate::programs;
use chapters::Chapter;
use clap::{Subcommand, ValueEnum};
use cluster::{Cluster, Lack};
use control_plane::{ControlPlane, Place};
use installer::Installer;
use report::Report;
use runtime::Kind;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Builds what is missing.
    Build,
    /// Runs a command with KUBECONFIG set to a fresh control plane, which needs no privileges and has no nodes.
    WithControlPlane {
        /// The command; `KUBECTL` names a kubectl of the same release.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Starts a cluster with nodes and our images in its registry, and keeps it until this program is ended.
    Up {
        /// Its nodes, by their runtimes.
        #[arg(long, value_delimiter = ',', default_value = "containerd-1.6,containerd-2.1")]
        nodes: Vec<Kind>,
        #[command(flatten)]
        programs: Programs,
    },
    /// Tells the life of an installation on nodes of several kinds, by `husk up` and by real Helm; prints what passed.
    Test {
        /// Only with this one: husk or helm.
        #[arg(long)]
        only: Option<String>,
        /// What is told; without it everything. Helm tells the life alone.
        #[arg(long, value_delimiter = ',')]
        chapters: Vec<Chapter>,
        /// The nodes, by their runtimes.
        #[arg(long, value_delimiter = ',', default_value = "containerd-1.6,containerd-2.1")]
        nodes: Vec<Kind>,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
        #[command(flatten)]
        programs: Programs,
    },
    /// Takes away what a killed `up` or `test` left.
    Down,
}

pub(crate) fn run(verb: Verb) -> Result<(), String> {
    match verb {
        Verb::Build => binaries::directory().map(|place| println!("{}", place.display())),
        Verb::WithControlPlane { command } => with_control_plane(&command),
        Verb::Up { nodes, programs } => up(&nodes, &programs),
        Verb::Test { only, chapters, nodes, husk, helm, programs } => {
            test(only.as_deref(), &chapters, &nodes, husk, helm, &programs)
        }
        Verb::Down => cluster::clean(),
    }
}

fn with_control_plane(command: &[OsString]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let binaries = binaries::directory()?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let plane = ControlPlane::start(Place::loopback()?, &binaries, directory.path(), &[])?;
    eprintln!("control plane ready after {:.1} s", begun.elapsed().as_secs_f64());
    let status = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", plane.kubeconfig())
        .env("KUBECTL", binaries.join("kubectl"))
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", program.display())) }
}

/// Whether nodes can be had here. A check that cannot run says so and is no failure, but in CI only for want of privileges.
fn able(kinds: &[Kind]) -> Result<bool, String> {
    match cluster::lacking(kinds) {
        None => Ok(true),
        Some(Lack::Program(why)) if std::env::var_os("CI").is_some() => Err(why),
        Some(Lack::Program(why) | Lack::Privilege(why)) => {
            println!("real nodes are not possible here: {why}");
            Ok(false)
        }
    }
}

fn up(kinds: &[Kind], programs: &Programs) -> Result<(), String> {
    if !able(kinds)? {
        return Ok(());
    }
    let images = test_images(programs)?;
    let begun = Instant::now();
    let cluster = Cluster::start(kinds, &images)?;
    println!("{} nodes ready after {:.1} s", cluster.machines.len(), begun.elapsed().as_secs_f64());
    println!(
        "use it with: ip netns exec husk-control env KUBECONFIG={} kubectl get nodes",
        cluster.plane.kubeconfig().display()
    );
    println!("end it with Ctrl-C");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

fn test(
    only: Option<&str>,
    chapters: &[Chapter],
    kinds: &[Kind],
    husk: Option<PathBuf>,
    helm: Option<PathBuf>,
    programs: &Programs,
) -> Result<(), String> {
    let wanted = |chapter: &Chapter| chapters.is_empty() || chapters.contains(chapter);
    if !able(kinds)? {
        let names = Chapter::value_variants().iter().filter(|it| wanted(it)).map(|it| format!("{it:?}"));
        println!("\n{}", report::impossible(names, kinds));
        return Ok(());
    }
    let mut installers = Vec::new();
    if only != Some("helm") {
        installers.push(Installer::Husk(programs::husk(husk)?));
    }
    if only != Some("husk") {
        let helm = match helm.or_else(|| programs::on_path("helm")) {
            Some(helm) => helm,
            None => HELM.built()?,
        };
        installers.push(Installer::Helm(helm));
    }
    let images = test_images(programs)?;
    let begun = Instant::now();
    let mut cluster = Cluster::start(kinds, &images)?;
    let mut report = Report::default();
    report.time("cluster", "all", format!("{:.2} s", begun.elapsed().as_secs_f64()));
    let mut told = Ok(());
    for installer in installers.iter().filter(|_| wanted(&Chapter::Life)) {
        told = told.and(scenario::tell(&mut cluster, installer, &mut report));
    }
    if let Some(husk) = installers.iter().find(|installer| matches!(installer, Installer::Husk(_))) {
        type Teller = fn(&mut Cluster, &Installer, &mut Report) -> Result<(), String>;
        let others: [(Chapter, Teller); 5] = [
            (Chapter::Forms, chapters::forms),
            (Chapter::Breakage, chapters::breakage),
            (Chapter::Disk, chapters::disk),
            (Chapter::CustomContainerd, custom_containerd::tell),
            (Chapter::Growth, chapters::growth),
        ];
        for (_, tell) in others.iter().filter(|(chapter, _)| wanted(chapter)) {
            told = told.and_then(|()| tell(&mut cluster, husk, &mut report));
        }
    }
    println!("\n{}", report.tables(kinds));
    told?;
    match report.failures() {
        0 => Ok(()),
        count => Err(format!("{count} steps failed")),
    }
}

/// What a cluster's registry holds: our images, two releases of the payload and a broken one, and what pods of tests run.
fn test_images(programs: &Programs) -> Result<Vec<images::oci::Image>, String> {
    let mut all = images::for_tests(programs, Path::new("target/images"), "test")?;
    for recipe in [
        images::payload::recipe("4.1.0", false)?,
        images::payload::recipe("4.2.0", false)?,
        images::payload::recipe("4.3.0", true)?,
        images::payload::pod("pause", "1")?,
        images::payload::pod("pod", "1")?,
    ] {
        all.push(recipe.image().map_err(|error| error.to_string())?);
    }
    Ok(all)
}
