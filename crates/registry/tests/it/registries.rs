//! Charts in registries: pushing, pulling, choosing versions, logging in.

use crate::fake_registry::{FakeRegistry, Guard};
use crate::place::{Lines, Place, data, golden, quiet};
use crate::server::Server;
use registry::credentials::{Credential, Store};
use registry::download::{self, Provenance};
use registry::oci::{Client, Layers, Login, Options, Reference, login, logout, media_type, package};
use registry::{Error, Result};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

fn options() -> Options {
    Options { plain_http: true, retries: 2, proxies: false, ..Options::default() }
}

fn signed_in() -> Options {
    Options { credential: Credential::basic("me", "secret"), ..options() }
}

/// A recorded package with the time that it had when Helm pushed it.
fn archive(place: &Place, file: &str) -> PathBuf {
    for name in [file.to_owned(), format!("{file}.prov")] {
        let from = data("packages").join(&name);
        if from.exists() {
            std::fs::copy(from, place.path(&name)).unwrap();
        }
    }
    let path = place.path(file);
    // 2026-01-02T03:04:05Z
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    path
}

async fn push(place: &Place, server: &Server, file: &str, options: &Options) -> Result<String> {
    let remote = format!("oci://{}/ch", server.address);
    let package = package(&archive(place, file), &remote, &mut quiet)?;
    let client = Client::new(options, &place.paths)?;
    client.push(&package, &remote, &mut quiet).await.map(|pushed| pushed.digest)
}

#[tokio::test]
async fn manifests_are_helms_byte_for_byte() {
    let (registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    for (version, tag) in [("1.0.0", "1.0.0"), ("1.1.0", "1.1.0"), ("1.2.0+build.5", "1.2.0_build.5")] {
        let digest = push(&place, &server, &format!("app-{version}.tgz"), &options()).await.unwrap();
        let store = registry.store.lock().unwrap();
        let (media_type, manifest) = &store.manifests[&format!("ch/app:{tag}")];
        let mut text = String::from_utf8(manifest.to_vec()).unwrap();
        if jiff::Zoned::now().offset().seconds() != 0 {
            // The time of creation is written in the zone of the machine.
            let end = text.find("created\":\"").map(|at| at + 10).unwrap();
            let close = text[end..].find('"').unwrap() + end;
            text.replace_range(end..close, "2026-01-02T03:04:05Z");
        }
        assert_eq!(text, golden(&format!("manifest-{tag}.json")));
        assert_eq!(media_type, media_type::MANIFEST);
        assert_eq!(digest, registry::oci::digest(manifest));
        if tag == "1.1.0" {
            let config = golden("config-1.1.0.json");
            assert_eq!(store.blobs[&registry::oci::digest(config.as_bytes())], config);
            assert!(store.blobs.values().any(|blob| *blob == "provenance of app 1.1.0\n"));
        }
    }
    // What is there is not sent again.
    let uploads = || server.seen().iter().filter(|seen| seen.method == "POST").count();
    let before = uploads();
    push(&place, &server, "app-1.1.0.tgz", &options()).await.unwrap();
    assert_eq!(uploads(), before);
}

#[tokio::test]
async fn versions_are_chosen_over_all_pages() {
    let (_registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    for version in ["1.0.0", "1.1.0", "1.2.0+build.5", "2.0.0-rc.1"] {
        push(&place, &server, &format!("app-{version}.tgz"), &options()).await.unwrap();
    }
    let client = Client::new(&options(), &place.paths).unwrap();
    let reference = format!("oci://{}/ch/app", server.address);
    let tags = client.tags(&Reference::parse(&reference).unwrap()).await.unwrap();
    assert_eq!(tags, ["2.0.0-rc.1", "1.2.0+build.5", "1.1.0", "1.0.0"]);
    for (suffix, version, file) in [
        ("", "", "app-1.2.0+build.5.tgz"),
        ("", "~1.1", "app-1.1.0.tgz"),
        ("", ">1-0", "app-2.0.0-rc.1.tgz"),
        (":1.0.0", "", "app-1.0.0.tgz"),
        ("", "1.2.0+build.5", "app-1.2.0+build.5.tgz"),
    ] {
        let options = download::Options { registry: options(), ..download::Options::default() };
        let mut lines = Lines::default();
        let found =
            download::fetch(&format!("{reference}{suffix}"), version, &options, &place.paths, &mut lines.take())
                .await
                .unwrap();
        assert_eq!(found.file_name, file);
        assert_eq!(found.chart, std::fs::read(data("packages").join(file)).unwrap());
        assert!(lines.0[0].starts_with(&format!("Pulled: {}/ch/app:", server.address)), "{}", lines.text());
        assert_eq!(lines.0.len() > 1, file.contains('+'));
    }
    for (text, version, why) in [
        (":1.0.0", "1.1.0", "chart reference and version mismatch: 1.1.0 is not 1.0.0"),
        ("", "^9", "could not locate a version matching provided version string ^9"),
        ("", "x y", "improper constraint: \"x y\""),
    ] {
        let error = client.locate(&format!("{reference}{text}"), version).await.unwrap_err();
        assert_eq!(error.to_string(), why);
    }
}

#[tokio::test]
async fn digests_pin_charts() {
    let (_registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    let one = push(&place, &server, "app-1.0.0.tgz", &options()).await.unwrap();
    let two = push(&place, &server, "app-1.1.0.tgz", &options()).await.unwrap();
    let client = Client::new(&options(), &place.paths).unwrap();
    let base = format!("oci://{}/ch/app", server.address);
    let located = client.locate(&format!("{base}:1.0.0@{one}"), "").await.unwrap();
    assert_eq!(located.file_name, format!("app@sha256-{}.tgz", &one[7..]));
    let pulled = client.pull(&located.reference, Layers::Both, &mut quiet).await.unwrap();
    assert_eq!((pulled.digest.as_str(), pulled.metadata.version.as_str()), (one.as_str(), "1.0.0"));
    let error = client.locate(&format!("{base}:1.0.0@{two}"), "").await.unwrap_err();
    assert_eq!(error.to_string(), format!("chart reference digest mismatch: {one} is not {two}"));
    let error = client.locate(&format!("{base}@{two}"), "1.0.0").await.unwrap_err();
    assert!(error.to_string().starts_with("chart reference digest mismatch"), "{error}");
}

#[tokio::test]
async fn what_does_not_have_its_digest_is_refused() {
    let (registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    push(&place, &server, "app-1.0.0.tgz", &options()).await.unwrap();
    let client = Client::new(&options(), &place.paths).unwrap();
    let reference = Reference::parse(&format!("{}/ch/app:1.0.0", server.address)).unwrap();
    let chart = registry::oci::digest(&std::fs::read(data("packages/app-1.0.0.tgz")).unwrap());
    registry.store.lock().unwrap().blobs.insert(chart, "something else".into());
    let error = client.pull(&reference, Layers::Chart, &mut quiet).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    // A manifest under another's digest.
    let wanted = format!("sha256:{}", "0".repeat(64));
    let manifest = registry.store.lock().unwrap().manifests["ch/app:1.0.0"].clone();
    registry.store.lock().unwrap().manifests.insert(format!("ch/app@{wanted}"), manifest);
    let pinned = Reference::parse(&format!("{}/ch/app@{wanted}", server.address)).unwrap();
    let error = client.pull(&pinned, Layers::Chart, &mut quiet).await.unwrap_err();
    assert!(matches!(error.root(), Error::Digest { .. }), "{error}");
}

#[tokio::test]
async fn manifests_of_other_kinds() {
    let (registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    let chart = std::fs::read(data("packages/app-1.0.0.tgz")).unwrap();
    let descriptor = |kind: &str, data: &[u8]| {
        let digest = registry.put_blob(data.to_vec());
        serde_json::json!({"mediaType": kind, "digest": digest, "size": data.len()})
    };
    let config = descriptor(media_type::CONFIG, br#"{"name":"app","version":"1.0.0"}"#);
    let old = descriptor(media_type::LEGACY_CHART, &chart);
    let image = descriptor("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = |config: &serde_json::Value, layers: &[&serde_json::Value]| {
        serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string()
    };
    let old_manifest = manifest(&config, &[&old]);
    let digest = registry.put_manifest("ch/old:1", media_type::MANIFEST, old_manifest.clone());
    registry.put_manifest("ch/image:1", media_type::MANIFEST, manifest(&image, &[&old]));
    registry.put_manifest("ch/empty:1", media_type::MANIFEST, manifest(&config, &[]));
    registry.put_manifest("ch/bad:1", media_type::MANIFEST, "{");
    let index = serde_json::json!({"manifests": [{"mediaType": media_type::MANIFEST, "digest": digest, "size": old_manifest.len()}]});
    registry.put_manifest("ch/old:list", media_type::INDEX, index.to_string());

    let client = Client::new(&options(), &place.paths).unwrap();
    let pull = async |name: &str, layers: Layers, lines: &mut Lines| {
        let reference = Reference::parse(&format!("{}/ch/{name}", server.address)).unwrap();
        client.pull(&reference, layers, &mut lines.take()).await
    };
    let mut lines = Lines::default();
    assert_eq!(pull("old:1", Layers::Chart, &mut lines).await.unwrap().chart.unwrap(), chart);
    assert_eq!(lines.0[0], "Warning: chart media type application/tar+gzip is deprecated");
    assert_eq!(pull("old:list", Layers::Chart, &mut lines).await.unwrap().chart.unwrap(), chart);
    for (name, layers, why) in [
        ("image:1", Layers::Chart, "could not load config with mediatype application/vnd.cncf.helm.config.v1+json"),
        (
            "empty:1",
            Layers::Chart,
            "manifest does not contain a layer with mediatype application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
        (
            "old:1",
            Layers::Provenance,
            "manifest does not contain a layer with mediatype application/vnd.cncf.helm.chart.provenance.v1.prov",
        ),
    ] {
        assert_eq!(pull(name, layers, &mut lines).await.unwrap_err().to_string(), why);
    }
    assert!(matches!(pull("bad:1", Layers::Chart, &mut lines).await, Err(Error::Invalid(_))));
    let error = pull("none:1", Layers::Chart, &mut lines).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to perform \"FetchReference\" on source: {}/ch/none:1: not found", server.address)
    );
}

#[tokio::test]
async fn every_kind_of_authorisation() {
    for guard in [Guard::Basic, Guard::Bearer] {
        let (_registry, server) = FakeRegistry::start(guard).await;
        let place = Place::new();
        let error = push(&place, &server, "app-1.0.0.tgz", &options()).await.unwrap_err();
        assert!(
            error.to_string().starts_with("failed to perform \"Exists\" on destination: HEAD \"http://"),
            "{error}"
        );
        push(&place, &server, "app-1.0.0.tgz", &signed_in()).await.unwrap();
        // The client asks once and remembers.
        let refused = server.seen().iter().filter(|seen| seen.header("authorization").is_empty()).count();
        assert!(refused <= 4, "{refused} requests without credentials");
        let stored = download::Options { registry: options(), ..download::Options::default() };
        let reference = format!("oci://{}/ch/app", server.address);
        assert!(download::fetch(&reference, "", &stored, &place.paths, &mut quiet).await.is_err());
        let host = server.address.to_string();
        let mut lines = Lines::default();
        let good = Login { host: &host, username: "me", password: "secret" };
        login(&good, &options(), &place.paths, &mut lines.take()).await.unwrap();
        let found = download::fetch(&reference, "", &stored, &place.paths, &mut quiet).await.unwrap();
        assert_eq!(found.file_name, "app-1.0.0.tgz");
        logout(&host, &place.paths, &mut lines.take()).await.unwrap();
        assert_eq!(lines.text(), format!("Login Succeeded\nRemoving login credentials for {host}"));
        assert!(download::fetch(&reference, "", &stored, &place.paths, &mut quiet).await.is_err());
    }
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let (_registry, server) = FakeRegistry::start(Guard::Bearer).await;
    let place = Place::new();
    push(&place, &server, "app-1.0.0.tgz", &signed_in()).await.unwrap();
    let config = place.paths.docker_config.clone().unwrap();
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let text = format!(r#"{{"auths":{{"http://{}/v2/":{{"identitytoken":"refresh"}}}}}}"#, server.address);
    std::fs::write(config, text).unwrap();
    let client = Client::new(&options(), &place.paths).unwrap();
    let reference = Reference::parse(&format!("{}/ch/app:1.0.0", server.address)).unwrap();
    client.pull(&reference, Layers::Chart, &mut quiet).await.unwrap();
    let token = server.seen().into_iter().rfind(|seen| seen.path == "/token").unwrap();
    let form = String::from_utf8_lossy(&token.body).into_owned();
    assert!(token.method == "POST" && form.contains("grant_type=refresh_token"), "{form}");
}

#[tokio::test]
async fn bad_credentials_are_not_kept() {
    let (_registry, server) = FakeRegistry::start(Guard::Basic).await;
    let place = Place::new();
    let host = server.address.to_string();
    let bad = Login { host: &host, username: "me", password: "wrong" };
    let error = login(&bad, &options(), &place.paths, &mut quiet).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "authenticating to \"{host}\": GET \"http://{host}/v2/\": response status code 401: unauthorized: authentication required"
        )
    );
    assert!(!place.paths.registry_config.exists());
    let path = Login { host: &format!("{host}/ch"), ..bad };
    assert!(matches!(login(&path, &options(), &place.paths, &mut quiet).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn logins_are_written_as_helm_writes_them() {
    let place = Place::new();
    let mut store = Store::open(&place.paths).unwrap();
    store.put("127.0.0.1:5552", &Credential::basic("me", "secret")).await.unwrap();
    store.put("127.0.0.1:5551", &Credential::basic("me", "pass:word")).await.unwrap();
    assert_eq!(std::fs::read_to_string(&place.paths.registry_config).unwrap(), golden("config.json"));
    let again = Store::open(&place.paths).unwrap();
    assert_eq!(again.get("127.0.0.1:5551").await, Ok(Credential::basic("me", "pass:word")));
}

#[tokio::test]
async fn a_busy_registry_is_asked_again() {
    let (registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    push(&place, &server, "app-1.0.0.tgz", &options()).await.unwrap();
    registry.store.lock().unwrap().busy = 2;
    let client = Client::new(&options(), &place.paths).unwrap();
    let reference = Reference::parse(&format!("{}/ch/app:1.0.0", server.address)).unwrap();
    client.pull(&reference, Layers::Chart, &mut quiet).await.unwrap();
    registry.store.lock().unwrap().busy = 9;
    let patient = Client::new(&Options { retries: 0, ..options() }, &place.paths).unwrap();
    let error = patient.pull(&reference, Layers::Chart, &mut quiet).await.unwrap_err();
    assert!(matches!(error.root(), Error::Status { code: 503, .. }), "{error}");
}

#[tokio::test]
async fn provenance_is_a_layer() {
    let (_registry, server) = FakeRegistry::start(Guard::Nobody).await;
    let place = Place::new();
    for version in ["1.0.0", "1.1.0"] {
        push(&place, &server, &format!("app-{version}.tgz"), &options()).await.unwrap();
    }
    let reference = format!("oci://{}/ch/app", server.address);
    let fetch = async |version: &str, provenance: Provenance| {
        let options = download::Options { registry: options(), provenance, ..download::Options::default() };
        download::fetch(&reference, version, &options, &place.paths, &mut quiet).await
    };
    let found = fetch("1.1.0", Provenance::Later).await.unwrap();
    assert_eq!(found.provenance.unwrap(), "provenance of app 1.1.0\n");
    assert!(fetch("1.0.0", Provenance::Later).await.unwrap().provenance.is_none());
    let error = fetch("1.0.0", Provenance::Always).await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to fetch provenance \"{reference}:1.0.0.prov\""));
}

#[tokio::test]
async fn what_cannot_be_pushed() {
    let place = Place::new();
    let archive = archive(&place, "app-1.0.0.tgz");
    let package = |path: PathBuf, remote: &str| package(&path, remote, &mut quiet).map(drop).unwrap_err().to_string();
    assert_eq!(package(archive.clone(), "h/x"), "scheme prefix missing from remote (e.g. \"oci://\")");
    assert_eq!(package(archive, "http://h/x"), "scheme \"http\" not supported");
    let none = place.path("none.tgz");
    assert_eq!(package(none.clone(), "oci://h/x"), format!("{}: no such file", none.display()));
    let directory = place.dir.path().to_path_buf();
    assert_eq!(package(directory, "oci://h/x"), "cannot push directory, must provide chart archive (.tgz)");
    std::fs::write(&none, "no chart").unwrap();
    assert!(!package(none, "oci://h/x").is_empty());
}
