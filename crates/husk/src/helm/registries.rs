//! `helm registry`, `helm push` and `helm pull`: charts in registries, and fetching charts from anywhere.

use super::flags::{Flag, Kind, Parsed};
use super::provenance;
use super::remote::{self, REMOTE, paths, to_out, wait};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use chart::Log;
use registry::{download, oci};
use std::path::{Component, Path, PathBuf};

pub(super) const LOGIN: Verb = Verb {
    names: &["login"],
    path: "registry login",
    arguments: "[host]",
    about: "Log in to a registry.",
    arity: Arity::AtLeast(1),
    flags: &[LOGIN_FLAGS],
    run: login,
};

const LOGIN_FLAGS: &[Flag] = &[
    Flag::new("ca-file", Kind::Text),
    Flag::new("cert-file", Kind::Text),
    Flag::new("insecure", Kind::Switch),
    Flag::new("key-file", Kind::Text),
    Flag::new("password", Kind::Text).short('p'),
    Flag::new("password-stdin", Kind::Switch),
    Flag::new("plain-http", Kind::Switch),
    Flag::new("username", Kind::Text).short('u'),
];

pub(super) const LOGOUT: Verb = Verb {
    names: &["logout"],
    path: "registry logout",
    arguments: "[host]",
    about: "Forget the credentials of a registry.",
    arity: Arity::AtLeast(1),
    flags: &[],
    run: |parsed, _| {
        let paths = paths(parsed);
        wait(async || oci::logout(&parsed.arguments[0], &paths, &mut to_out).await)
    },
};

pub(super) const PUSH: Verb = Verb {
    names: &["push"],
    path: "push",
    arguments: "[chart] [remote]",
    about: "Push a packed chart to a registry.",
    arity: Arity::AtLeast(2),
    flags: &[REMOTE],
    run: push,
};

pub(super) const PULL: Verb = Verb {
    names: &["pull", "fetch"],
    path: "pull",
    arguments: "[chart URL | repo/chartname] [...]",
    about: "Fetch charts and save or unpack them.",
    arity: Arity::AtLeast(1),
    flags: &[REMOTE, PULL_FLAGS],
    run: |parsed, _| parsed.arguments.iter().try_for_each(|chart| pull(chart, parsed)),
};

const PULL_FLAGS: &[Flag] = &[
    Flag::new("destination", Kind::Text).short('d'),
    Flag::new("devel", Kind::Switch),
    Flag::new("keyring", Kind::Text),
    Flag::new("pass-credentials", Kind::Switch),
    Flag::new("prov", Kind::Switch),
    Flag::new("repo", Kind::Text),
    Flag::new("untar", Kind::Switch),
    Flag::new("untardir", Kind::Text),
    Flag::new("verify", Kind::Switch),
    Flag::new("version", Kind::Text),
];

fn login(parsed: &Parsed, _: &Settings) -> Outcome {
    let (username, password) = who(parsed)?;
    let login = oci::Login { host: &parsed.arguments[0], username: &username, password: &password };
    let options = oci::Options { plain_http: parsed.on("plain-http"), tls: remote::tls(parsed), ..Default::default() };
    let paths = paths(parsed);
    wait(async || oci::login(&login, &options, &paths, &mut to_out).await)
}

/// The user and the password, which are asked for when they are not given.
fn who(parsed: &Parsed) -> Result<(String, String), String> {
    let text = |name: &str| parsed.text(name).unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let required = |text: String, what: &str| match text.is_empty() {
        true => Err(format!("{what} required")),
        false => Ok(text),
    };
    if parsed.on("password-stdin") {
        password = remote::password_from_stdin()?;
    } else if password.is_empty() {
        if username.is_empty() {
            username = remote::ask("Username: ", false)?.trim().to_owned();
        }
        password = match username.is_empty() {
            true => required(remote::ask("Token: ", true)?, "token")?,
            false => required(remote::ask("Password: ", true)?, "password")?,
        };
    } else {
        super::warn("using --password via the CLI is insecure. Use --password-stdin");
    }
    Ok((username, password))
}

fn push(parsed: &Parsed, _: &Settings) -> Outcome {
    let (archive, remote) = (Path::new(&parsed.arguments[0]), &parsed.arguments[1]);
    let package = oci::package(archive, remote, &mut to_out).map_err(|error| error.to_string())?;
    let paths = paths(parsed);
    let client = oci::Client::new(&remote::registry(parsed), &paths).map_err(|error| error.to_string())?;
    wait(async || client.push(&package, remote, &mut to_out).await.map(drop))
}

fn pull(chart: &str, parsed: &Parsed) -> Outcome {
    let place = Path::new(parsed.text("destination").unwrap_or("."));
    let (version, options, paths) = (remote::version(parsed), remote::options(parsed), paths(parsed));
    if !parsed.on("untar") {
        if let Err(error) = std::fs::metadata(place) {
            return Err(format!("open {}: {}", place.display(), super::os_error(&error)));
        }
        let fetched = wait(async || download::fetch_to(chart, &version, place, &options, &paths, &mut to_out).await)?;
        tell(fetched.1.signature.as_ref());
        return Ok(());
    }
    let place = place.join(parsed.text("untardir").unwrap_or("."));
    let taken = |path: PathBuf| {
        // Without the dots that joining leaves.
        let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        match path.symlink_metadata() {
            Err(_) => Ok(path),
            Ok(_) => {
                Err(format!("failed to untar: a file or directory with the name {} already exists", path.display()))
            }
        }
    };
    taken(place.join(chart.rsplit('/').next().unwrap_or(chart)))?;
    let fetched = wait(async || download::fetch(chart, &version, &options, &paths, &mut to_out).await)?;
    tell(fetched.signature.as_ref());
    let chart = chart::load::archive(&fetched.chart, &mut Log::default()).map_err(|error| error.to_string())?;
    let name = &chart.metadata.name;
    if !is_plain(Path::new(name)) || name.contains('/') {
        return Err(format!("chart name {name:?} is no name of a directory"));
    }
    if let Some(file) = chart.raw.iter().find(|file| !is_plain(Path::new(&file.name))) {
        return Err(format!("chart contains a file outside of it: {:?}", file.name));
    }
    let directory = taken(place.join(name))?;
    for file in &chart.raw {
        let path = directory.join(&file.name);
        let parent = path.parent().unwrap_or(&directory);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, &file.data))
            .map_err(|error| format!("open {}: {}", path.display(), super::os_error(&error)))?;
    }
    Ok(())
}

/// Says who signed what was fetched.
fn tell(signature: Option<&download::Signature>) {
    if let Some(download::Signature { identities, fingerprint, file_hash }) = signature {
        super::out(&provenance::told(identities, fingerprint, file_hash));
    }
}

/// Does a path lead downwards only?
fn is_plain(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}
