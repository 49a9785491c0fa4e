//! Repositories over HTTP: adding, updating, searching, downloading.

use crate::place::{Lines, Place, copy, data, golden, quiet};
use crate::server::{Server, answer, file, with};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Zoned;
use registry::download::{self, Options, Provenance};
use registry::repository::{Access, Entry, Query, RepositoryFile, add, remove, search, update, write_index};
use registry::{Error, MAX_INDEX};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn entry(name: &str, url: &str) -> Entry {
    Entry { name: name.into(), url: url.into(), ..Entry::default() }
}

/// A directory with the recorded packages and an index of them.
fn packages(place: &Place) -> PathBuf {
    let www = place.path("www");
    copy(&data("packages"), &www);
    write_index(&www, "", None, false, &Zoned::now(), &mut quiet).unwrap();
    www
}

async fn added() -> (Place, Server) {
    let place = Place::new();
    let server = Server::files(packages(&place)).await;
    add(entry("r", &server.url()), false, false, None, &place.paths, &mut quiet).await.unwrap();
    (place, server)
}

#[tokio::test]
async fn the_configuration_is_what_helm_writes() {
    let (place, server) = added().await;
    remove(&["r".into()], &place.paths, &mut quiet).unwrap();
    assert!(!place.paths.cached_index("r").exists() && !place.paths.cached_names("r").exists());
    let mut lines = Lines::default();
    add(entry("charts", &server.url()), false, false, None, &place.paths, &mut lines.take()).await.unwrap();
    let secret = Entry {
        username: "u".into(),
        password: "p\"&<".into(),
        pass_credentials_all: true,
        insecure_skip_tls_verify: true,
        ..entry("secret", &format!("{}/", server.url()))
    };
    add(secret.clone(), false, false, None, &place.paths, &mut lines.take()).await.unwrap();
    add(secret, false, false, None, &place.paths, &mut lines.take()).await.unwrap();
    assert_eq!(
        lines.text(),
        "\"charts\" has been added to your repositories\n\"secret\" has been added to your repositories\n\
         \"secret\" already exists with the same configuration, skipping"
    );
    let text = std::fs::read_to_string(&place.paths.repository_config).unwrap();
    assert_eq!(text.replace(&server.url(), "http://127.0.0.1:5554"), golden("repositories.yaml"));
    assert_eq!(std::fs::read_to_string(place.paths.cached_names("charts")).unwrap(), "app\nlib\n");
    let cached = std::fs::read(place.paths.cached_index("charts")).unwrap();
    assert_eq!(cached, std::fs::read(place.path("www/index.yaml")).unwrap());
    assert_eq!(server.seen()[0].header("user-agent"), "Helm/4.3");
}

#[tokio::test]
async fn adding_what_cannot_be_added_changes_nothing() {
    let (place, server) = added().await;
    let before = std::fs::read_to_string(&place.paths.repository_config).unwrap();
    let url = server.url();
    for (entry, why) in [
        (entry("r", &format!("{url}/x")), "repository name (r) already exists, please specify a different name".to_owned()),
        (entry("a/b", &url), "repository name (a/b) contains '/', please specify a different name without '/'".into()),
        (entry("x", "ftp://h"), "could not find protocol handler for: ftp".into()),
        (
            entry("x", &format!("{url}/x")),
            format!("looks like \"{url}/x\" is not a valid chart repository or cannot be reached: failed to fetch {url}/x/index.yaml : 404 Not Found"),
        ),
        (
            entry("x", "https://kubernetes-charts.storage.googleapis.com"),
            "repo \"https://kubernetes-charts.storage.googleapis.com\" is no longer available; try \"https://charts.helm.sh/stable\" instead".into(),
        ),
    ] {
        let error = add(entry, false, false, None, &place.paths, &mut quiet).await.unwrap_err();
        assert_eq!(error.to_string(), why);
    }
    assert_eq!(std::fs::read_to_string(&place.paths.repository_config).unwrap(), before);
    assert!(!place.paths.cached_index("x").exists());
}

#[tokio::test]
async fn one_broken_repository_does_not_stop_the_others() {
    let (place, server) = added().await;
    let mut file = RepositoryFile::load(&place.paths.repository_config).unwrap();
    file.put(entry("gone", &format!("{}/gone", server.url())));
    file.save(&place.paths.repository_config).unwrap();
    std::fs::remove_file(place.paths.cached_index("r")).unwrap();
    let mut lines = Lines::default();
    let error = update(&[], None, &place.paths, &mut lines.take()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to update the following repositories: [{}/gone]", server.url()));
    assert!(lines.text().contains("...Successfully got an update from the \"r\" chart repository"));
    assert!(place.paths.cached_index("r").exists());
    update(&["r".into()], None, &place.paths, &mut quiet).await.unwrap();
    let error = update(&["x".into()], None, &place.paths, &mut quiet).await.unwrap_err();
    assert_eq!(error.to_string(), "no repositories found matching 'x'.  Nothing will be updated");
    let error = update(&[], None, &Place::new().paths, &mut quiet).await.unwrap_err();
    assert_eq!(error.to_string(), "no repositories found. You must add one before updating");
}

#[tokio::test]
async fn searching() {
    let (place, _server) = added().await;
    let found = |query: Query| -> Vec<String> {
        let found = search(&query, &place.paths, &mut quiet).unwrap();
        found.into_iter().map(|f| format!("{} {}", f.name, f.chart.metadata.version)).collect()
    };
    let text = |text: &str| Query { text: text.into(), ..Query::default() };
    assert_eq!(found(Query::default()), ["r/app 1.2.0+build.5", "r/lib 0.1.0"]);
    assert_eq!(found(text("THINGS")), ["r/app 1.2.0+build.5"]);
    assert_eq!(found(text("r/")), ["r/app 1.2.0+build.5", "r/lib 0.1.0"]);
    assert_eq!(found(text("nothing")), Vec::<String>::new());
    assert_eq!(found(Query { regexp: true, ..text("^l.b") }), ["r/lib 0.1.0"]);
    let all = Query { all_versions: true, devel: true, ..text("app") };
    assert_eq!(found(all), ["r/app 2.0.0-rc.1", "r/app 1.2.0+build.5", "r/app 1.1.0", "r/app 1.0.0"]);
    assert_eq!(found(Query { version: "~1.1".into(), ..Query::default() }), ["r/app 1.1.0"]);
    let error = search(&Query { version: "1..".into(), ..Query::default() }, &place.paths, &mut quiet).unwrap_err();
    assert!(error.to_string().starts_with("an invalid version/constraint format: "), "{error}");
    std::fs::write(place.paths.cached_index("r"), "x: 1").unwrap();
    let mut lines = Lines::default();
    assert_eq!(search(&Query::default(), &place.paths, &mut lines.take()), Ok(vec![]));
    assert!(lines.text().starts_with("level=WARN msg=\"repo is corrupt or missing\" repo=r"), "{}", lines.text());
}

#[tokio::test]
async fn charts_are_found_by_every_name() {
    let (place, server) = added().await;
    let options = Options::default();
    let direct = format!("{}/app-1.1.0.tgz", server.url());
    for (chart, version, file) in [
        ("r/app", "", "app-1.2.0+build.5.tgz"),
        ("r/app", "1.0", "app-1.0.0.tgz"),
        ("r/app", ">1-0", "app-2.0.0-rc.1.tgz"),
        ("r/lib", "", "lib-0.1.0.tgz"),
        (direct.as_str(), "", "app-1.1.0.tgz"),
    ] {
        let out = place.path("out");
        let (path, found) = download::fetch_to(chart, version, &out, &options, &place.paths, &mut quiet).await.unwrap();
        assert_eq!(path, out.join(file), "{chart} {version}");
        let recorded =
            if file.starts_with("lib") { format!("packages/sub/{file}") } else { format!("packages/{file}") };
        assert_eq!(found.chart, std::fs::read(data(&recorded)).unwrap());
    }
    let access = Access { url: server.url(), ..Access::default() };
    let by_repo = Options { access, ..Options::default() };
    let found = download::fetch("app", "^1", &by_repo, &Place::new().paths, &mut quiet).await.unwrap();
    assert_eq!(found.file_name, "app-1.2.0+build.5.tgz");
}

#[tokio::test]
async fn file_names_lead_nowhere_else() {
    let place = Place::new();
    let server = Server::start(|_| answer(200, "x")).await;
    let fetch = async |path: &str| {
        let url = format!("{}/{path}", server.url());
        download::fetch(&url, "", &Options::default(), &place.paths, &mut quiet).await.map(|found| found.file_name)
    };
    assert_eq!(fetch("a/app-1.0.0%2Bb.tgz?x=/y").await.as_deref(), Ok("app-1.0.0+b.tgz"));
    assert_eq!(fetch("a/..%2F..%2Fetc%2Fpasswd").await.as_deref(), Ok("passwd"));
    for path in ["a/..", "a/.", "a%2F%2E%2E", "", "a%00b"] {
        assert!(matches!(fetch(path).await, Err(Error::Invalid(_))), "{path}");
    }
}

#[tokio::test]
async fn a_chart_with_another_digest_is_refused() {
    let (place, _server) = added().await;
    std::fs::copy(place.path("www/app-1.0.0.tgz"), place.path("www/app-1.1.0.tgz")).unwrap();
    let out = place.path("out");
    let error =
        download::fetch_to("r/app", "1.1.0", &out, &Options::default(), &place.paths, &mut quiet).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    assert!(!out.exists());
}

#[tokio::test]
async fn the_cache_saves_downloads_and_is_not_trusted() {
    let (place, server) = added().await;
    let fetch =
        async || download::fetch("r/app", "1.1.0", &Options::default(), &place.paths, &mut quiet).await.unwrap();
    let fetches = || server.seen().iter().filter(|seen| seen.path.ends_with("app-1.1.0.tgz")).count();
    let first = fetch().await;
    let second = fetch().await;
    assert_eq!((fetches(), first.chart == second.chart), (1, true));
    let digest = registry::sha256_hex(&first.chart);
    std::fs::write(registry::cache::path(&place.paths.content_cache, &digest, registry::cache::Kind::Chart), "evil")
        .unwrap();
    assert_eq!(fetch().await.chart, first.chart);
    assert_eq!(fetches(), 2);
}

#[tokio::test]
async fn provenance_comes_along_when_asked_for() {
    let (place, server) = added().await;
    let options = |provenance| Options { provenance, ..Options::default() };
    let out = place.path("out");
    let fetched = |version: &'static str, options: Options| {
        let (place, out) = (&place, out.clone());
        async move { download::fetch_to("r/app", version, &out, &options, &place.paths, &mut quiet).await.map(|(_, d)| d) }
    };
    let later = fetched("1.1.0", options(Provenance::Later)).await.unwrap();
    assert_eq!(later.provenance.as_deref(), Some(&b"provenance of app 1.1.0\n"[..]));
    assert!(out.join("app-1.1.0.tgz.prov").exists());
    let error = fetched("1.0.0", options(Provenance::Always)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to fetch provenance \"{}/app-1.0.0.tgz.prov\"", server.url()));
    assert!(fetched("1.0.0", options(Provenance::IfPossible)).await.unwrap().provenance.is_none());
    let refuse: download::Verifier = std::sync::Arc::new(|chart: &[u8], provenance: &[u8], name: &str| {
        assert!(!chart.is_empty() && !provenance.is_empty() && name == "app-1.1.0.tgz");
        Err("bad signature".into())
    });
    let error =
        fetched("1.1.0", Options { verifier: Some(refuse), ..options(Provenance::IfPossible) }).await.unwrap_err();
    assert_eq!(error, Error::Provenance("bad signature".into()));
}

/// The repository sends the reader to another host for its charts.
async fn elsewhere(pass_credentials_all: bool) -> (String, String) {
    let place = Place::new();
    let www = packages(&place);
    let charts = Server::files(www.clone()).await;
    write_index(&www, &charts.url(), None, false, &Zoned::now(), &mut quiet).unwrap();
    let repository = Server::files(www).await;
    let with_secret =
        Entry { username: "u".into(), password: "p".into(), pass_credentials_all, ..entry("r", &repository.url()) };
    add(with_secret, false, false, None, &place.paths, &mut quiet).await.unwrap();
    download::fetch("r/app", "1.0.0", &Options::default(), &place.paths, &mut quiet).await.unwrap();
    let shown = |server: &Server| server.seen().last().unwrap().header("authorization").to_owned();
    (shown(&repository), shown(&charts))
}

#[tokio::test]
async fn credentials_stay_with_the_repository() {
    let secret = format!("Basic {}", STANDARD.encode("u:p"));
    assert_eq!(elsewhere(false).await, (secret.clone(), String::new()));
    assert_eq!(elsewhere(true).await, (secret.clone(), secret));
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_and_not_for_ever() {
    let place = Place::new();
    let www = packages(&place);
    let target = Server::files(www.clone()).await;
    let there = target.url();
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/loop/index.yaml" => with(answer(302, ""), "location", "/loop/index.yaml"),
        "/away/index.yaml" => with(answer(301, ""), "location", "file:///etc/passwd"),
        path if path.starts_with("/moved/") => with(answer(302, ""), "location", &format!("{there}{}", &path[6..])),
        _ => file(&www, seen),
    })
    .await;
    let secret = |path: &str| Entry {
        username: "u".into(),
        password: "p".into(),
        ..entry("r", &format!("{}{path}", server.url()))
    };
    add(secret("/moved"), false, false, None, &place.paths, &mut quiet).await.unwrap();
    assert_eq!((server.seen().len(), target.seen().len()), (1, 1));
    assert!(!server.seen()[0].header("authorization").is_empty());
    assert_eq!(target.seen()[0].header("authorization"), "");
    let error = add(secret("/loop"), true, false, None, &place.paths, &mut quiet).await.unwrap_err();
    assert!(error.to_string().ends_with(": stopped after 10 redirects"), "{error}");
    let error = add(secret("/away"), true, false, None, &place.paths, &mut quiet).await.unwrap_err();
    assert!(error.to_string().ends_with("unsupported protocol scheme \"file\""), "{error}");
}

#[tokio::test]
async fn sizes_and_times_are_bounded() {
    let place = Place::new();
    // What is announced is believed: nothing is read.
    let huge = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", huge.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = huge.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_INDEX + 1);
        stream.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = add(entry("r", &url), false, false, None, &place.paths, &mut quiet).await.unwrap_err();
    assert!(matches!(error.root(), Error::TooLarge { limit: MAX_INDEX, .. }), "{error}");
    let endless = Server::start(|_| answer(200, vec![b'#'; 3 << 20])).await;
    let access = Access { url: endless.url(), ..Access::default() };
    let error = access.fetch(&endless.url(), None, 1 << 20).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1048576, .. }), "{error}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let timeout = Some(Duration::from_millis(200));
    let error = add(entry("r", &url), false, false, timeout, &place.paths, &mut quiet).await.unwrap_err();
    assert!(error.to_string().contains("context deadline exceeded"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_is_held_is_waited_for() {
    let (place, server) = added().await;
    let lock = std::fs::File::create(place.paths.repository_config.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let release = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(lock);
    });
    let begun = std::time::Instant::now();
    add(entry("s", &server.url()), false, false, None, &place.paths, &mut quiet).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(250));
    release.await.unwrap();
}
