//! Releases made by Helm are managed by the engine and the other way round. Runs when `HUSK_TEST_HELM` names a Helm 4
//! binary.

use crate::cluster::{Plain, TestCluster, config_map, deployment, job, no_values, quick};
use release::record::HookEvent;
use release::{ChartSource, Error, Options, Status, WaitFor};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

struct Helm {
    program: PathBuf,
    home: PathBuf,
}

impl Helm {
    /// Serves the cluster over TLS for a Helm binary; nothing when there is none.
    async fn over(cluster: &TestCluster) -> Option<Helm> {
        let program = std::env::var_os("HUSK_TEST_HELM")?.into();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let home = std::env::temp_dir().join(format!(
            "husk-helm-{}-{}",
            std::process::id(),
            listener.local_addr().unwrap().port()
        ));
        std::fs::create_dir_all(home.join("chart/templates")).unwrap();
        std::fs::write(home.join("kubeconfig"), cluster.server.credentials().kubeconfig("test", &address).unwrap())
            .unwrap();
        std::fs::write(home.join("chart/Chart.yaml"), "apiVersion: v2\nname: tiny\nversion: 1.2.3\n").unwrap();
        std::fs::write(home.join("chart/values.yaml"), "k: one\n").unwrap();
        let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cfg\ndata:\n  k: {{ .Values.k | quote }}\n";
        std::fs::write(home.join("chart/templates/cfg.yaml"), template).unwrap();
        std::fs::write(home.join("chart/templates/NOTES.txt"), "Thanks for {{ .Release.Name }}.").unwrap();
        let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: seed\n  annotations:\n    helm.sh/hook: post-install,post-upgrade\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: main, image: x}]\n";
        std::fs::write(home.join("chart/templates/seed.yaml"), hook).unwrap();
        let server = cluster.server.clone();
        tokio::spawn(async move { server.serve_tls(listener).await });
        Some(Helm { program, home })
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let (succeeded, text) = self.output(arguments).await;
        assert!(succeeded, "helm {arguments:?}: {text}");
        text
    }

    /// Puts these documents in the place of the chart's templates.
    fn set_templates(&self, objects: &[Value]) {
        let folder = self.home.join("chart/templates");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        std::fs::write(folder.join("x.yaml"), text).unwrap();
    }

    async fn output(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["-n", "prod"])
            .current_dir(&self.home)
            .env("KUBECONFIG", self.home.join("kubeconfig"));
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.join(folder));
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }
}

impl Drop for Helm {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_manages_what_the_other_made() {
    let cluster = TestCluster::start().await;
    let Some(helm) = Helm::over(&cluster).await else { return };
    let engine = cluster.engine();

    helm.run(&["install", "web", "chart", "--set", "k=two", "-l", "team=blue"]).await;
    let made = engine.get("web", 0).await.unwrap();
    assert_eq!((made.version, made.info.status, made.is_server_side()), (1, Status::Deployed, true));
    assert_eq!((made.chart_field("name"), made.chart_field("version")), ("tiny", "1.2.3"));
    assert_eq!((made.config["k"].as_str(), made.labels["team"].as_str()), (Some("two"), "blue"));
    assert_eq!((made.hooks[0].name.as_str(), made.hooks[0].last_run.phase.as_str()), ("seed", "Succeeded"));
    assert_eq!(made.info.notes, "Thanks for web.");
    save(&helm.home, "helm-record.txt", &cluster).await;

    let ours = Plain::new(&[config_map("cfg", "three"), config_map("more", "1")]);
    engine.upgrade("web", ours.clone().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "three");
    let history = helm.run(&["history", "web", "-o", "json"]).await;
    assert!(
        history.contains("\"revision\":2") && history.contains("Upgrade complete") && history.contains("superseded"),
        "{history}"
    );
    assert!(helm.run(&["get", "manifest", "web"]).await.contains("three"));
    helm.run(&["rollback", "web", "1"]).await;
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "two");
    assert!(cluster.config_map("more").await.is_none());
    let rolled = engine.get("web", 0).await.unwrap();
    assert_eq!((rolled.version, rolled.info.rollback_revision), (3, 1));
    engine.uninstall("web", &quick()).await.unwrap();
    assert!(cluster.config_map("cfg").await.is_none());

    engine.install("own", ours.arc(), no_values(), &quick()).await.unwrap();
    let list = helm.run(&["list", "-o", "json"]).await;
    assert!(list.contains("\"name\":\"own\"") && list.contains("plain-1.0.0") && list.contains("deployed"), "{list}");
    helm.run(&["upgrade", "own", "chart", "--wait"]).await;
    assert!(cluster.config_map("more").await.is_none());
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "one");
    let status = helm.run(&["status", "own"]).await;
    assert!(status.contains("REVISION: 2") && status.contains("STATUS: deployed"), "{status}");
    helm.run(&["uninstall", "own"]).await;
    assert!(engine.list(true).await.unwrap().is_empty());
}

/// Leaves a record made by Helm where `HUSK_TEST_SAVE` says, to renew the one in `tests/data`.
async fn save(_: &Path, name: &str, cluster: &TestCluster) {
    let Some(folder) = std::env::var_os("HUSK_TEST_SAVE") else { return };
    let secret = cluster.get("v1", "Secret", "sh.helm.release.v1.web.v1").await.unwrap();
    std::fs::write(PathBuf::from(folder).join(name), secret["data"]["release"].as_str().unwrap()).unwrap();
}

/// Lets both install the same into the same cluster, and returns what each says about its failure.
async fn failures(
    cluster: &TestCluster,
    helm: &Helm,
    objects: &[Value],
    hook: Option<Value>,
    wait: bool,
) -> (String, String) {
    let mut all = objects.to_vec();
    let mut source = Plain::new(objects);
    if let Some(mut hook) = hook {
        source = source.hook(hook.clone(), &[HookEvent::PostInstall], 0);
        hook["metadata"]["annotations"]["helm.sh/hook"] = "post-install".into();
        all.push(hook);
    }
    helm.set_templates(&all);
    let mut arguments = vec!["install", "web", "chart", "--timeout", "3s"];
    arguments.extend(wait.then_some("--wait"));
    let (succeeded, theirs) = helm.output(&arguments).await;
    assert!(!succeeded, "{theirs}");
    helm.output(&["uninstall", "web"]).await;
    let options = Options {
        timeout: Duration::from_secs(3),
        wait: if wait { WaitFor::Objects } else { WaitFor::Hooks },
        ..quick()
    };
    let ours = cluster.engine().install("web", source.arc(), no_values(), &options).await.unwrap_err();
    let _ = cluster.engine().uninstall("web", &quick()).await;
    let theirs = theirs.split_once("Error: INSTALLATION FAILED: ").unwrap_or_else(|| panic!("{theirs}")).1;
    (theirs.trim_end().to_owned(), ours.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_read_the_same() {
    let cluster = TestCluster::start().await;
    let Some(helm) = Helm::over(&cluster).await else { return };
    let both = async |objects: &[Value], hook: Option<Value>, wait: bool| {
        let (theirs, ours) = failures(&cluster, &helm, objects, hook, wait).await;
        assert_eq!(ours, theirs);
    };
    both(&[config_map("cfg", "1")], Some(job("seed", "fail")), false).await;
    both(&[config_map("cfg", "1")], Some(job("seed", "hang")), false).await;
    both(&[deployment("bad", "hang")], None, true).await;
    both(&[job("bad", "fail")], None, true).await;

    let existing = config_map("foreign", "x");
    cluster.put(existing).await;
    both(&[config_map("foreign", "1")], None, false).await;
    let unknown = json!({"apiVersion": "x.io/v1", "kind": "Nothing", "metadata": {"name": "n"}});
    both(&[unknown], None, false).await;
    let mut bad = config_map("cfg", "1");
    bad["data"] = "no map".into();
    let (theirs, ours) = failures(&cluster, &helm, &[bad], None, false).await;
    let start = "server-side apply failed for object prod/cfg /v1, Kind=ConfigMap: ";
    assert!(ours.starts_with(start), "{ours}; {theirs}");

    // Its own removal takes the contested object away, so that it has to be put there again.
    let mut contested = config_map("contested", "x");
    release::ownership::stamp(&mut contested, "web", "prod");
    cluster.put(contested.clone()).await;
    helm.set_templates(&[config_map("contested", "1")]);
    let (succeeded, theirs) = helm.output(&["install", "web", "chart"]).await;
    assert!(!succeeded);
    helm.output(&["uninstall", "web"]).await;
    cluster.put(contested).await;
    let source = Plain::new(&[config_map("contested", "1")]).arc();
    let ours = cluster.engine().install("web", source, no_values(), &quick()).await.unwrap_err().to_string();
    assert_eq!(theirs.trim_end(), format!("Error: INSTALLATION FAILED: {ours}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_read_the_same() {
    let cluster = TestCluster::start().await;
    let Some(helm) = Helm::over(&cluster).await else { return };
    let engine = cluster.engine();
    let none = || Plain::default().arc();
    let refused = async |arguments: &[&str]| {
        let (succeeded, text) = helm.output(arguments).await;
        assert!(!succeeded, "helm {arguments:?}: {text}");
        text.lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("Error: ")
            .trim_start_matches("UPGRADE FAILED: ")
            .to_owned()
    };
    let same = |theirs: String, ours: Option<Error>| assert_eq!(ours.unwrap().to_string(), theirs);
    same(refused(&["upgrade", "web", "chart"]).await, engine.upgrade("web", none(), no_values(), &quick()).await.err());
    same(refused(&["uninstall", "web"]).await, engine.uninstall("web", &quick()).await.err());
    same(refused(&["rollback", "web"]).await, engine.rollback("web", 0, &quick()).await.err());
    same(refused(&["status", "web"]).await, engine.get("web", 0).await.err());
    same(refused(&["history", "web"]).await, engine.history("web").await.err());

    helm.set_templates(&[config_map("cfg", "1")]);
    helm.run(&["install", "web", "chart"]).await;
    let name_in_use = refused(&["install", "web", "chart"]).await;
    let ours = engine.install("web", none(), no_values(), &quick()).await.unwrap_err();
    assert_eq!(name_in_use, format!("INSTALLATION FAILED: {ours}"));
    same(refused(&["rollback", "web", "7"]).await, engine.rollback("web", 7, &quick()).await.err());
    same(refused(&["get", "values", "web", "--revision", "7"]).await, engine.get("web", 7).await.err());

    // Each upgrades to objects that do not come up; then each rolls back to them.
    let bad = deployment("bad", "hang");
    helm.set_templates(std::slice::from_ref(&bad));
    let (_, theirs) = helm.output(&["upgrade", "web", "chart", "--wait", "--timeout", "3s"]).await;
    let options = Options { timeout: Duration::from_secs(3), wait: WaitFor::Objects, ..quick() };
    let source = Plain::new(std::slice::from_ref(&bad)).arc();
    let ours = engine.upgrade("web", source, no_values(), &options).await.unwrap_err().to_string();
    assert_eq!(theirs.split_once("UPGRADE FAILED: ").unwrap().1.trim_end(), ours);
    let (_, theirs) = helm.output(&["rollback", "web", "2", "--wait", "--timeout", "3s"]).await;
    let ours = engine.rollback("web", 2, &options).await.unwrap_err().to_string();
    assert_eq!(theirs.split_once("Error: ").unwrap().1.trim_end(), ours);

    helm.run(&["uninstall", "web", "--keep-history"]).await;
    let options = Options { keep_history: true, ..quick() };
    same(refused(&["uninstall", "web", "--keep-history"]).await, engine.uninstall("web", &options).await.err());
    same(refused(&["upgrade", "web", "chart"]).await, engine.upgrade("web", none(), no_values(), &quick()).await.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_one_chart_are_the_same() {
    let cluster = TestCluster::start().await;
    let Some(helm) = Helm::over(&cluster).await else { return };
    let record = async || {
        let secret = cluster.get("v1", "Secret", "sh.helm.release.v1.web.v1").await.unwrap();
        let release = cluster.engine().get("web", 1).await.unwrap();
        let mut record = serde_json::to_value(release).unwrap();
        for time in [
            "/info/first_deployed",
            "/info/last_deployed",
            "/hooks/0/last_run/started_at",
            "/hooks/0/last_run/completed_at",
        ] {
            assert!(record.pointer(time).is_some_and(Value::is_string), "{time}");
            *record.pointer_mut(time).unwrap() = "time".into();
        }
        let mut labels = secret["metadata"]["labels"].clone();
        for time in ["createdAt", "modifiedAt"] {
            labels.as_object_mut().unwrap().shift_remove(time);
        }
        (record, labels, secret["type"].clone())
    };
    helm.run(&["install", "web", "chart", "--set", "k=two", "-l", "team=blue"]).await;
    let theirs = record().await;
    helm.run(&["uninstall", "web"]).await;

    let chart = chart::load::path(&helm.home.join("chart"), &mut chart::Log::default()).unwrap();
    let source = ChartSource::new(chart, Arc::new(|_: &mut [u8]| {}));
    let values = json!({"k": "two"}).as_object().unwrap().clone();
    let options = Options { labels: [("team".to_owned(), "blue".to_owned())].into(), ..quick() };
    cluster.engine().install("web", Arc::new(source), values, &options).await.unwrap();
    let ours = record().await;
    assert_eq!(release::diff::diff(&theirs.0, &ours.0), []);
    assert_eq!((ours.1, ours.2), (theirs.1, theirs.2));
}
