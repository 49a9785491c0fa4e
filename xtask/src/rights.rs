//! A real API server as the judge of what our pods may do: `kubectl auth can-i --list` shows each ServiceAccount the rights
//! that the chart states for it and no others, and Pod Security `restricted` lets every pod in that only speaks to the API.

use crate::helm::copy_of_charts;
use crate::kubectl::{Kubectl, documents};
use crate::programs::{husk, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Values that differ in what they need.
const VALUES: [&[&str]; 5] = [
    &["deploymentMode=daemonset"],
    &["deploymentMode=job"],
    &["deploymentMode=job", "job.rollout.sandboxes=wait"],
    &["deploymentMode=job", "job.watch.enabled=true", "job.rollout.sandboxes=drain"],
    &["deploymentMode=job", "global.state=absent"],
];
const RIGHTS: [&str; 5] = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
/// How long the API server may take to hear of a binding.
const PATIENCE: Duration = Duration::from_secs(30);

/// A verb on a resource with its group, of this name or any, or on a path.
type Right = (String, String, String);

pub(crate) fn check(kubeconfig: &Path, given_husk: Option<PathBuf>) -> Result<(), String> {
    let cluster = Cluster(Kubectl::find(kubeconfig)?);
    let husk = husk(given_husk)?;
    let charts = copy_of_charts(&husk)?;
    let (mut accounts, mut pods) = (0, 0);
    for (number, values) in VALUES.iter().enumerate() {
        let namespace = format!("husk-rights-{number}");
        cluster.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))?;
        let nobody = account("nobody", &namespace);
        cluster.create(&nobody)?;
        let mut template = Command::new(&husk);
        template.args(["helm", "template", "release-name"]).arg(charts.path().join("charts/kata-deploy"));
        template.args(["--namespace", &namespace]).args(values.iter().flat_map(|value| ["--set", value]));
        let objects = documents(&String::from_utf8_lossy(&run(&mut template)?.stdout))?;
        for object in objects.iter().filter(|object| RIGHTS.iter().any(|kind| object["kind"] == *kind)) {
            cluster.create(object)?;
        }
        let everybody = cluster.rights(&namespace, "nobody")?;
        for object in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let stated = stated(&objects, name);
            cluster
                .wait_for_rights(&namespace, name, &everybody, &stated)
                .map_err(|error| format!("{values:?}: {error}"))?;
            accounts += 1;
        }
        for object in objects.iter().filter(|object| object["kind"] == "Job" || object["kind"] == "Deployment") {
            cluster.admit(&pod(object, &namespace)).map_err(|error| format!("{values:?}: {error}"))?;
            pods += 1;
        }
        // What works on hosts cannot be restricted: were it let in, nobody would have looked.
        for set in objects.iter().filter(|object| object["kind"] == "DaemonSet") {
            match cluster.admit(&pod(set, &namespace)) {
                Err(error) if error.contains("violates PodSecurity") => {}
                other => return Err(format!("{values:?}: a pod with host paths was not refused: {other:?}")),
            }
        }
    }
    println!(
        "{accounts} ServiceAccounts have the rights that the chart states and no others; {pods} pods are restricted"
    );
    if pods == 0 { Err("no pod was looked at".to_owned()) } else { Ok(()) }
}

fn account(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

/// The pod that a Job, Deployment or DaemonSet makes.
fn pod(owner: &Value, namespace: &str) -> Value {
    let mut metadata = owner["spec"]["template"]["metadata"].clone();
    metadata["name"] = owner["metadata"]["name"].clone();
    metadata["namespace"] = namespace.into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": owner["spec"]["template"]["spec"]})
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the chart's roles give to a ServiceAccount in the release's namespace.
fn stated(objects: &[Value], account: &str) -> BTreeSet<Right> {
    let bound = |object: &&Value| {
        let subjects = object["subjects"].as_array().into_iter().flatten();
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding"))
            && subjects.into_iter().any(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == account)
    };
    let roles = objects.iter().filter(bound).filter_map(|binding| {
        let role = &binding["roleRef"];
        objects.iter().find(|object| object["kind"] == role["kind"] && object["metadata"]["name"] == role["name"])
    });
    let rules = roles.flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let mut rights = BTreeSet::new();
    for rule in rules {
        let mut names = words(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for verb in words(&rule["verbs"]) {
            for path in words(&rule["nonResourceURLs"]) {
                rights.insert((verb.clone(), path, String::new()));
            }
            for (group, resource) in words(&rule["apiGroups"])
                .iter()
                .flat_map(|group| words(&rule["resources"]).into_iter().map(move |resource| (group.clone(), resource)))
            {
                let resource = if group.is_empty() { resource } else { grouped(&resource, &group) };
                rights.extend(names.iter().map(|name| (verb.clone(), resource.clone(), name.clone())));
            }
        }
    }
    rights
}

/// As kubectl writes it: the group comes before the subresource.
fn grouped(resource: &str, group: &str) -> String {
    match resource.split_once('/') {
        Some((resource, sub)) => format!("{resource}.{group}/{sub}"),
        None => format!("{resource}.{group}"),
    }
}

/// Reads the table of `kubectl auth can-i --list`: a resource, then paths, names and verbs in brackets.
fn listed(table: &str) -> Result<BTreeSet<Right>, String> {
    let mut rights = BTreeSet::new();
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let bad = || format!("kubectl wrote `{line}`");
        let (resource, mut rest) = line.split_once('[').ok_or_else(bad)?;
        let mut lists = Vec::new();
        loop {
            let (list, after) = rest.split_once(']').ok_or_else(bad)?;
            lists.push(list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            match after.split_once('[') {
                Some((_, next)) => rest = next,
                None => break,
            }
        }
        let [paths, names, verbs] = lists.as_slice() else { return Err(bad()) };
        let resource = resource.trim();
        for verb in verbs {
            rights.extend(paths.iter().map(|path| (verb.clone(), path.clone(), String::new())));
            if !resource.is_empty() && names.is_empty() {
                rights.insert((verb.clone(), resource.to_owned(), String::new()));
            }
            rights.extend(names.iter().map(|name| (verb.clone(), resource.to_owned(), name.clone())));
        }
    }
    Ok(rights)
}

struct Cluster(Kubectl);

impl Cluster {
    fn create(&self, object: &Value) -> Result<(), String> {
        self.apply(&[], object)
    }

    fn admit(&self, pod: &Value) -> Result<(), String> {
        self.apply(&["--dry-run=server"], pod)
    }

    fn apply(&self, options: &[&str], object: &Value) -> Result<(), String> {
        let named = |errors| format!("{} {}: {errors}", object["kind"], object["metadata"]["name"]);
        self.0.apply(options, &object.to_string()).map_err(named)
    }

    fn rights(&self, namespace: &str, account: &str) -> Result<BTreeSet<Right>, String> {
        let user = format!("--as=system:serviceaccount:{namespace}:{account}");
        let output = run(self.0.command().args(["auth", "can-i", "--list", "--namespace", namespace, &user]))?;
        listed(&String::from_utf8_lossy(&output.stdout))
    }

    /// Waits until an account has what is stated for it, beside what everybody has, and nothing else.
    fn wait_for_rights(
        &self,
        namespace: &str,
        account: &str,
        everybody: &BTreeSet<Right>,
        stated: &BTreeSet<Right>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let has: BTreeSet<Right> = self.rights(namespace, account)?.difference(everybody).cloned().collect();
            if has == *stated {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let (more, less): (Vec<_>, Vec<_>) =
                    (has.difference(stated).collect(), stated.difference(&has).collect());
                return Err(format!(
                    "{account} has, and the chart does not state: {more:?}; the other way round: {less:?}"
                ));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(verb: &str, resource: &str, name: &str) -> Right {
        (verb.into(), resource.into(), name.into())
    }

    #[test]
    fn the_table_and_the_rules_say_the_same() {
        let table = "Resources          Non-Resource URLs   Resource Names   Verbs\n\
                     jobs.batch         []                  []               [get list]\n\
                     deployments.apps/scale   []            [watch]          [patch]\n\
                                        [/healthz]          []               [get]\n";
        let wanted = BTreeSet::from([
            right("get", "jobs.batch", ""),
            right("list", "jobs.batch", ""),
            right("patch", "deployments.apps/scale", "watch"),
            right("get", "/healthz", ""),
        ]);
        assert_eq!(listed(table).unwrap(), wanted);
        let role = json!({"kind": "Role", "metadata": {"name": "r"}, "rules": [
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["watch"], "verbs": ["patch"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]});
        let binding = json!({"kind": "RoleBinding", "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "a"}]});
        let objects = [role, binding];
        assert_eq!(stated(&objects, "a"), wanted);
        assert_eq!(stated(&objects, "b"), BTreeSet::new());
        assert!(listed("head\nno brackets").is_err());
    }
}
