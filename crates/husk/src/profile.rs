//! `husk profile`: values proposed from what the nodes are, each choice with its reason.

use crate::cli;
use crate::cluster;
use crate::error::Result;
use crate::preflight::snapshot::{self, NodeSeen};
use crate::screen::{Output, emit};
use serde::Serialize;
use std::fmt::Write as _;

/// One choice: a key of the `confidential-containers` chart's values, its value, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Choice {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) why: String,
}

/// What `husk profile -o json` prints.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    choices: Vec<Choice>,
    remarks: Vec<String>,
    values: String,
}

pub(crate) async fn profile(call: cli::Profile) -> Result<()> {
    let nodes = match &call.from {
        Some(file) => snapshot::read(file)?.nodes,
        None => snapshot::nodes(&cluster::existing(&call.target).await?.client).await?,
    };
    let (choices, remarks) = choose(&nodes);
    let values = values(&choices);
    match call.output {
        Output::Json => {
            return crate::up::print_json(&Report { schema: "husk.profile/v1", choices, remarks, values });
        }
        Output::Text => {
            let remarks: String = remarks.iter().map(|remark| format!("# {remark}\n")).collect();
            emit(&format!(
                "# Proposed from {} nodes. Look it over, save it, then: husk up -f FILE\n{remarks}{values}",
                nodes.len()
            ));
        }
    }
    Ok(())
}

/// What tells that a node has a TEE switched on: the labels of Node Feature Discovery, by shim.
const TEES: [(&str, &str, &str); 3] = [
    ("qemu-snp", "SEV-SNP", "feature.node.kubernetes.io/cpu-security.sev.snp.enabled"),
    ("qemu-tdx", "TDX", "feature.node.kubernetes.io/cpu-security.tdx.enabled"),
    ("qemu-se", "Secure Execution", "feature.node.kubernetes.io/cpu-security.se.enabled"),
];
/// Shims that need a GPU beside the TEE.
const GPUS: [(&str, &str); 2] = [("qemu-snp", "qemu-nvidia-gpu-snp"), ("qemu-tdx", "qemu-nvidia-gpu-tdx")];
/// The development class: a virtual machine without a TEE.
const DEVELOPMENT: &str = "qemu-coco-dev";

fn has(node: &NodeSeen, label: &str) -> bool {
    node.labels.get(label).is_some_and(|value| value == "true")
}

fn has_gpu(node: &NodeSeen) -> bool {
    node.devices.iter().any(|device| device.starts_with("nvidia.com/"))
        || has(node, "nvidia.com/gpu.present")
        || has(node, "feature.node.kubernetes.io/pci-10de.present")
}

/// Chooses; what cannot be known from here is a remark.
pub(crate) fn choose(nodes: &[NodeSeen]) -> (Vec<Choice>, Vec<String>) {
    let mut choices = Vec::new();
    let mut remarks = Vec::new();
    let mut add = |key: String, value: &str, why: String| {
        choices.push(Choice { key: format!("kata-as-coco-runtime.{key}"), value: value.to_owned(), why });
    };
    let counted = |count: usize| format!("{count} of {} nodes", nodes.len());

    let mut any_tee = false;
    for (shim, tee, label) in TEES {
        let with: Vec<&NodeSeen> = nodes.iter().filter(|node| has(node, label)).collect();
        any_tee |= !with.is_empty();
        let why = match with.len() {
            0 => format!("no node is labelled {label}=true"),
            count => format!("{} have {tee} on ({label}=true)", counted(count)),
        };
        add(format!("shims.{shim}.enabled"), if with.is_empty() { "false" } else { "true" }, why);
        if let Some((_, gpu_shim)) = GPUS.iter().find(|(base, _)| *base == shim) {
            let gpus = with.iter().filter(|node| has_gpu(node)).count();
            let why = match gpus {
                0 => format!("no node has both {tee} and an NVIDIA GPU"),
                count => format!("{} have {tee} and an NVIDIA GPU", counted(count)),
            };
            add(format!("shims.{gpu_shim}.enabled"), if gpus == 0 { "false" } else { "true" }, why);
        }
    }
    let why = if any_tee {
        "there is confidential hardware; switch it on only to try things out".to_owned()
    } else {
        "no TEE was found; virtual machines without one are for development, not confidential".to_owned()
    };
    add(format!("shims.{DEVELOPMENT}.enabled"), if any_tee { "false" } else { "true" }, why);

    let distributions: Vec<&str> = nodes.iter().map(distribution).collect();
    let first = distributions.first().copied().unwrap_or("k8s");
    if distributions.iter().all(|distribution| *distribution == first) && first != "k8s" {
        add("k8sDistribution".into(), first, format!("every kubelet's version says {first}"));
    } else {
        let why = if first == "k8s" && distributions.iter().all(|d| *d == "k8s") {
            "each node is recognised by evidence on the host"
        } else {
            "the nodes differ; each is recognised by evidence on the host"
        };
        add("k8sDistribution".into(), "auto", why.to_owned());
    }

    let old = |node: &&NodeSeen| containerd(node).is_some_and(|version| version < (1, 7));
    let crio = nodes.iter().filter(|node| node.runtime.starts_with("cri-o://")).count();
    let with_containerd = nodes.iter().filter(|node| containerd(node).is_some()).count();
    let (value, why) = if with_containerd == 0 {
        ("[]", "no node runs containerd, and snapshotters are containerd's".to_owned())
    } else {
        ("[nydus]", format!("{} run containerd: images are pulled inside the guest", counted(with_containerd)))
    };
    add("snapshotter.setup".into(), value, why);
    if crio > 0 && with_containerd > 0 {
        remarks.push(format!("{} run CRI-O, where the snapshotter is left out", counted(crio)));
    }
    let outdated = nodes.iter().filter(old).count();
    if outdated > 0 {
        remarks.push(format!("{} run containerd before 1.7, which ignores a class's snapshotter", counted(outdated)));
    }
    if nodes.iter().all(|node| !node.labels.keys().any(|key| key.starts_with("feature.node.kubernetes.io/"))) {
        remarks.push(
            "no node carries labels of Node Feature Discovery: TEEs cannot be seen from here. Install it, or ask the \
             hosts: husk preflight"
                .to_owned(),
        );
    }
    let mut architectures: Vec<&str> = nodes.iter().map(|node| node.architecture.as_str()).collect();
    architectures.sort_unstable();
    architectures.dedup();
    if architectures.len() > 1 {
        remarks.push(format!("architectures: {}; each shim goes to those that it supports", architectures.join(", ")));
    }
    (choices, remarks)
}

/// The distribution as the kubelet's version tells it.
fn distribution(node: &NodeSeen) -> &'static str {
    ["k3s", "rke2", "k0s"].into_iter().find(|name| node.kubelet.contains(&format!("+{name}"))).unwrap_or("k8s")
}

/// Major and minor version of containerd; nothing for another runtime.
fn containerd(node: &NodeSeen) -> Option<(u32, u32)> {
    let version = node.runtime.strip_prefix("containerd://")?.trim_start_matches('v');
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    Some((numbers.next()?, numbers.next()?))
}

/// Writes choices as YAML, each with its reason.
fn values(choices: &[Choice]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for choice in choices {
        let parts: Vec<&str> = choice.key.split('.').collect();
        let Some((leaf, path)) = parts.split_last() else { continue };
        let common = open.iter().zip(path).take_while(|(a, b)| *a == *b).count();
        for (depth, part) in path.iter().enumerate().skip(common) {
            let _ = writeln!(text, "{}{part}:", "  ".repeat(depth));
        }
        open = path.to_vec();
        let indent = "  ".repeat(path.len());
        let _ = writeln!(text, "{indent}# {}\n{indent}{leaf}: {}", choice.why, choice.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    fn node(name: &str, runtime: &str, kubelet: &str, labels: &[(&str, &str)]) -> NodeSeen {
        NodeSeen {
            name: name.into(),
            runtime: runtime.into(),
            kubelet: kubelet.into(),
            architecture: "amd64".into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..NodeSeen::default()
        }
    }

    fn value<'a>(choices: &'a [Choice], key: &str) -> &'a str {
        let key = format!("kata-as-coco-runtime.{key}");
        choices.iter().find(|choice| choice.key == key).map_or("", |choice| &choice.value)
    }

    #[test]
    fn tees_gpus_distribution_and_snapshotter_follow_from_the_nodes() {
        let snp = ("feature.node.kubernetes.io/cpu-security.sev.snp.enabled", "true");
        let mut gpu = node("a", "containerd://2.1.5-k3s1", "v1.34.4+k3s1", &[snp]);
        gpu.devices = vec!["nvidia.com/pgpu".into()];
        let (choices, _) = choose(&[gpu, node("b", "containerd://2.1.5-k3s1", "v1.34.4+k3s1", &[])]);
        assert_eq!(value(&choices, "shims.qemu-snp.enabled"), "true");
        assert_eq!(value(&choices, "shims.qemu-nvidia-gpu-snp.enabled"), "true");
        assert_eq!(value(&choices, "shims.qemu-tdx.enabled"), "false");
        assert_eq!(value(&choices, "shims.qemu-coco-dev.enabled"), "false");
        assert_eq!(value(&choices, "k8sDistribution"), "k3s");
        assert_eq!(value(&choices, "snapshotter.setup"), "[nydus]");
        assert!(choices.iter().all(|choice| !choice.why.is_empty()));
    }

    #[test]
    fn without_a_tee_the_development_class_is_proposed_and_said_to_be_one() {
        let (choices, remarks) = choose(&[node("a", "cri-o://1.34.0", "v1.34.4", &[])]);
        let dev = choices.iter().find(|choice| choice.key.contains("coco-dev")).unwrap();
        assert!(dev.value == "true" && dev.why.contains("not confidential"));
        assert_eq!(value(&choices, "snapshotter.setup"), "[]");
        assert!(remarks[0].contains("Node Feature Discovery"), "{remarks:?}");
    }

    #[test]
    fn the_chart_takes_what_is_proposed() {
        let (choices, _) = choose(&[node("a", "containerd://1.7.27", "v1.34.4", &[])]);
        let text = values(&choices);
        let values: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let call = cli::Subject { chart: "confidential-containers".into(), release: None, namespace: None };
        let serde_json::Value::Object(values) = values else { panic!("no map: {text}") };
        let objects = Subject::recorded(&call, values).unwrap().objects().unwrap();
        let classes = crate::rollout::classes(&objects);
        assert_eq!(classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["kata-qemu-coco-dev"]);
    }
}
