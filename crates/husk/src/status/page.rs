//! The picture as one self-contained page: no script, no request to anywhere.

use super::picture::{Picture, Standing};
use super::problems::Severity;
use super::text;
use crate::summary::NodeSummary;
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#66707b;--line:#d8dee4;--ok:#1a7f37;--bad:#cf222e;--warn:#9a6700;--run:#0969da;--wait:#afb8c1}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#8b949e;--line:#30363d;--ok:#3fb950;--bad:#f85149;--warn:#d29922;--run:#58a6ff;--wait:#484f58}}
*{box-sizing:border-box}body{margin:0;padding:24px 32px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 8px;border-bottom:1px solid var(--line);padding-bottom:4px}
p{margin:4px 0}.dim{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}.run{color:var(--run)}
table{border-collapse:collapse;width:100%;max-width:1100px}th{text-align:left;font-weight:600;color:var(--dim);font-size:13px}
td,th{padding:3px 14px 3px 0;border-bottom:1px solid var(--line);white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}
.counts{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0}.counts div{border:1px solid var(--line);border-radius:6px;padding:8px 16px;min-width:104px}
.counts b{display:block;font-size:24px;line-height:1.2}
.map{display:flex;flex-wrap:wrap;gap:2px;max-width:1100px}.map i{width:11px;height:11px;border-radius:2px;background:var(--wait)}
.map .ok{background:var(--ok)}.map .bad{background:var(--bad)}.map .warn{background:var(--warn)}.map .run{background:var(--run)}
.problem{border:1px solid var(--line);border-left:4px solid var(--bad);border-radius:6px;padding:10px 14px;margin:8px 0;max-width:1100px}
.problem.w{border-left-color:var(--warn)}.problem b{display:block}.problem code,code{font:13px ui-monospace,monospace}
.bar{display:inline-block;width:160px;height:10px;background:var(--line);border-radius:5px;overflow:hidden;vertical-align:middle;margin-right:10px}
.bar i{display:block;height:100%;background:var(--ok)}";

/// Most nodes that get a row of their own; all of them are on the map.
const ROWS: usize = 200;

/// Draws the page.
pub(super) fn page(picture: &Picture) -> String {
    let mut page = String::with_capacity(16_384 + picture.nodes.len() * 64);
    let title = escape(&format!("{} in {}", picture.release, picture.namespace));
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}: \
         <span class=\"{}\">{}</span></h1>\n",
        if picture.status == "deployed" { "ok" } else { "bad" },
        escape(&picture.status),
    );
    let versions = &picture.versions;
    let _ = writeln!(
        page,
        "<p>Revision {}{}. {}.</p><p class=\"dim\">{}, payload {}, Kubernetes {}, husk {}, {}</p>",
        picture.revision,
        picture.deployed_at.as_deref().map(|at| format!(", {}", escape(at))).unwrap_or_default(),
        escape(&picture.description),
        escape(&picture.chart),
        escape(&versions.payload),
        escape(&versions.kubernetes),
        escape(&versions.husk),
        escape(&picture.mode),
    );
    counts(&mut page, picture);
    problems(&mut page, picture);
    classes(&mut page, picture);
    map(&mut page, picture);
    nodes(&mut page, picture);
    rest(&mut page, picture);
    page.push_str("</body></html>\n");
    page
}

/// Makes a text safe between tags and in attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn class_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Failed => "bad",
        Standing::Drifted => "warn",
        Standing::UnderWay => "run",
        Standing::Converged => "ok",
        Standing::Waiting | Standing::Skipped => "",
    }
}

fn counts(page: &mut String, picture: &Picture) {
    let counts = &picture.counts;
    page.push_str("<div class=\"counts\">");
    for (count, class, word) in [
        (counts.selected, "", "selected"),
        (counts.converged, "ok", "converged"),
        (counts.under_way, "run", "under way"),
        (counts.waiting, "dim", "waiting"),
        (counts.failed, "bad", "failed"),
        (counts.drifted, "warn", "drifted"),
        (counts.skipped, "dim", "skipped"),
    ] {
        let _ = write!(page, "<div><b class=\"{class}\">{count}</b>{word}</div>");
    }
    page.push_str("</div>\n");
}

fn problems(page: &mut String, picture: &Picture) {
    page.push_str("<h2>Problems</h2>\n");
    if picture.problems.is_empty() {
        page.push_str("<p class=\"ok\">none</p>\n");
    }
    for problem in &picture.problems {
        let class = if problem.severity == Severity::Error { "problem" } else { "problem w" };
        let code = problem.code.map(|code| format!("{code} ")).unwrap_or_default();
        let _ = write!(page, "<div class=\"{class}\"><b>{code}{}</b>", escape(&problem.title));
        if problem.count > 1 {
            let more = problem.count - problem.nodes.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = write!(page, "<span class=\"dim\">{}{more}</span><br>", escape(&problem.nodes.join(", ")));
        }
        let _ = writeln!(page, "Cause: {}<br>Next: {}</div>", escape(&problem.cause), commands(&escape(&problem.next)));
    }
}

/// Sets what stands in backquotes in a typewriter's letters.
fn commands(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
        } else {
            html.push_str(part);
        }
    }
    html
}

fn classes(page: &mut String, picture: &Picture) {
    if picture.classes.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Classes and the nodes that serve them</h2>\n<table><tr><th>RuntimeClass<th>Handler<th>Nodes</tr>\n",
    );
    let selected = picture.counts.selected;
    for class in &picture.classes {
        let percent = (class.nodes * 100).checked_div(selected).unwrap_or(0).min(100);
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td><span class=\"bar\"><i style=\"width:{percent}%\"></i></span>{} of {selected}</tr>",
            escape(&class.name),
            escape(&class.handler),
            class.nodes
        );
    }
    page.push_str("</table>\n");
}

/// Nodes, what is wrong first.
fn ordered(picture: &Picture) -> Vec<&NodeSummary> {
    let mut nodes: Vec<&NodeSummary> = picture.nodes.iter().collect();
    nodes.sort_by_key(|node| Standing::of(node));
    nodes
}

fn map(page: &mut String, picture: &Picture) {
    if picture.nodes.len() <= 12 {
        return; // the table shows as much
    }
    page.push_str("<h2>All nodes</h2>\n<div class=\"map\">");
    for node in ordered(picture) {
        let standing = Standing::of(node);
        let _ = write!(
            page,
            "<i class=\"{}\" title=\"{}: {}\"></i>",
            class_of(standing),
            escape(&node.name),
            standing.word()
        );
    }
    page.push_str("</div>\n");
}

fn nodes(page: &mut String, picture: &Picture) {
    page.push_str("<h2>Nodes and stages</h2>\n");
    if picture.nodes.len() > ROWS {
        page.push_str("<table><tr><th>Stage<th>Done<th>Running<th>Failed<th>Waiting</tr>\n");
        for count in &picture.stages {
            let _ = writeln!(
                page,
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
                count.stage, count.done, count.running, count.failed, count.waiting
            );
        }
        page.push_str("</table><p></p>\n");
    }
    page.push_str(
        "<table><tr><th>Node<th>Runtime<th>Distribution<th>host-check<th>artifacts<th>cri<th>label<th>State</tr>\n",
    );
    let all = ordered(picture);
    // Of very many only those that are not done are worth a row.
    let settled = |node: &&NodeSummary| matches!(Standing::of(node), Standing::Converged | Standing::Skipped);
    let shown: Vec<&NodeSummary> = if all.len() > ROWS {
        all.iter().filter(|node| !settled(node)).take(ROWS).copied().collect()
    } else {
        all.clone()
    };
    for node in &shown {
        let standing = Standing::of(node);
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}",
            escape(&node.name),
            escape(&node.runtime.replace("://", " ")),
            escape(node.distribution.as_deref().unwrap_or("-"))
        );
        for stage in contract::Stage::INSTALL {
            let state = super::picture::at_stage(node, stage);
            let class = match state {
                Some(contract::State::Done) => "ok",
                Some(contract::State::Failed) => "bad",
                Some(contract::State::Running) => "run",
                _ => "dim",
            };
            let _ = write!(page, "<td class=\"{class}\">{}", text::mark(state));
        }
        let why = node.skipped.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = writeln!(page, "<td class=\"{}\">{}{}</tr>", class_of(standing), text::standing(node), escape(&why));
    }
    page.push_str("</table>\n");
    if all.len() > shown.len() {
        let _ = writeln!(page, "<p class=\"dim\">and {} more</p>", all.len() - shown.len());
    }
}

fn rest(page: &mut String, picture: &Picture) {
    let snapshotters = text::snapshotters(picture);
    let runtimes: Vec<String> =
        picture.versions.runtimes.iter().map(|(name, count)| format!("{name} on {count}")).collect();
    let _ = writeln!(
        page,
        "<h2>Snapshotters, drift, runtimes</h2><p>Snapshotters: {}</p><p>Drift: {}</p><p>Runtimes: {}</p>",
        if snapshotters.is_empty() { "the runtime's own".to_owned() } else { escape(&snapshotters) },
        escape(&text::drift(picture)),
        escape(&runtimes.join("; "))
    );
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::{node, seen};
    use super::*;
    use contract::{Code, Stage, State};

    #[test]
    fn the_page_asks_nobody_and_escapes_what_it_shows() {
        let mut bad = node("a<b>", Stage::Cri, State::Failed);
        bad.code = Some(Code::RUNTIME_REFUSED);
        bad.message = "\"<script>\" & more".into();
        let page = page(&Picture::of(seen(vec![bad, node("b", Stage::Label, State::Done)])));
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
        assert!(page.contains("a&lt;b&gt;") && page.contains("&quot;&lt;script&gt;&quot; &amp; more"));
        assert!(page.contains("<code>husk resume</code>"), "{page}");
    }

    #[test]
    fn five_thousand_nodes_are_a_map_and_only_the_unfinished_have_rows() {
        let mut nodes: Vec<_> = (0..5000).map(|n| node(&format!("n{n}"), Stage::Label, State::Done)).collect();
        nodes[42] = node("slow", Stage::Artifacts, State::Running);
        let page = page(&Picture::of(seen(nodes)));
        assert_eq!(page.matches("<i class=\"ok\" title").count(), 4999);
        assert_eq!(page.matches("<tr><td>slow").count(), 1);
        assert!(page.contains("and 4999 more") && page.len() < 500_000, "{}", page.len());
    }
}
