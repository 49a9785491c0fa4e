//! The blast radius of a plan: which nodes are touched, what restarts, which sandboxes feel it, what is fetched. Pure.

use crate::preflight::snapshot::NodeSeen;
use crate::rollout::Rollout;
use crate::summary::NodeSummary;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Variables of the installer that change nothing on a host.
const WITHOUT_EFFECT: [&str; 5] = ["HUSK_RELEASE", "HEALTH_PORT", "DAEMONSET_NAME", "POD_NAMESPACE", "NODE_NAME"];

/// What is known before.
pub(crate) struct Facts<'a> {
    pub(crate) nodes: &'a [NodeSeen],
    /// How the nodes stand in the installation that there is; empty when there is none.
    pub(crate) standing: &'a [NodeSummary],
    pub(crate) wanted: &'a [Rollout],
    /// The rollouts of the installed revision.
    pub(crate) installed: &'a [Rollout],
    /// The images of the installer's pods, wanted and installed.
    pub(crate) images: &'a [String],
    pub(crate) installed_images: &'a [String],
    /// How many Kata sandboxes run on each node.
    pub(crate) sandboxes: &'a BTreeMap<String, usize>,
    /// Whether any object of the release changes.
    pub(crate) objects_change: bool,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Touched {
    pub(crate) node: String,
    pub(crate) why: &'static str,
    pub(crate) restarts: bool,
    pub(crate) sandboxes: usize,
    /// Bytes of images that it does not have yet; nothing when a size is not known.
    pub(crate) fetch: Option<u64>,
}

/// The blast radius.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blast {
    pub(crate) selected: usize,
    pub(crate) touched: Vec<Touched>,
    pub(crate) restarts: usize,
    /// Sandboxes on nodes whose runtime restarts.
    pub(crate) sandboxes: usize,
    /// Bytes over all nodes, as far as they are known.
    pub(crate) fetch: u64,
    /// How many nodes fetch something whose size nobody knows yet.
    pub(crate) fetch_unknown: usize,
    /// Reasons for which nodes are skipped, and how many nodes each.
    pub(crate) skipped: BTreeMap<String, usize>,
}

/// Computes it.
pub(crate) fn radius(facts: &Facts<'_>) -> Blast {
    let mut blast = Blast::default();
    let settled: BTreeSet<&str> =
        facts.standing.iter().filter(|node| node.converged()).map(|node| node.name.as_str()).collect();
    let sizes: BTreeMap<&str, u64> = facts
        .nodes
        .iter()
        .flat_map(|node| &node.images)
        .filter(|(name, _)| facts.images.iter().any(|image| image == name))
        .map(|(name, size)| (name.as_str(), *size))
        .collect();
    let settings_change = effects(facts.wanted) != effects(facts.installed);
    let images_change = facts.images != facts.installed_images;
    for node in facts.nodes {
        let as_node = node.as_node();
        let reasons: Vec<String> =
            facts.wanted.iter().filter_map(|rollout| rollout.rules.left_out(&as_node)).map(|r| r.to_string()).collect();
        if reasons.len() == facts.wanted.len() {
            *blast.skipped.entry(reasons.into_iter().next().unwrap_or_default()).or_default() += 1;
            continue;
        }
        blast.selected += 1;
        let (why, restarts) = match (settled.contains(node.name.as_str()), settings_change, images_change) {
            (false, ..) => ("not installed yet", true),
            (true, true, _) => ("its settings change", true),
            (true, false, true) => ("its payload or installer changes", false),
            (true, false, false) => continue,
        };
        if !facts.objects_change && settled.contains(node.name.as_str()) {
            continue;
        }
        let missing = facts.images.iter().filter(|image| !node.images.iter().any(|(name, _)| name == *image));
        let fetch: Option<u64> = missing.map(|image| sizes.get(image.as_str()).copied()).sum();
        let sandboxes = facts.sandboxes.get(&node.name).copied().unwrap_or(0);
        blast.restarts += usize::from(restarts);
        blast.sandboxes += if restarts { sandboxes } else { 0 };
        blast.fetch += fetch.unwrap_or(0);
        blast.fetch_unknown += usize::from(fetch.is_none());
        blast.touched.push(Touched { node: node.name.clone(), why, restarts, sandboxes, fetch });
    }
    blast
}

/// The settings with an effect on hosts, installation by installation.
fn effects(rollouts: &[Rollout]) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    rollouts
        .iter()
        .map(|rollout| {
            let pairs = rollout.environment.iter().filter(|(key, _)| !WITHOUT_EFFECT.contains(&key.as_str()));
            (rollout.install.as_str(), pairs.map(|(key, value)| (key.as_str(), value.as_str())).collect())
        })
        .collect()
}

/// Draws it.
pub(crate) fn text(blast: &Blast, total: usize) -> String {
    let mut text = String::from("blast radius\n");
    let _ = writeln!(text, "  nodes      {} of {total} selected, {} touched", blast.selected, blast.touched.len());
    for (why, count) in blast.skipped.iter().take(5) {
        let _ = writeln!(text, "  skipped    {count}: a node {why}");
    }
    if blast.skipped.len() > 5 {
        let _ = writeln!(text, "  skipped    and for {} more reasons", blast.skipped.len() - 5);
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for touched in &blast.touched {
        reasons.entry(touched.why).or_default().push(&touched.node);
    }
    for (why, nodes) in reasons {
        let _ = writeln!(text, "  touched    {}: {why}", crate::status::names(&nodes));
    }
    let _ = writeln!(text, "  restarts   {} container runtimes, once each", blast.restarts);
    let _ = writeln!(text, "  sandboxes  {} Kata sandboxes run where the runtime restarts", blast.sandboxes);
    let unknown = match blast.fetch_unknown {
        0 => String::new(),
        count => format!("; {count} nodes fetch images whose size no node knows yet"),
    };
    let _ = writeln!(text, "  to fetch   {} over all nodes{unknown}", bytes(blast.fetch));
    text
}

/// `1.5 GiB`, `12 MiB`, `0 B`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", count >> 20),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Mode;
    use contract::{Stage, State};
    use fleet::selection::Rules;
    use fleet::selector::Selector;

    fn rollout(shims: &str) -> Rollout {
        Rollout {
            mode: Mode::DaemonSet("d".into()),
            install: "default".into(),
            rules: Rules { selectors: vec![Selector::parse("pool=kata").unwrap()], ..Rules::default() },
            environment: [("SHIMS".to_owned(), shims.to_owned()), ("HEALTH_PORT".to_owned(), shims.to_owned())].into(),
            dispatcher_labels: BTreeMap::new(),
            removal: Vec::new(),
        }
    }

    fn nodes() -> Vec<NodeSeen> {
        let node = |name: &str, pool: &str, images: &[(&str, u64)]| NodeSeen {
            name: name.into(),
            labels: [("pool".to_owned(), pool.to_owned())].into(),
            images: images.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
            ..NodeSeen::default()
        };
        vec![node("a", "kata", &[("payload:1", 1 << 30)]), node("b", "kata", &[]), node("c", "other", &[])]
    }

    fn converged(name: &str) -> NodeSummary {
        NodeSummary {
            name: name.into(),
            selected: true,
            labelled: true,
            stage: Some(Stage::Label),
            state: Some(State::Done),
            ..NodeSummary::default()
        }
    }

    fn blast(standing: &[NodeSummary], wanted: &str, installed: Option<&str>, images: &[&str]) -> Blast {
        let images: Vec<String> = images.iter().map(|image| (*image).to_owned()).collect();
        radius(&Facts {
            nodes: &nodes(),
            standing,
            wanted: &[rollout(wanted)],
            installed: &installed.map(rollout).into_iter().collect::<Vec<_>>(),
            images: &images,
            installed_images: &["payload:1".to_owned()],
            sandboxes: &[("a".to_owned(), 2)].into(),
            objects_change: true,
        })
    }

    #[test]
    fn a_first_installation_touches_every_selected_node_and_fetches_what_is_missing() {
        let blast = blast(&[], "qemu", None, &["payload:1"]);
        assert_eq!((blast.selected, blast.touched.len(), blast.restarts, blast.sandboxes), (2, 2, 2, 2));
        assert_eq!((blast.fetch, blast.fetch_unknown), (1 << 30, 0));
        assert_eq!(blast.skipped["does not meet pool=kata"], 1);
        let text = text(&blast, 3);
        assert!(text.contains("2 of 3 selected") && text.contains("1.0 GiB over all nodes"), "{text}");
    }

    #[test]
    fn settings_restart_runtimes_and_images_alone_do_not() {
        let standing = [converged("a"), converged("b")];
        assert_eq!(blast(&standing, "qemu", Some("qemu"), &["payload:1"]).touched, []);
        let settings = blast(&standing, "qemu clh", Some("qemu"), &["payload:1"]);
        assert_eq!((settings.restarts, settings.sandboxes), (2, 2));
        let payload = blast(&standing, "qemu", Some("qemu"), &["payload:2"]);
        assert_eq!((payload.touched.len(), payload.restarts, payload.fetch_unknown), (2, 0, 2));
    }
}
