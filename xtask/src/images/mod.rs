//! Container images without a container engine: static programs, nothing else in them, and the same bytes from the same sources.

mod bill;
pub(crate) mod oci;
pub(crate) mod payload;

use crate::programs::{root, run};
use clap::Args;
use oci::{Image, Recipe, Tree};
use registry::Paths;
use registry::oci::{Client, Options, Reference};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to assemble, and for whom.
#[derive(Args)]
pub(crate) struct Ask {
    /// amd64, arm64 or s390x; repeat for several. An architecture whose toolchain is not installed is an error that names it.
    #[arg(long = "arch", default_value = "amd64")]
    architectures: Vec<String>,
    /// Where the archives and bills of materials go.
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// The tag; default: the workspace's version.
    #[arg(long)]
    tag: Option<String>,
    /// Uploads the images too: `registry.example/path`. Only one architecture then.
    #[arg(long)]
    push: Option<String>,
    /// The registry speaks http.
    #[arg(long)]
    plain_http: bool,
    /// Also a payload for tests, and the image of test pods. amd64 only.
    #[arg(long)]
    test_payload: bool,
    #[command(flatten)]
    programs: Programs,
}

/// Where the programs in the images come from.
#[derive(Args, Clone)]
pub(crate) struct Programs {
    /// Where they are compiled.
    #[arg(long, default_value = "target")]
    target_dir: PathBuf,
    /// A directory with static ones for amd64, which are taken as they are.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Cargo's profile. Only that of releases is small, others are there sooner.
    #[arg(long, default_value = DIST)]
    profile: String,
}

/// The profile of what is released.
const DIST: &str = "dist";

/// One program of ours that has an image.
struct Program {
    package: &'static str,
    name: &'static str,
    title: &'static str,
    /// In bytes; a program that outgrows this is an error.
    limit: u64,
}

const PROGRAMS: [Program; 2] = [
    Program { package: "node", name: "husk-node", title: "Husk's installer on a node", limit: 12 << 20 },
    Program { package: "fleet", name: "husk-dispatcher", title: "Husk's dispatcher", limit: 8 << 20 },
];

/// `--arch`, Rust's target and the C compiler that it needs.
const ARCHITECTURES: [(&str, &str, &str); 3] = [
    ("amd64", "x86_64-unknown-linux-musl", "musl-gcc"),
    ("arm64", "aarch64-unknown-linux-musl", "aarch64-linux-musl-gcc"),
    ("s390x", "s390x-unknown-linux-gnu", "s390x-linux-gnu-gcc"),
];

/// Assembles what is asked for, writes it and pushes it.
pub(crate) fn make(ask: &Ask) -> Result<(), String> {
    if ask.push.is_some() && ask.architectures.len() > 1 {
        return Err("--push takes one --arch".to_owned());
    }
    let mut images = Vec::new();
    for architecture in &ask.architectures {
        images.extend(ours(architecture, ask)?);
    }
    if ask.test_payload {
        for recipe in [payload::recipe("4.1.0", false)?, payload::pod("pod", "1")?] {
            images.push(recipe.image().map_err(|error| error.to_string())?);
        }
    }
    for image in &images {
        println!("{} {}", image.name, image.digest());
    }
    match &ask.push {
        Some(place) => push(&images, place, ask.plain_http),
        None => Ok(()),
    }
}

/// Husk's own images for one architecture.
fn ours(architecture: &str, ask: &Ask) -> Result<Vec<Image>, String> {
    let out = root().join(&ask.out);
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let (name, target, compiler) = ARCHITECTURES
        .into_iter()
        .find(|(name, ..)| *name == architecture)
        .ok_or_else(|| format!("unknown architecture {architecture}; known: amd64, arm64, s390x"))?;
    let programs = match &ask.programs.programs {
        Some(given) if architecture == "amd64" => given.clone(),
        Some(_) => return Err("--programs are for amd64".to_owned()),
        None => compile(target, compiler, &ask.programs)?,
    };
    let tag = ask.tag.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let mut images = Vec::new();
    for program in &PROGRAMS {
        let path = programs.join(program.name);
        let content = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let size = content.len() as u64;
        if size > program.limit && ask.programs.profile == DIST {
            return Err(format!("{}: {size} bytes, more than {}", program.name, program.limit));
        }
        let bill = bill::of(program.package, target)?;
        let bill_name = format!("{}-{name}.cdx.json", program.name);
        write(&out.join(&bill_name), &bill)?;
        let files = Tree::from([
            (format!("usr/bin/{}", program.name), (content, 0o755)),
            (format!("usr/share/doc/{}/sbom.cdx.json", program.name), (bill, 0o644)),
        ]);
        let labels = [
            ("title", program.title),
            ("version", tag.as_str()),
            ("source", env!("CARGO_PKG_REPOSITORY")),
            ("licenses", env!("CARGO_PKG_LICENSE")),
        ];
        let recipe = Recipe {
            name: program.name.to_owned(),
            tag: tag.clone(),
            architecture: name,
            files,
            entrypoint: vec![format!("/usr/bin/{}", program.name)],
            labels: labels.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned())).into(),
            packed: true,
        };
        let image = recipe.image().map_err(|error| error.to_string())?;
        let archive = image.archive().map_err(|error| error.to_string())?;
        let path = out.join(format!("{}-{name}.tar", program.name));
        println!("{}: program {size} bytes, image {} bytes", path.display(), archive.len());
        write(&path, &archive)?;
        images.push(image);
    }
    Ok(images)
}

/// Compiles the programs without anything that tells where they were compiled.
fn compile(target: &str, compiler: &str, programs: &Programs) -> Result<PathBuf, String> {
    let libraries = run(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&libraries.stdout).trim());
    if !libraries.is_dir() {
        return Err(format!("{target}: the standard library is not installed (`rustup target add {target}`)"));
    }
    if crate::programs::on_path(compiler).is_none() {
        return Err(format!("{target}: the C compiler {compiler} is not installed (ring and zstd need it)"));
    }
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .map_err(|_| "neither CARGO_HOME nor HOME is set")?;
    let mut flags =
        vec![format!("--remap-path-prefix={home}=/cargo"), format!("--remap-path-prefix={}=/husk", root().display())];
    if target.ends_with("-gnu") {
        flags.push("-Ctarget-feature=+crt-static".to_owned());
    }
    let target_dir = root().join(&programs.target_dir);
    let variable = target.replace('-', "_");
    let mut command = Command::new("cargo");
    command
        .args(["build", "--quiet", "--locked", "--profile", &programs.profile, "--target", target])
        .args(PROGRAMS.iter().flat_map(|program| ["-p", program.package, "--bin", program.name]))
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(format!("CC_{variable}"), compiler)
        .current_dir(root());
    if target != "x86_64-unknown-linux-musl" {
        command.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), compiler);
    }
    run(&mut command)?;
    Ok(target_dir.join(target).join(&programs.profile))
}

/// Uploads images below a place in a registry.
pub(crate) fn push(images: &[Image], place: &str, plain_http: bool) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let paths = Paths::from_environment(|name| std::env::var_os(name));
    let client =
        Client::new(&Options { plain_http, ..Options::default() }, &paths).map_err(|error| error.to_string())?;
    for image in images {
        let reference = Reference::parse(&format!("{place}/{}", image.name)).map_err(|error| error.to_string())?;
        let blobs = image.blobs.values().cloned().map(Into::into).collect();
        runtime
            .block_on(client.push_image(&reference, blobs, image.manifest.clone().into()))
            .map_err(|error| format!("{reference}: {error}"))?;
        println!("pushed {reference}@{}", image.digest());
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

/// The programs' images for this machine, as they are pushed in a test.
pub(crate) fn for_tests(programs: &Programs, out: &Path, tag: &str) -> Result<Vec<Image>, String> {
    let ask = Ask {
        architectures: Vec::new(),
        out: out.to_path_buf(),
        tag: Some(tag.to_owned()),
        push: None,
        plain_http: true,
        test_payload: false,
        programs: programs.clone(),
    };
    ours("amd64", &ask)
}
