//! The sandbox's API server beside the real one: kubectl asks both the same, and real Helm tells the life of a release at both;
//! the answers are compared.

use super::world::{World, first_difference};
use super::{Left, client, kubelet, on_both, plain, programs};
use crate::kubectl::Kubectl;
use crate::programs::{root, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMESPACE: &str = "conformance";

/// One call of kubectl; `FILE:x` stands for a file of `data/conformance`, `ACCOUNT` for the namespace's own ServiceAccount.
struct Call {
    arguments: &'static str,
    /// Why the sandbox may answer otherwise: said in its DIFFERENCES.md.
    reason: Option<&'static str>,
}

const fn call(arguments: &'static str) -> Call {
    Call { arguments, reason: None }
}

const fn other(arguments: &'static str, reason: &'static str) -> Call {
    Call { arguments, reason: Some(reason) }
}

/// What controllers write on Deployments and Jobs, and the sandbox's do not.
const MARKS: [&str; 5] = [
    "deployment.kubernetes.io/revision",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];
const WORDS: &str = "the same refusal in other words";
const SCHEMA: &str = "schemas of custom resources are stored, not applied";

const CALLS: &[Call] = &[
    call("get --raw /readyz"),
    call("get --raw /healthz"),
    call("get namespace conformance -o jsonpath={.status.phase}"),
    call("apply -f FILE:config.yaml"),
    call("apply -f FILE:config.yaml"),
    call("get configmap settings -o yaml"),
    call("get cm settings -o jsonpath={.data.color}"),
    call("get configmaps -l team=red -o name"),
    call("get configmaps -l team!=red,team -o name"),
    other("get configmaps -l team=in=red", "malformed selectors are read as far as they go"),
    call("get configmaps --field-selector metadata.name=settings -o name"),
    other("get configmaps --field-selector data.color=red", WORDS),
    call("diff -f FILE:config-other.yaml"),
    call("apply --server-side -f FILE:config-other.yaml --field-manager=other"),
    call("apply --server-side -f FILE:config-other.yaml --field-manager=other --force-conflicts"),
    call("apply -f FILE:config.yaml"),
    call("create configmap made --from-literal=a=b"),
    call("create configmap made --from-literal=a=b"),
    call("create configmap dry --from-literal=a=b --dry-run=server -o yaml"),
    call("replace -f FILE:replaced.yaml"),
    call("get cm made -o jsonpath={.data}"),
    call("patch cm made --type=merge -p {\"data\":{\"e\":\"f\",\"c\":null}}"),
    call("patch cm made --type=json -p [{\"op\":\"test\",\"path\":\"/data/e\",\"value\":\"x\"}]"),
    call("patch cm made --type=json -p [{\"op\":\"add\",\"path\":\"/data/g\",\"value\":\"h\"}]"),
    other("patch cm made --type=merge -p {\"data\":{\"n\":1}}", WORDS),
    call("patch cm made --type=merge -p {\"metadata\":{\"name\":\"other\"}}"),
    call("label cm made team=blue"),
    call("label cm made team=green"),
    call("label cm made team=green --overwrite"),
    call("label cm made bad=not/a/value"),
    call("annotate cm made note=text"),
    call("get cm made -o jsonpath={.metadata.labels}{.metadata.annotations}{.data}"),
    call("create -f FILE:bad-selector.yaml"),
    call("create -f FILE:bad-name.yaml"),
    call("create -f FILE:bad-field.yaml"),
    call("create -f FILE:bad-field.yaml --validate=warn"),
    call("create -f FILE:bad-pod.yaml"),
    call("get cm nothing"),
    call("get nothings"),
    call("delete cm nothing"),
    call("delete cm nothing --ignore-not-found"),
    call("apply -f FILE:secret.yaml"),
    call("get secret hidden -o jsonpath={.data}{.type}"),
    call("apply -f FILE:secret-changed.yaml"),
    call("delete -f FILE:secret.yaml"),
    call("apply -f FILE:service.yaml"),
    call("get service web -o jsonpath={.spec.ports}{.spec.type}{.spec.sessionAffinity}{.spec.ipFamilies}"),
    call(
        "patch service web -p {\"spec\":{\"ports\":[{\"port\":80,\"name\":\"web\"},{\"port\":81,\"name\":\"more\"}]}}",
    ),
    call("apply -f FILE:deployment.yaml"),
    call("rollout status deployment/web --timeout=60s"),
    call("get deployment web"),
    call("get deployment web -o jsonpath={.spec}"),
    call("get deployment web -o jsonpath={.metadata.generation}"),
    call("get replicasets -o jsonpath={.items[*].spec.replicas}"),
    call("scale deployment web --replicas=2"),
    call("rollout status deployment/web --timeout=60s"),
    call("scale deployment web --current-replicas=5 --replicas=3"),
    call("get deployment web --subresource=scale -o jsonpath={.spec}"),
    call("set image deployment/web main=second"),
    call("rollout status deployment/web --timeout=60s"),
    call("rollout history deployment/web"),
    call("rollout undo deployment/web"),
    call("rollout status deployment/web --timeout=60s"),
    call("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"),
    call("rollout pause deployment/web"),
    call("rollout resume deployment/web"),
    call("set env deployment/web A=b"),
    call("rollout status deployment/web --timeout=60s"),
    call("patch deployment web -p {\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"x\"}}}}"),
    call("patch deployment web --subresource=status --type=merge -p {\"status\":{\"collisionCount\":7}}"),
    call("delete deployment web --cascade=foreground --timeout=60s"),
    call("get pods,replicasets"),
    call("apply -f FILE:job.yaml"),
    call("wait --for=condition=complete job/once --timeout=60s"),
    call("get job once -o jsonpath={.status.succeeded}{.status.conditions[*].type}"),
    call("get job once -o jsonpath={.spec.completionMode}{.spec.suspend}{.spec.parallelism}"),
    call("patch job once -p {\"spec\":{\"completions\":4}}"),
    call("apply -f FILE:job-broken.yaml"),
    call("wait --for=condition=failed job/failing --timeout=60s"),
    call("get job failing -o jsonpath={.status.conditions[?(@.type==\"Failed\")].reason}"),
    call("delete job once failing --timeout=60s"),
    call("wait --for=delete job/once --timeout=60s"),
    call("apply -f FILE:daemonset.yaml"),
    call("rollout status daemonset/everywhere --timeout=60s"),
    call("get daemonset everywhere -o jsonpath={.status.desiredNumberScheduled}{.spec.updateStrategy}"),
    call("delete daemonset everywhere --timeout=60s"),
    call("apply -f FILE:crd.yaml"),
    call("wait --for=condition=established crd/beacons.lifecycle.husk.dev --timeout=60s"),
    other("apply -f FILE:beacon.yaml", SCHEMA),
    other("get beacons", SCHEMA),
    other("get bc north -o jsonpath={.spec}{.metadata.generation}", SCHEMA),
    other("create -f FILE:beacon-bad.yaml", SCHEMA),
    other("patch beacon north --type=merge -p {\"spec\":{\"height\":9,\"depth\":1}}", SCHEMA),
    other(
        "patch beacon north --type=merge --subresource=status -p {\"status\":{\"lit\":true},\"spec\":{\"height\":1}}",
        SCHEMA,
    ),
    other("get bc north -o jsonpath={.spec}{.status}{.metadata.generation}", SCHEMA),
    other("patch beacon north -p {\"spec\":{\"height\":2}}", SCHEMA),
    call("delete crd beacons.lifecycle.husk.dev --timeout=60s"),
    call("create serviceaccount robot"),
    call("auth can-i get configmaps --as ACCOUNT"),
    call("apply -f FILE:role.yaml"),
    other("create -f FILE:binding.yaml", "a subject's namespace is not added"),
    call("auth can-i get configmaps --as ACCOUNT"),
    call("auth can-i delete configmaps --as ACCOUNT"),
    call("get configmap settings -o name --as ACCOUNT"),
    call("get secrets --as ACCOUNT"),
    call("delete cm settings --as ACCOUNT"),
    other("auth can-i --list --no-headers --as ACCOUNT", "no OpenID documents are served"),
    call("auth whoami -o jsonpath={.status.userInfo.username} --as ACCOUNT"),
    other("patch rolebinding reader --type=merge -p {\"roleRef\":{\"name\":\"other\"}}", WORDS),
    call("cordon lifecycle"),
    other("get node lifecycle -o jsonpath={.spec}", "a cordon is not a taint, too"),
    call("uncordon lifecycle"),
    call("taint node lifecycle more=1:NoExecute"),
    call("taint node lifecycle more-"),
    call("label node lifecycle zone=a"),
    call("label node lifecycle zone-"),
    call("delete cm settings made --wait=false"),
    call("delete all --all --timeout=60s"),
];

/// Compares the sandbox with the cluster of a kubeconfig.
pub(crate) fn check(kubeconfig: &Path, given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<(), String> {
    let programs = programs(kubeconfig, given_husk, given_helm)?;
    let husk = programs.husk.clone();
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let sandbox = |arguments: &[&str]| {
        let mut command = Command::new(&husk);
        command.arg("sandbox").args(arguments).env("HUSK_SANDBOX_DIR", place.path().join("sandbox"));
        run(&mut command)
    };
    sandbox(&["up", "--hosts", "k8s:1"])?;
    let compared: Result<usize, String> = (|| {
        let path = sandbox(&["kubeconfig"])?;
        let path = PathBuf::from(String::from_utf8_lossy(&path.stdout).trim());
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        runtime.block_on(async { Ok(both(kubeconfig, &path).await? + on_both(programs, &path).await?) })
    })();
    let _ = sandbox(&["down"]);
    match compared? {
        0 => Ok(()),
        different => Err(format!("{different} answers differ")),
    }
}

/// Asks both; returns how many answers differ.
async fn both(real: &Path, sandbox: &Path) -> Result<usize, String> {
    let (theirs, ours) = (unmarked(ask(real).await?), unmarked(ask(sandbox).await?));
    let mut different = 0;
    let mut allowed = 0;
    for (call, (theirs, ours)) in CALLS.iter().zip(theirs.iter().zip(&ours)) {
        let same = theirs.code == ours.code && theirs.out == ours.out && theirs.error == ours.error;
        let objects = |left: &Left| Value::from_iter(left.objects.clone());
        let object = first_difference("", &objects(theirs), &objects(ours));
        match (same && object.is_none(), call.reason) {
            (true, _) => {}
            (false, Some(_)) => allowed += 1,
            (false, None) => {
                different += 1;
                println!("kubectl {}: exit {:?} against {:?}", call.arguments, theirs.code, ours.code);
                if !same {
                    println!("--- real\n{}{}\n--- sandbox\n{}{}", theirs.out, theirs.error, ours.out, ours.error);
                }
                object.into_iter().for_each(|difference| println!("  {difference}"));
            }
        }
    }
    println!("kubectl: {} of {} calls answered as by the real server", CALLS.len() - different - allowed, CALLS.len());
    Ok(different)
}

/// Objects without what the sandbox is known to leave out: the marks of controllers. Lists of the real server do not repeat
/// an object's type.
pub(super) fn unmarked(mut all: Vec<Left>) -> Vec<Left> {
    for left in &mut all {
        left.objects = std::mem::take(&mut left.objects).into_iter().map(without_marks).collect();
    }
    all
}

fn without_marks((name, mut object): (String, Value)) -> (String, Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    for (place, marks) in [("annotations", &MARKS[..1]), ("labels", &MARKS[1..])] {
        let Some(metadata) = object["metadata"].as_object_mut() else { continue };
        let Some(all) = metadata.get_mut(place).and_then(Value::as_object_mut) else { continue };
        marks.iter().for_each(|mark| drop(all.remove(*mark)));
        if all.is_empty() {
            metadata.remove(place);
        }
    }
    (name, object)
}

/// Makes every call in a namespace of its own.
async fn ask(kubeconfig: &Path) -> Result<Vec<Left>, String> {
    let client = client(kubeconfig).await?;
    World { client: client.clone(), namespace: NAMESPACE.to_owned() }.clean().await?;
    let world = World::prepare(client, NAMESPACE).await?;
    let pods = tokio::spawn(kubelet::serve(world.clone()));
    let kubectl = Kubectl::find(kubeconfig)?;
    let cache = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for call in CALLS {
        let mut command = kubectl.command();
        command.args(["--namespace", NAMESPACE, "--cache-dir"]).arg(cache.path());
        for word in call.arguments.split(' ') {
            match word.strip_prefix("FILE:") {
                Some(file) => command.arg(root().join("xtask/data/conformance").join(file)),
                None => command.arg(word.replace("ACCOUNT", "system:serviceaccount:conformance:robot")),
            };
        }
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| comparable(&plain(&String::from_utf8_lossy(bytes)));
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        all.push(Left { code: output.status.code(), out, error, objects: world.snapshot().await? });
    }
    pods.abort();
    world.clean().await?;
    Ok(all)
}

/// Takes out what a server gives each object anew, and what kubectl says while it waits.
fn comparable(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let word = line.trim_start();
        if ["uid:", "resourceVersion:", "creationTimestamp:", "diff", "+++", "---", "Waiting for"]
            .iter()
            .any(|it| word.starts_with(it))
        {
            continue;
        }
        lines.push(line.to_owned());
    }
    lines.join("\n") + "\n"
}
