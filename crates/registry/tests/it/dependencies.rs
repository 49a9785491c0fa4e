//! `dependency update`, `build` and `list`.

use crate::fake_registry::{FakeRegistry, Guard};
use crate::place::{Lines, Place, copy, data, quiet};
use crate::server::Server;
use jiff::Zoned;
use registry::dependency::{Manager, list};
use registry::repository::{Entry, add, write_index};
use registry::{download, oci};
use std::path::{Path, PathBuf};

struct Setting {
    place: Place,
    web: Server,
    oci: Server,
    _registry: FakeRegistry,
}

/// A repository `charts` with the recorded packages, and a registry with `ch/lib`.
async fn setting() -> Setting {
    let place = Place::new();
    let www = place.path("www");
    copy(&data("packages"), &www);
    write_index(&www, "", None, false, &Zoned::now(), &mut quiet).unwrap();
    let web = Server::files(www).await;
    let entry = Entry { name: "charts".into(), url: web.url(), ..Entry::default() };
    add(entry, false, false, None, &place.paths, &mut quiet).await.unwrap();
    let (registry, oci_server) = FakeRegistry::start(Guard::Nobody).await;
    let remote = format!("oci://{}/ch", oci_server.address);
    let package = oci::package(&data("packages/sub/lib-0.1.0.tgz"), &remote, &mut quiet).unwrap();
    oci::Client::new(&plain(), &place.paths).unwrap().push(&package, &remote, &mut quiet).await.unwrap();
    Setting { place, web, oci: oci_server, _registry: registry }
}

fn plain() -> oci::Options {
    oci::Options { plain_http: true, retries: 0, proxies: false, ..oci::Options::default() }
}

impl Setting {
    /// Writes a chart with these dependencies; `WEB` and `OCI` stand for the servers.
    fn chart(&self, dependencies: &[&str]) -> PathBuf {
        let path = self.place.path("parent");
        std::fs::create_dir_all(&path).unwrap();
        let lines: String = dependencies.iter().map(|line| format!("- {{{line}}}\n")).collect();
        let lines = lines.replace("WEB", &self.web.url()).replace("OCI", &format!("oci://{}", self.oci.address));
        let text = format!("apiVersion: v2\nname: parent\nversion: 0.1.0\ndependencies:\n{lines}");
        std::fs::write(path.join("Chart.yaml"), text).unwrap();
        path
    }

    async fn run(&self, chart: &Path, build: bool) -> (Result<(), String>, Lines) {
        let manager = Manager {
            chart,
            paths: &self.place.paths,
            download: download::Options { registry: plain(), ..download::Options::default() },
            skip_refresh: false,
            debug: false,
            pack: &|chart| Ok(tarball(chart)),
            now: "2026-01-02T03:04:05.6Z[UTC]".parse().unwrap(),
        };
        let mut lines = Lines::default();
        let outcome = {
            let mut notify = lines.take();
            if build { manager.build(&mut notify).await } else { manager.update(&mut notify).await }
        };
        (outcome.map_err(|e| e.to_string()), lines)
    }

    fn charts(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.place.path("parent/charts")).map(|e| e.collect::<Vec<_>>()).unwrap_or_default();
        let mut names: Vec<String> =
            entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn tarball(chart: &chart::Chart) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for file in &chart.raw {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(0o644);
        let name = format!("{}/{}", chart.metadata.name, file.name);
        tar.append_data(&mut header, name, &*file.data).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn charts_from_every_kind_of_place() {
    let setting = setting().await;
    let local = setting.place.path("local");
    std::fs::create_dir_all(&local).unwrap();
    std::fs::write(local.join("Chart.yaml"), "apiVersion: v2\nname: local\nversion: 0.3.0\n").unwrap();
    let chart = setting.chart(&[
        "name: app, version: ^1.0.0, repository: '@charts', alias: one",
        "name: app, version: ~1.1.0, repository: 'WEB/', alias: two",
        "name: lib, version: '>=0', repository: OCI/ch",
        "name: local, version: '*', repository: 'file://../local'",
    ]);
    std::fs::create_dir_all(chart.join("charts/kept")).unwrap();
    std::fs::write(chart.join("charts/kept/Chart.yaml"), "apiVersion: v2\nname: kept\nversion: 1.0.0\n").unwrap();
    std::fs::copy(data("packages/app-1.0.0.tgz"), chart.join("charts/app-1.0.0.tgz")).unwrap();
    let (outcome, lines) = setting.run(&chart, false).await;
    assert_eq!(outcome, Ok(()));
    let expected = ["app-1.1.0.tgz", "app-1.2.0+build.5.tgz", "kept", "lib-0.1.0.tgz", "local-0.3.0.tgz"];
    assert_eq!(setting.charts(), expected);
    let url = setting.web.url();
    let text = lines.text();
    assert!(text.starts_with("Hang tight while we grab the latest from your chart repositories...\n"), "{text}");
    assert!(text.contains(&format!("Saving 4 charts\nDownloading app from repo {url}\n")), "{text}");
    assert!(text.ends_with("\nDeleting outdated charts"), "{text}");
    let lock = std::fs::read_to_string(chart.join("Chart.lock")).unwrap();
    let oci_url = format!("oci://{}/ch", setting.oci.address);
    let start = format!(
        "dependencies:\n- name: app\n  repository: {url}\n  version: 1.2.0+build.5\n- name: app\n  repository: {url}/\n  \
         version: 1.1.0\n- name: lib\n  repository: {oci_url}\n  version: 0.1.0\n- name: local\n  repository: file://../local\n  \
         version: 0.3.0\ndigest: sha256:"
    );
    assert!(lock.starts_with(&start), "{lock}");
    assert!(lock.ends_with("generated: \"2026-01-02T03:04:05.6Z\"\n"), "{lock}");

    // Building from the lock gives the same, and updating leaves the lock alone.
    std::fs::remove_dir_all(chart.join("charts")).unwrap();
    assert_eq!(setting.run(&chart, true).await.0, Ok(()));
    assert_eq!(setting.charts(), expected.iter().copied().filter(|name| *name != "kept").collect::<Vec<_>>());
    let lock_with_other_time = lock.replace("2026", "2025");
    std::fs::write(chart.join("Chart.lock"), &lock_with_other_time).unwrap();
    assert_eq!(setting.run(&chart, false).await.0, Ok(()));
    assert_eq!(std::fs::read_to_string(chart.join("Chart.lock")).unwrap(), lock_with_other_time);
    let listing = list(&chart, &mut quiet).unwrap();
    let statuses: Vec<_> = listing.rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, ["too many matches", "too many matches", "ok", "ok"]);

    // A changed wish does not go with the old lock.
    let chart = setting.chart(&["name: app, version: ~1.1.0, repository: '@charts'"]);
    let (outcome, _) = setting.run(&chart, true).await;
    assert_eq!(
        outcome.unwrap_err(),
        "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the dependencies \
         with 'helm dependency update'"
    );
    assert_eq!(setting.run(&chart, false).await.0, Ok(()));
    assert_eq!(setting.charts(), ["app-1.1.0.tgz"]);
}

#[tokio::test]
async fn repositories_need_not_be_configured() {
    let setting = setting().await;
    std::fs::remove_file(&setting.place.paths.repository_config).unwrap();
    let chart = setting.chart(&[
        "name: app, version: 1.1.0, repository: WEB/sub/..",
        "name: lib, version: 0.1.0, repository: WEB/sub/..",
    ]);
    std::fs::create_dir_all(setting.place.path("www/sub")).unwrap();
    let (outcome, lines) = setting.run(&chart, false).await;
    assert_eq!(outcome, Ok(()), "{}", lines.text());
    assert_eq!(setting.charts(), ["app-1.1.0.tgz", "lib-0.1.0.tgz"]);
    let fetched = format!(
        "Getting updates for unmanaged Helm repositories...\n...Successfully got an update from the \"{}/sub/..\" chart repository\n",
        setting.web.url()
    );
    assert!(lines.text().starts_with(&fetched), "{}", lines.text());
    // Building, as with Helm, wants them configured.
    let (outcome, _) = setting.run(&chart, true).await;
    let url = format!("{}/sub/..", setting.web.url());
    assert_eq!(outcome.unwrap_err(), format!("no repository definition for {url}, {url}"));
}

#[tokio::test]
async fn a_failure_leaves_the_charts_alone() {
    let setting = setting().await;
    let chart = setting.chart(&["name: app, version: 1.0.0, repository: '@charts'"]);
    assert_eq!(setting.run(&chart, false).await.0, Ok(()));
    let lock = std::fs::read_to_string(chart.join("Chart.lock")).unwrap();
    let cases = [
        (
            "name: app, version: ^9, repository: '@charts'",
            "can't get a valid version for 1 subchart(s): \"app\" (repository \"WEB\", version \"^9\"). Make sure a matching chart version exists in the repo, or change the version constraint in Chart.yaml",
        ),
        ("name: none, version: 1, repository: '@charts'", "none chart not found in repo WEB"),
        (
            "name: app, version: 1, repository: '@none'",
            "no repository definition for @none. Please add them via 'helm repo add'",
        ),
        (
            "name: app, version: x y, repository: '@charts'",
            "dependency \"app\" has an invalid version/constraint format: improper constraint: \"x y\"",
        ),
        ("name: app, version: 1, repository: 'file://../none'", "directory PLACE/none not found"),
        ("name: app, version: 1", "directory PLACE/parent/charts/app not found"),
        (
            "name: lib, version: ^9, repository: OCI/ch",
            "could not download OCI/ch/lib: could not locate a version matching provided version string ^9",
        ),
        (
            "name: lib, version: 9.0.0, repository: OCI/ch",
            "could not download OCI/ch/lib: failed to perform \"FetchReference\" on source: HOST/ch/lib:9.0.0: not found",
        ),
        (
            "name: nope, version: '>0', repository: OCI/ch",
            "could not retrieve list of tags for repository OCI/ch: GET \"http://HOST/v2/ch/nope/tags/list\": response status code 404: name unknown: unknown: map[name:x]",
        ),
    ];
    for (dependency, why) in cases {
        // The first one could be fetched; it is not kept either.
        let chart = setting.chart(&["name: app, version: 1.1.0, repository: '@charts', alias: first", dependency]);
        let host = setting.oci.address.to_string();
        let place = setting.place.dir.path().display().to_string();
        let why = why.replace("WEB", &setting.web.url()).replace("OCI", &format!("oci://{host}"));
        let why = why.replace("HOST", &host).replace("PLACE", &place);
        assert_eq!(setting.run(&chart, false).await.0.unwrap_err(), why);
        assert_eq!(setting.charts(), ["app-1.0.0.tgz"], "{dependency}");
        let rest: Vec<_> = std::fs::read_dir(&chart).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(rest.len(), 3, "{rest:?}");
    }
    assert_eq!(std::fs::read_to_string(chart.join("Chart.lock")).unwrap(), lock);
}

#[tokio::test]
async fn a_lock_that_is_a_link_is_not_followed() {
    let setting = setting().await;
    let chart = setting.chart(&["name: app, version: 1.0.0, repository: '@charts'"]);
    let target = setting.place.path("victim");
    std::fs::write(&target, "dependencies: []\n").unwrap();
    std::os::unix::fs::symlink(&target, chart.join("Chart.lock")).unwrap();
    let error = setting.run(&chart, false).await.0.unwrap_err();
    assert_eq!(error, format!("the Chart.lock file is a symlink to \"{}\"", target.display()));
    assert_eq!(std::fs::read_to_string(target).unwrap(), "dependencies: []\n");
}

#[tokio::test]
async fn listing() {
    let setting = setting().await;
    let chart = setting.chart(&[
        "name: app, version: ^1, repository: '@charts'",
        "name: lib, version: ^9, repository: '@charts'",
        "name: inner, version: 1.x",
        "name: far, version: '1'",
        "name: odd, version: '1'",
    ]);
    let charts = chart.join("charts");
    std::fs::create_dir_all(charts.join("inner")).unwrap();
    std::fs::create_dir_all(charts.join("extra")).unwrap();
    std::fs::copy(data("packages/app-1.0.0.tgz"), charts.join("app-1.0.0.tgz")).unwrap();
    std::fs::copy(data("packages/app-1.1.0.tgz"), charts.join("odd-1.tgz")).unwrap();
    std::fs::copy(data("packages/sub/lib-0.1.0.tgz"), charts.join("lib-0.1.0.tgz")).unwrap();
    std::fs::write(charts.join("inner/Chart.yaml"), "apiVersion: v2\nname: inner\nversion: 1.4.0\n").unwrap();
    std::fs::write(charts.join("extra/Chart.yaml"), "apiVersion: v2\nname: extra\nversion: 1.4.0\n").unwrap();
    let listing = list(&chart, &mut quiet).unwrap();
    let statuses: Vec<_> = listing.rows.iter().map(|row| (row.name.as_str(), row.status)).collect();
    assert_eq!(
        statuses,
        [("app", "ok"), ("lib", "wrong version"), ("inner", "unpacked"), ("far", "missing"), ("odd", "misnamed")]
    );
    assert_eq!(listing.warnings, [format!("WARNING: \"{}\" is not in Chart.yaml.", charts.join("extra").display())]);
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: parent\nversion: 0.1.0\n").unwrap();
    let warnings = list(&chart, &mut quiet).unwrap().warnings;
    assert_eq!(warnings, [format!("WARNING: no dependencies at {}", charts.display())]);
}
