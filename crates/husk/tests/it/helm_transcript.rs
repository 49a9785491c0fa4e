//! `husk helm` against transcripts of Helm 4.3.1: the same lines in, the same lines out.
//!
//! A transcript has, for each call, `$ ` and its arguments, the standard output, the standard error behind `2> `, and
//! `exit ` with the status. Times are masked.

use crate::harness::{Ended, Place};
use crate::servers::{Serve, serve};
use regex::Regex;
use std::path::Path;
use std::process::Command;

fn data() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/helm"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Replaces what differs from call to call.
fn masked(text: &str, directory: &str) -> String {
    let masks = [
        (r"(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat) [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} 20[0-9]{2}", "ANSI-C"),
        (r"20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:\.[0-9]{1,9})? \+0000 UTC *", "GO-TIME"),
        (r"UPDATED +\t", "UPDATED\t"),
        (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?Z", "RFC-TIME"),
        (r"modifiedAt=[0-9]+", "modifiedAt=N"),
        (r"(?m) [0-9]+s$", " AGE"),
        (r"Digest: sha256:[0-9a-f]{64}", "Digest: DIGEST"),
    ];
    let text = text.replace(directory, "DIR");
    masks.iter().fold(text, |text, (pattern, name)| Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned())
}

/// Makes every call of a transcript again and compares.
fn replay(transcript: &str, prepare: impl Fn(&mut Command)) {
    replay_in(&Place::new(), transcript, &[], prepare);
}

/// The same in a place of the caller's own; names that a transcript has for addresses are replaced.
fn replay_in(place: &Place, transcript: &str, addresses: &[(&str, String)], prepare: impl Fn(&mut Command)) {
    let directory = place.file("x", "").parent().unwrap().to_owned();
    copy(data(), &directory);
    let recorded = std::fs::read_to_string(data().join(transcript)).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for call in format!("\n{recorded}").split("\n$ ").skip(1) {
        let (line, wanted) = call.split_once('\n').unwrap();
        let mut command = place.command();
        command.env("SOURCE_DATE_EPOCH", "1700000000").env("TZ", "UTC").arg("helm");
        command.args(
            line.split(' ')
                .map(|word| addresses.iter().fold(word.to_owned(), |word, (name, at)| word.replace(name, at))),
        );
        prepare(&mut command);
        let ended = Ended::from(command.output().unwrap());
        let errors: String = ended.err.lines().map(|line| format!("2> {line}\n")).collect();
        let text = format!("{}{errors}exit {}", ended.out, ended.code.unwrap());
        let text = addresses.iter().fold(text, |text, (name, address)| text.replace(address, name));
        let text = masked(&text, &directory.display().to_string());
        if text != wanted.trim_end_matches('\n') {
            wrong.push(format!("$ helm {line}\n--- Helm\n{wanted}\n--- Husk\n{text}\n"));
        }
        count += 1;
    }
    assert!(count > 40, "{count} calls");
    assert!(wrong.is_empty(), "{} of {count} calls differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn verbs_that_need_no_cluster() {
    replay("local.txt", |_| {});
}

#[test]
fn verbs_on_a_cluster() {
    let cluster = Place::new();
    cluster.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    let kubeconfig = cluster.ok(&["sandbox", "kubeconfig"]);
    replay("release.txt", |command| {
        command.env("KUBECONFIG", kubeconfig.trim()).env("HELM_NAMESPACE", "transcript");
    });
}

#[test]
fn repositories_and_registries() {
    replay_with_servers("remote.txt");
}

#[test]
fn what_goes_wrong_with_repositories_and_registries() {
    replay_with_servers("remote-edges.txt");
}

fn replay_with_servers(transcript: &str) {
    let place = Place::new();
    let directory = place.file("x", "").parent().unwrap().to_owned();
    let [site, hub, guarded] = [Serve::Files(directory), Serve::Charts, Serve::GuardedCharts].map(serve);
    let addresses = [("GUARDED", guarded), ("HUB", hub), ("SITE", format!("http://{site}"))];
    replay_in(&place, transcript, &addresses, |_| {});
}

#[test]
fn values_from_a_web_server() {
    let place = Place::new();
    let directory = place.file("more.yaml", "count: 77\n").parent().unwrap().to_owned();
    copy(data(), &directory);
    let site = serve(Serve::Files(directory));
    let shown = place.ok(&["helm", "template", "web", "-f", &format!("http://{site}/more.yaml")]);
    assert!(shown.contains("count: \"77\""), "{shown}");
    let ended = place.husk(&["helm", "template", "web", "-f", &format!("http://{site}/none.yaml")]);
    assert!(ended.code == Some(1) && ended.err.contains("404"), "{ended}");
}

#[test]
fn releases_from_a_web_server() {
    let place = Place::new();
    let directory = place.file("x", "").parent().unwrap().to_owned();
    copy(data(), &directory);
    place.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    let kubeconfig = place.ok(&["sandbox", "kubeconfig"]);
    let helm = |line: &str| {
        let output = place.command().env("KUBECONFIG", kubeconfig.trim()).arg("helm").args(line.split(' ')).output();
        let ended = Ended::from(output.unwrap());
        assert_eq!(ended.code, Some(0), "{line}: {ended}");
        ended.out
    };
    helm("package web -d site --version 3.0.0");
    helm("package web -d site --version 3.1.0");
    helm("repo index site");
    helm(&format!("repo add site http://{}/site", serve(Serve::Files(directory))));
    helm("install one site/web --version ~3.0 --no-hooks");
    helm("upgrade two site/web --install --no-hooks");
    helm("upgrade one site/web --no-hooks");
    let listed = helm("list -o json");
    assert_eq!(listed.matches("\"chart\":\"web-3.1.0\"").count(), 2, "{listed}");
    let before = helm("get metadata one --revision 1 -o json");
    assert!(before.contains("\"version\":\"3.0.0\""), "{before}");
}

#[test]
fn what_is_pulled_replaces_nothing() {
    let place = Place::new();
    let directory = place.file("x", "").parent().unwrap().to_owned();
    copy(data(), &directory);
    place.ok(&["helm", "package", "web", "-d", "site", "--version", "3.0.0"]);
    let url = format!("http://{}/site/web-3.0.0.tgz", serve(Serve::Files(directory.clone())));
    // The chart's own name is that of a directory which is there.
    let ended = place.husk(&["helm", "pull", &url, "--untar"]);
    assert!(ended.code == Some(1) && ended.err.contains("web already exists"), "{ended}");
    let kept = std::fs::read_to_string(directory.join("web/Chart.yaml")).unwrap();
    assert_eq!(kept, std::fs::read_to_string(data().join("web/Chart.yaml")).unwrap());
    place.ok(&["helm", "pull", &url, "--untar", "-d", "new"]);
    let pulled = std::fs::read_to_string(directory.join("new/web/Chart.yaml")).unwrap();
    assert!(pulled.contains("version: 3.0.0"), "{pulled}");
    assert!(directory.join("new/web/templates/map.yaml").exists());
    assert!(!directory.join("web-3.0.0.tgz").exists());
}

#[test]
fn the_name_helm_is_enough() {
    let place = Place::new();
    let link = place.file("x", "").with_file_name("helm");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_husk"), &link).unwrap();
    let ended = Ended::from(Command::new(link).args(["version", "--short"]).output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "v4.3\n"), "{ended}");
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let place = Place::new();
    for (line, flag) in [
        (["helm", "template", "x", "y", "--post-renderer", "z"].as_slice(), "--post-renderer"),
        (&["helm", "install", "x", "y", "--verify"], "--verify"),
        (&["helm", "package", "x", "--sign"], "--sign"),
        (&["helm", "pull", "x", "--keyring", "y"], "--keyring"),
        (&["helm", "dep", "update", "--verify"], "--verify"),
        (&["helm", "search", "hub", "x"], "search hub"),
        (&["helm", "install", "x", "y", "--server-side=false"], "--server-side=false"),
    ] {
        let ended = place.husk(line);
        assert_eq!(ended.code, Some(1), "{ended}");
        assert!(ended.err.contains("husk helm") && ended.err.contains(flag), "{ended}");
    }
}
