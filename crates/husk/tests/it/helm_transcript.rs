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
        (["helm", "install", "x", "y", "--server-side=false"].as_slice(), "--server-side=false"),
        (&["helm", "plugin", "package", "x"], "plugin package"),
        (&["helm", "list", "--color=always"], "--color"),
    ] {
        let ended = place.husk(line);
        assert_eq!(ended.code, Some(1), "{ended}");
        assert!(ended.err.contains("husk helm") && ended.err.contains(flag), "{ended}");
    }
}

/// Calls in a directory with the charts of the transcripts; the keys are those of the chart room's tests.
fn calls(place: &Place) -> impl Fn(&str) -> Ended {
    copy(data(), place.file("x", "").parent().unwrap());
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/tests/data/provenance");
    move |line: &str| {
        let mut command = place.command();
        command.arg("helm").args(line.split(' ').map(|word| word.replace("KEYS", keys)));
        Ended::from(command.output().unwrap())
    }
}

#[test]
fn signed_charts() {
    let place = Place::new();
    let directory = place.file("passphrase", "correct horse\n").parent().unwrap().to_owned();
    let helm = calls(&place);
    let good = |line: &str| {
        let ended = helm(line);
        assert_eq!(ended.code, Some(0), "{line}: {ended}");
        ended.out
    };
    let bad = |line: &str| {
        let ended = helm(line);
        assert_eq!(ended.code, Some(1), "{line}: {ended}");
        ended.err
    };
    let sign = "--sign --keyring KEYS/secring.gpg --passphrase-file passphrase";
    good(&format!("package web -d site --version 3.0.0 --key locked@husk {sign}"));
    let verified = good("verify site/web-3.0.0.tgz --keyring KEYS/pubring.kbx");
    assert!(
        verified.starts_with(
            "Signed by: Husk Locked (test) <locked@husk.example>\nUsing Key With Fingerprint: \
             5E13BB7B45A6AD541F23CBDA7A1C366671E77B58\nChart Hash Verified: sha256:"
        ),
        "{verified}"
    );
    let url = format!("http://{}/site/web-3.0.0.tgz", serve(Serve::Files(directory.clone())));
    std::fs::create_dir(directory.join("got")).unwrap();
    assert_eq!(good(&format!("pull {url} --verify --keyring KEYS/pubring.gpg -d got")), verified);
    assert!(directory.join("got/web-3.0.0.tgz.prov").exists());
    let rendered = good(&format!("template {url} --verify --keyring KEYS/pubring.asc"));
    assert_eq!(rendered, good("template got/web-3.0.0.tgz --verify --keyring KEYS/pubring.gpg"));
    // What was changed is neither used nor saved.
    std::fs::write(directory.join("site/web-3.0.0.tgz"), b"changed").unwrap();
    let why = bad(&format!("pull {url} --verify --keyring KEYS/pubring.gpg -d web"));
    assert!(why.contains("sha256 sum does not match for web-3.0.0.tgz"), "{why}");
    assert!(!directory.join("web/web-3.0.0.tgz").exists());
    for (line, wanted) in [
        ("package web --sign".to_owned(), "Error: --key is required for signing a package\n"),
        (format!("package web --key nobody {sign}"), "Error: private key not found\n"),
        ("verify web".to_owned(), "Error: unpacked charts cannot be verified\n"),
        ("verify none.tgz".to_owned(), "Error: stat none.tgz: no such file or directory\n"),
        (
            "verify got/web-3.0.0.tgz --keyring none".to_owned(),
            "Error: failed to load keyring: open none: no such file or directory\n",
        ),
    ] {
        assert_eq!(bad(&line), wanted, "{line}");
    }
}

#[test]
fn plugins_render_after_the_chart() {
    let place = Place::new();
    let directory = place.file("x", "").parent().unwrap().to_owned();
    std::fs::create_dir(directory.join("shout")).unwrap();
    place.file(
        "shout/plugin.yaml",
        "apiVersion: v1\nname: shout\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\nconfig: {}\nruntimeConfig:\n  \
         platformCommand:\n  - command: sed\n",
    );
    let helm = calls(&place);
    let header = "NAME\tVERSION\tTYPE\tAPIVERSION\tPROVENANCE\tSOURCE\n";
    assert_eq!(helm("plugin list").out, header);
    let installed = helm("plugin install shout");
    assert!(installed.out.ends_with("Installed plugin: shout\n"), "{installed}");
    let listed = helm("plugin list");
    assert!(listed.out.contains("shout\t1.0.0  \tpostrenderer/v1\tv1"), "{listed}");
    let plain = helm("template web").out;
    let changed = helm("template web --post-renderer shout --post-renderer-args s/release-name-map/loud/");
    assert!(plain.contains("name: release-name-map") && !changed.out.contains("name: release-name-map"), "{changed}");
    assert!(changed.out.contains("name: loud") && !changed.out.contains("postrender-filename"), "{changed}");
    assert_eq!(
        changed.out.matches("# Source: web/templates/").count(),
        plain.matches("# Source: web/templates/").count()
    );
    let unknown = helm("template web --post-renderer none").err;
    let wanted = "Error: invalid argument \"none\" for \"--post-renderer\" flag: plugin: {Name:none Type:postrenderer/v1} not found\n";
    assert_eq!(unknown, wanted);
    assert_eq!(helm("plugin uninstall shout").out, "Uninstalled plugin: shout\n");
    assert_eq!(helm("plugin list").out, header);
}

#[test]
fn a_hub_is_searched() {
    let place = Place::new();
    let answer = r#"{"data": [{"id": "a/web", "attributes": {"description": "Serves.", "repo": {"url": "http://r", "name": "a"}},
        "relationships": {"latestChartVersion": {"data": {"version": "1.0.0", "app_version": "2"}}}}]}"#;
    let directory = place.file("x", "").parent().unwrap().to_owned();
    std::fs::create_dir_all(directory.join("api/chartsvc/v1/charts")).unwrap();
    place.file("api/chartsvc/v1/charts/search", answer);
    let endpoint = format!("http://{}", serve(Serve::Files(directory)));
    let helm = calls(&place);
    let found = helm(&format!("search hub web --endpoint {endpoint} -o json --list-repo-url"));
    let wanted = format!(
        "[{{\"url\":\"{endpoint}/charts/a/web\",\"version\":\"1.0.0\",\"app_version\":\"2\",\"description\":\"Serves.\",\
         \"repository\":{{\"url\":\"http://r\",\"name\":\"a\"}}}}]\n"
    );
    assert_eq!(found.out, wanted, "{found}");
    let nowhere = helm(&format!("search hub web --endpoint {endpoint}/none"));
    assert_eq!(nowhere.err, format!("Error: unable to perform search against \"{endpoint}/none\"\n"));
}
