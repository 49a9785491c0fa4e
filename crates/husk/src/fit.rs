//! Shapes the sandbox after values: a file written for a k3s cluster of labelled nodes gets just that to try on.

use crate::rollout::{Mode, Rollout};
use fleet::selector::Requirement;
use simhost::{HostKind, HostSpec};
use std::collections::BTreeMap;

/// Returns the hosts of a sandbox on which these rollouts find what they select.
pub(crate) fn hosts(rollouts: &[Rollout]) -> Vec<HostSpec> {
    let environment = |name: &str| {
        rollouts.iter().find_map(|rollout| rollout.environment.get(name)).map(String::as_str).unwrap_or_default()
    };
    let mut kinds = match environment("K8S_DISTRIBUTION") {
        "k8s" => vec![HostKind::Containerd17, HostKind::Containerd21, HostKind::Crio],
        "k3s" => vec![HostKind::K3s, HostKind::K3sAgent],
        "rke2" => vec![HostKind::Rke2Server, HostKind::Rke2Agent],
        "k0s" => vec![HostKind::K0s],
        "microk8s" => vec![HostKind::Microk8s],
        _ => vec![HostKind::Containerd17, HostKind::Containerd21, HostKind::K3s, HostKind::Crio],
    };
    if environment("EXPERIMENTAL_SETUP_SNAPSHOTTER").split(',').any(|name| name.trim() == "erofs") {
        // The erofs snapshotter is part of containerd 2.1 and newer.
        kinds.retain(|kind| !matches!(kind, HostKind::Containerd16 | HostKind::Containerd17 | HostKind::Containerd20));
    }
    if !environment("CONTAINERD_USER_DROP_IN_SOURCE_FILE").is_empty() {
        // containerd 1.x has no drop-ins that could be added to what it reads.
        kinds.retain(|kind| !matches!(kind, HostKind::Containerd16 | HostKind::Containerd17 | HostKind::Microk8s));
    }
    let elsewhere = environment("CONTAINERD_CONFIG_DIR").trim_end_matches('/');
    if !elsewhere.is_empty() {
        kinds.retain(|kind| is_replaceable(*kind)); // the others keep theirs where they want it
    }
    let replaced =
        rollouts.iter().any(|rollout| rollout.environment.keys().any(|name| name.starts_with("CUSTOM_CONTAINERD_URL")));
    let replaced_on = labels(environment("CUSTOM_CONTAINERD_NODE_SELECTOR"));
    if replaced && replaced_on.is_empty() {
        kinds.retain(|kind| is_replaceable(*kind));
    }
    let names: Vec<String> = rollouts.iter().flat_map(|rollout| rollout.rules.nodes.iter().cloned()).collect();
    let mut hosts = named(&kinds, &names);
    let wanted = wanted_labels(rollouts);
    for host in &mut hosts {
        host.labels.extend(wanted.clone());
        let file = Some(environment("CONTAINERD_CONFIG_FILE_NAME")).filter(|name| !name.is_empty());
        host.containerd_config =
            (!elsewhere.is_empty()).then(|| format!("{elsewhere}/{}", file.unwrap_or("config.toml")));
    }
    if let Some(host) = hosts.iter_mut().find(|host| replaced && is_replaceable(host.kind)) {
        host.labels.extend(replaced_on);
    }
    for rollout in rollouts.iter().filter(|rollout| matches!(rollout.mode, Mode::Job(_))) {
        if let Some(first) = hosts.first_mut() {
            first.labels.extend(rollout.dispatcher_labels.clone());
        }
    }
    hosts
}

/// Whether containerd is a unit of the host itself, so that another one can take its place.
fn is_replaceable(kind: HostKind) -> bool {
    !kind.owns_its_containerd() && kind != HostKind::Crio
}

/// Reads `k=v,k=v`.
fn labels(text: &str) -> BTreeMap<String, String> {
    let items = text.split(',').filter_map(|item| item.split_once('='));
    items.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Gives each kind a host: of the wanted names as far as they reach, then of names that say what they are.
fn named(kinds: &[HostKind], wanted: &[String]) -> Vec<HostSpec> {
    let count = kinds.len().max(wanted.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    kinds
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(index, kind)| {
            let family = family(*kind);
            let number = counts.entry(family).or_default();
            *number += 1;
            let name = wanted.get(index).cloned().unwrap_or_else(|| format!("{family}-{number}"));
            HostSpec::new(name, *kind)
        })
        .collect()
}

fn family(kind: HostKind) -> &'static str {
    match kind {
        HostKind::Crio => "crio",
        HostKind::K3s | HostKind::K3sAgent => "k3s",
        HostKind::Rke2Server | HostKind::Rke2Agent => "rke2",
        HostKind::K0s => "k0s",
        HostKind::Microk8s => "microk8s",
        _ => "k8s",
    }
}

/// Returns labels that meet the first selector of each rollout.
fn wanted_labels(rollouts: &[Rollout]) -> BTreeMap<String, String> {
    let firsts = rollouts.iter().flat_map(|rollout| [rollout.rules.selectors.first(), rollout.removal.first()]);
    let requirements = firsts.flatten().flat_map(|selector| &selector.0);
    requirements
        .filter_map(|requirement| match requirement {
            Requirement::In(key, values) => Some((key.clone(), values.first()?.clone())),
            Requirement::Exists(key) => Some((key.clone(), String::new())),
            Requirement::Missing(_) | Requirement::NotIn(..) => None,
        })
        // These say what a host is and every kubelet sets them itself.
        .filter(|(key, _)| !key.starts_with("kubernetes.io/") && !key.starts_with("beta.kubernetes.io/"))
        // This one the installation sets.
        .filter(|(key, _)| key != contract::label::KATA_RUNTIME)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::selection::Rules;
    use fleet::selector::Selector;

    fn rollout(selector: &str, environment: &[(&str, &str)]) -> Rollout {
        Rollout {
            mode: Mode::Job("d".into()),
            install: "default".into(),
            rules: Rules { selectors: vec![Selector::parse(selector).unwrap()], ..Rules::default() },
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            dispatcher_labels: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            removal: Vec::new(),
        }
    }

    #[test]
    fn without_wishes_there_is_one_host_of_each_kind() {
        let hosts = hosts(&[]);
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["k8s-1", "k8s-2", "k3s-1", "crio-1"]);
    }

    #[test]
    fn the_distribution_the_labels_and_the_dispatchers_place_are_given() {
        let hosts = hosts(&[rollout("confidential-computing=enabled,tee,!gone", &[("K8S_DISTRIBUTION", "k3s")])]);
        assert!(hosts.iter().all(|host| matches!(host.kind, HostKind::K3s | HostKind::K3sAgent)));
        assert!(
            hosts
                .iter()
                .all(|host| host.labels["confidential-computing"] == "enabled" && host.labels["tee"].is_empty())
        );
        assert!(hosts.iter().all(|host| !host.labels.contains_key("gone")));
        assert!(hosts[0].labels.contains_key("node-role.kubernetes.io/control-plane"));
        assert!(!hosts[1].labels.contains_key("node-role.kubernetes.io/control-plane"));
    }

    #[test]
    fn another_containerd_finds_hosts_that_can_run_it() {
        let url = ("CUSTOM_CONTAINERD_URL_X86_64", "https://m/containerd.tar.gz");
        let everywhere = hosts(&[rollout("", &[url])]);
        assert!(!everywhere.is_empty() && everywhere.iter().all(|host| is_replaceable(host.kind)));
        let somewhere = hosts(&[rollout("", &[url, ("CUSTOM_CONTAINERD_NODE_SELECTOR", "a=1,b=")])]);
        let labelled: Vec<&HostSpec> = somewhere.iter().filter(|host| host.labels.contains_key("a")).collect();
        assert_eq!(labelled.len(), 1);
        assert!(is_replaceable(labelled[0].kind) && labelled[0].labels["b"].is_empty());
        assert!(somewhere.iter().any(|host| host.kind == HostKind::K3s), "the others stay what they are");
    }

    #[test]
    fn a_configuration_elsewhere_is_where_containerd_reads_it() {
        let wish = [("CONTAINERD_CONFIG_DIR", "/etc/other/"), ("CONTAINERD_CONFIG_FILE_NAME", "x.toml")];
        let found = hosts(&[rollout("", &wish)]);
        assert!(!found.is_empty());
        for host in found {
            assert!(is_replaceable(host.kind), "{}", host.kind);
            assert_eq!(host.containerd_config.as_deref(), Some("/etc/other/x.toml"));
        }
        let found = hosts(&[rollout("", &[("CONTAINERD_USER_DROP_IN_SOURCE_FILE", "/c/u.toml")])]);
        assert!(!found.is_empty() && found.iter().all(|host| host.kind != HostKind::Containerd17));
        assert!(found.iter().all(|host| host.containerd_config.is_none()));
    }

    #[test]
    fn named_nodes_exist_and_erofs_gets_a_runtime_that_has_it() {
        let mut wish = rollout("", &[("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus,erofs")]);
        wish.rules.nodes = ["alpha".to_owned(), "beta".to_owned()].into();
        let hosts = hosts(&[wish]);
        assert_eq!(hosts[0].name, "alpha");
        assert_eq!(hosts[1].name, "beta");
        assert!(hosts.iter().all(|host| host.kind != HostKind::Containerd17));
    }
}
