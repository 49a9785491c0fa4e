//! Work on the project itself: checks against real programs, which `cargo test` does not need (Debian's containerd, real Helm,
//! real Kubernetes), pages of the documentation, releases.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod bench;
mod bench_releases;
mod charts;
mod containerd;
mod crio;
mod docs;
mod engine;
mod exchange;
mod fuzz;
mod go_program;
mod helm;
mod images;
mod kubectl;
mod kubernetes;
mod lifecycle;
mod node_binary;
mod programs;
mod release;
mod rights;
mod verbs;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "xtask", about = "Work on the project itself")]
enum Command {
    /// Makes the pages of the documentation that come from schemas and the error catalogue.
    Docs {
        /// Write nothing; fail when a page is stale.
        #[arg(long)]
        check: bool,
    },
    /// Prepares a release on a branch: versions, dependency, changelog.
    Release {
        /// Which part of the version goes up.
        step: release::Step,
        /// Only print what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Asks real programs.
    #[command(subcommand)]
    Real(Real),
    /// Random cases, answered by real programs and by this workspace.
    #[command(subcommand)]
    Fuzz(Fuzz),
    /// Assembles the images of husk-node and husk-dispatcher, each with its bill of materials.
    Images(images::Ask),
    /// Measures against real programs; prints ratios.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// `husk helm template` against `helm template` on our charts, as whole processes.
    Template {
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
    },
    /// Installing 500 objects and listing 1,000 releases, against real Helm on the cluster of a kubeconfig.
    Releases {
        /// The cluster.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// Real Helm; default: from the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Fuzz {
    /// Templates, values and YAML against Helm's own packages.
    Helm {
        /// How many cases.
        #[arg(long, default_value_t = 50_000)]
        cases: usize,
        /// The same seed gives the same cases.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Begin with this case; with `--cases` one higher it is the only one, and shown.
        #[arg(long, default_value_t = 0)]
        first: usize,
        /// Stop after so many differences.
        #[arg(long, default_value_t = 10)]
        stop_after: usize,
        /// Only these cases: `template`, `values` or `yaml`.
        #[arg(long)]
        only: Option<String>,
        /// Instead: show what both make of this template.
        #[arg(long)]
        template: Option<String>,
    },
}

#[derive(Subcommand)]
enum Real {
    /// The installer and the dispatcher are built as they are released: static, and small enough.
    NodeBinary,
    /// A real containerd reads what was written on a sandbox host, starts with it and serves the handlers.
    Containerd {
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
    },
    /// Real Helm has the same verbs and flags; what one packs, signs, lists and pushes, the other fetches and verifies.
    Registry {
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
    },
    /// A real CRI-O follows the rules of the simulated one, and serves what the installer writes.
    Crio,
    /// A real Kubernetes on this machine.
    #[command(subcommand)]
    Kubernetes(kubernetes::Verb),
    /// The life of releases on a cluster, told by real Helm, by husk, and by both in turns.
    Lifecycle {
        /// The cluster's kubeconfig.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
    },
    /// The same calls of kubectl, and the life of a release by Helm, at the sandbox's API server and at the cluster's: the answers
    /// are the same.
    Conformance {
        /// The cluster's kubeconfig.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary, whose sandbox it is; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
    },
    /// Upgrades are killed and interrupted at twenty moments each, and two meet; all are brought to their end.
    Interruptions {
        /// The cluster's kubeconfig.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
    },
    /// A real API server accepts whatever our charts render (`kubectl apply --dry-run=server`).
    Charts {
        /// The cluster's kubeconfig.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
    },
    /// A real API server gives our ServiceAccounts the rights that the chart states and no others (`kubectl auth can-i
    /// --list`), and lets their pods into a namespace with Pod Security `restricted`.
    Rights {
        /// The cluster's kubeconfig.
        #[arg(long, env = "KUBECONFIG")]
        kubeconfig: PathBuf,
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
    },
    /// Real Helm says the same of the engine's larger test charts: template, lint, show, package.
    Engine {
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
        /// Instead: write down what Helm prints, for the tests.
        #[arg(long)]
        record: bool,
    },
    /// Real Helm 4 and 3 lint and package our charts without a word, and render them to the same bytes as husk.
    Helm {
        /// The husk binary; default: built in release mode.
        #[arg(long)]
        husk: Option<PathBuf>,
        /// The helm binary; default: the one on the PATH, or built from its Go module.
        #[arg(long)]
        helm: Option<PathBuf>,
        /// A helm of version 3; default: built from its Go module.
        #[arg(long)]
        helm3: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Fuzz(Fuzz::Helm { template: Some(template), .. }) => fuzz::one(None, &template),
        Command::Fuzz(Fuzz::Helm { cases, seed, first, stop_after, only, .. }) => {
            fuzz::helm(&fuzz::Plan { cases, seed, stop_after, engine: None, only, first })
        }
        Command::Real(Real::NodeBinary) => node_binary::check(),
        Command::Real(Real::Registry { husk, helm }) => exchange::check(husk, helm),
        Command::Real(Real::Containerd { husk }) => containerd::check(husk),
        Command::Real(Real::Crio) => crio::check(),
        Command::Real(Real::Lifecycle { kubeconfig, husk, helm }) => lifecycle::check(&kubeconfig, husk, helm),
        Command::Real(Real::Interruptions { kubeconfig, husk }) => lifecycle::interruptions::check(&kubeconfig, husk),
        Command::Real(Real::Conformance { kubeconfig, husk, helm }) => {
            lifecycle::conformance::check(&kubeconfig, husk, helm)
        }
        Command::Real(Real::Engine { husk, helm, record }) => engine::check(husk, helm, record),
        Command::Real(Real::Helm { husk, helm, helm3 }) => helm::check(husk, helm, helm3),
        Command::Real(Real::Charts { kubeconfig, husk }) => charts::check(&kubeconfig, husk),
        Command::Real(Real::Rights { kubeconfig, husk }) => rights::check(&kubeconfig, husk),
        Command::Docs { check } => docs::generate(check),
        Command::Release { step, dry_run } => release::prepare(&programs::root(), step, dry_run),
        Command::Real(Real::Kubernetes(verb)) => kubernetes::run(verb),
        Command::Images(ask) => images::make(&ask),
        Command::Bench(Bench::Template { husk, helm }) => bench::template(husk, helm),
        Command::Bench(Bench::Releases { kubeconfig, husk, helm }) => bench_releases::releases(&kubeconfig, husk, helm),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
