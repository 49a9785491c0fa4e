//! The picture as lines: one screen when all is well, and only problems in detail.

use super::picture::{Picture, Standing, at_stage};
use super::problems::{Problem, Severity};
use crate::summary::{NodeSummary, columns};
use contract::{Stage, State};
use std::fmt::Write as _;

/// Most nodes that are listed one by one.
const LISTED: usize = 12;

/// Draws the picture.
pub(crate) fn text(picture: &Picture) -> String {
    let mut text = head(picture);
    let _ = writeln!(text, "\n{}", counts(picture));
    text.push_str(&nodes(picture));
    if !picture.classes.is_empty() {
        let _ = writeln!(text, "\n{}", classes(picture).trim_end());
    }
    if !picture.snapshotters.is_empty() {
        let _ = writeln!(text, "\nsnapshotters  {}", snapshotters(picture));
    }
    let _ =
        writeln!(text, "{}drift         {}", if picture.snapshotters.is_empty() { "\n" } else { "" }, drift(picture));
    text.push_str(&problems(picture));
    text
}

/// The first lines: what is installed, in which versions.
pub(crate) fn head(picture: &Picture) -> String {
    let when = picture.deployed_at.as_deref().map(|at| format!(", {at}")).unwrap_or_default();
    let mut text = format!(
        "{} in {}: {} (revision {}{when})\n",
        picture.release, picture.namespace, picture.status, picture.revision
    );
    let versions = &picture.versions;
    let _ = writeln!(
        text,
        "{}, payload {}, Kubernetes {}, husk {}, {}",
        picture.chart,
        dash(&versions.payload),
        dash(&versions.kubernetes),
        versions.husk,
        picture.mode
    );
    text
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `3 nodes selected: 2 converged, 1 failed; 1 skipped`.
pub(crate) fn counts(picture: &Picture) -> String {
    let counts = &picture.counts;
    let parts = [
        (counts.converged, "converged"),
        (counts.under_way, "under way"),
        (counts.waiting, "waiting"),
        (counts.failed, "failed"),
        (counts.drifted, "drifted"),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let nodes = if counts.selected == 1 { "node" } else { "nodes" };
    let skipped = if counts.skipped > 0 { format!("; {} skipped", counts.skipped) } else { String::new() };
    format!(
        "{} {nodes} selected: {}{skipped}",
        counts.selected,
        if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
    )
}

/// The mark of a stage: colour may repeat it and is never alone.
pub(crate) const fn mark(state: Option<State>) -> &'static str {
    match state {
        Some(State::Done) => "✓",
        Some(State::Running) => "◐",
        Some(State::Failed) => "✗",
        Some(State::Pending) | None => "·",
    }
}

fn nodes(picture: &Picture) -> String {
    let selected: Vec<&NodeSummary> = picture.nodes.iter().filter(|node| node.selected).collect();
    if selected.len() > LISTED {
        return stages(picture);
    }
    let mut rows = vec![
        ["NODE", "RUNTIME", "DISTRIBUTION", "CHECK", "ARTIFACTS", "CRI", "LABEL", "STATE", "HANDLERS"]
            .map(str::to_owned),
    ];
    for node in selected {
        let at = |stage| mark(at_stage(node, stage)).to_owned();
        rows.push([
            node.name.clone(),
            node.runtime.replace("://", " "),
            node.distribution.clone().unwrap_or_else(|| "-".to_owned()),
            at(Stage::HostCheck),
            at(Stage::Artifacts),
            at(Stage::Cri),
            at(Stage::Label),
            standing(node),
            node.handlers.len().to_string(),
        ]);
    }
    columns(&rows)
}

/// The state of a node: its error's code, or a word.
pub(crate) fn standing(node: &NodeSummary) -> String {
    match (Standing::of(node), node.code) {
        (Standing::Failed, Some(code)) => code.to_string(),
        (standing, _) => standing.word().to_owned(),
    }
}

fn stages(picture: &Picture) -> String {
    let mut rows = vec![["STAGE", "DONE", "RUNNING", "FAILED", "WAITING"].map(str::to_owned)];
    rows.extend(picture.stages.iter().map(|count| {
        [
            count.stage.to_string(),
            count.done.to_string(),
            count.running.to_string(),
            count.failed.to_string(),
            count.waiting.to_string(),
        ]
    }));
    let runtimes: Vec<String> =
        picture.versions.runtimes.iter().map(|(runtime, count)| format!("{} on {count}", dash(runtime))).collect();
    format!("{}runtimes: {}\n", columns(&rows), cut(&runtimes, 6, "; "))
}

fn classes(picture: &Picture) -> String {
    let mut rows = vec![["RUNTIMECLASS", "HANDLER", "NODES"].map(str::to_owned)];
    rows.extend(picture.classes.iter().map(|class| {
        let nodes = format!("{} of {}", class.nodes, picture.counts.selected);
        [class.name.clone(), class.handler.clone(), nodes]
    }));
    columns(&rows)
}

/// `nydus (set up by the installer) for qemu-snp, qemu-tdx`.
pub(crate) fn snapshotters(picture: &Picture) -> String {
    let one = |it: &super::picture::Snapshotter| {
        let from = if it.set_up { "set up by the installer" } else { "of the host" };
        let shims = if it.shims.is_empty() { String::new() } else { format!(" for {}", it.shims.join(", ")) };
        format!("{} ({from}){shims}", it.name)
    };
    picture.snapshotters.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What differs, or `none`.
pub(crate) fn drift(picture: &Picture) -> String {
    let lines: Vec<String> = picture.drift.iter().map(|drift| format!("{} {}", drift.what, drift.how)).collect();
    if lines.is_empty() { "none".to_owned() } else { cut(&lines, 4, "; ") }
}

fn cut(items: &[String], most: usize, separator: &str) -> String {
    if items.len() <= most {
        return items.join(separator);
    }
    format!("{}{separator}and {} more", items[..most].join(separator), items.len() - most)
}

fn problems(picture: &Picture) -> String {
    if picture.problems.is_empty() {
        return "problems      none\n".to_owned();
    }
    let mut text = String::new();
    for problem in picture.problems.iter().take(10) {
        let _ = writeln!(text, "\n{}", problem_lines(problem).join("\n"));
    }
    if picture.problems.len() > 10 {
        let _ = writeln!(text, "\nand {} more problems; `-o json` has them all", picture.problems.len() - 10);
    }
    text
}

/// A problem as lines: title, cause, next command.
pub(crate) fn problem_lines(problem: &Problem) -> Vec<String> {
    let mark = if problem.severity == Severity::Error { "✗" } else { "!" };
    let code = problem.code.map(|code| format!("{code} ")).unwrap_or_default();
    let cause = problem.cause.replace('\n', "\n        ");
    let mut lines = vec![
        format!("{mark} {code}{}", problem.title),
        format!("  cause {cause}"),
        format!("  next  {}", problem.next),
    ];
    if problem.count > problem.nodes.len() {
        let more = problem.count - problem.nodes.len();
        lines.insert(1, format!("  nodes {} and {more} more", problem.nodes.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::{node, seen};
    use super::*;
    use contract::Code;

    #[test]
    fn a_healthy_installation_fits_one_screen() {
        let picture = Picture::of(seen((0..12).map(|n| node(&format!("n{n}"), Stage::Label, State::Done)).collect()));
        let text = text(&picture);
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.contains("12 nodes selected: 12 converged"), "{text}");
        assert!(text.contains("problems      none"), "{text}");
        assert!(text.contains("kata-qemu-snp  12 of 12"), "{text}");
    }

    #[test]
    fn many_nodes_are_counted_and_only_problems_are_detailed() {
        let mut nodes: Vec<_> = (0..5000).map(|n| node(&format!("n{n}"), Stage::Label, State::Done)).collect();
        nodes[7] = node("bad", Stage::Cri, State::Failed);
        nodes[7].code = Some(Code::RUNTIME_REFUSED);
        nodes[7].message = "containerd did not come back".into();
        let text = text(&Picture::of(seen(nodes)));
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.contains("cri         4999  0        1       0"), "{text}");
        assert!(text.contains("✗ HUSK-2202 bad: ") && text.contains("  cause containerd did not"), "{text}");
        assert!(text.contains("  next  "), "{text}");
    }
}
