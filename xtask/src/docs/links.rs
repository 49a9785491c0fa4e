//! Links between the pages that people read: each must lead to a file that is there, and to a heading that is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Pages outside the book.
const OTHERS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "COMPATIBILITY.md",
    "charts/DIFFERENCES.md",
    "charts/kata-deploy/README.md",
    "charts/confidential-containers/README.md",
];

/// Returns what is wrong with the links below `root`, one line each; also pages of the book that its contents do not name.
pub(super) fn broken(root: &Path) -> Result<Vec<String>, String> {
    let book = root.join("docs/src");
    let mut pages = Vec::new();
    collect(&book, &mut pages)?;
    pages.extend(OTHERS.iter().map(|name| root.join(name)).filter(|path| path.is_file()));
    let mut faults = Vec::new();
    let mut named = BTreeSet::from([book.join("SUMMARY.md")]);
    for page in &pages {
        let text = read(page)?;
        for link in links(&text) {
            let place = || page.strip_prefix(root).unwrap_or(page).display().to_string();
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { page.clone() } else { flat(&page.parent().unwrap_or(root).join(file)) };
            if page.ends_with("SUMMARY.md") {
                named.insert(target.clone());
            }
            if !target.exists() {
                faults.push(format!("{}: {link} is not there", place()));
            } else if let Some(heading) = heading
                && !headings(&read(&target)?).contains(heading)
            {
                faults.push(format!("{}: {link}: there is no such heading", place()));
            }
        }
    }
    let unnamed = pages.iter().filter(|page| page.starts_with(&book) && !named.contains(*page));
    faults.extend(unnamed.map(|page| format!("{} is not in SUMMARY.md", page.display())));
    Ok(faults)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn collect(directory: &Path, pages: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(())
}

/// A path without `.` and `..`.
fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(flat.pop()),
            std::path::Component::CurDir => {}
            part => flat.push(part),
        }
    }
    flat
}

/// Lines that are not within a fence of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// Targets of the links of a page that lead to files of ours.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Every second part lies between backticks.
        let code: Vec<&str> = line.split('`').collect();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](") {
            let Some((target, end)) = after.split_once(')') else { break };
            let at = line.len() - rest.len() + before.len();
            let quoted = code.iter().scan(0, |from, part| {
                let begin = *from;
                *from += part.len() + 1;
                Some(begin)
            });
            let inside = quoted.filter(|begin| *begin <= at).count() % 2 == 0;
            if !inside && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.split_whitespace().next().unwrap_or_default());
            }
            rest = end;
        }
    }
    found
}

/// The names by which headings are linked to, as mdBook and GitHub make them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_none_and_others_are_found() {
        let text = "[a](b.md#c) `[x](y)` [`d`](e.md \"title\") [f](https://g)\n```\n[h](i)\n```\n[j](#k)";
        assert_eq!(links(text), ["b.md#c", "e.md", "#k"]);
        let names = headings("# HUSK-2202: it's `not` there\n```\n# no\n```\n## Two words");
        assert_eq!(names, ["husk-2202-its-not-there", "two-words"].map(str::to_owned).into());
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        let root = tempfile::tempdir().unwrap();
        let book = root.path().join("docs/src");
        std::fs::create_dir_all(book.join("sub")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        write("docs/src/SUMMARY.md", "- [A](a.md)\n- [B](sub/b.md)\n");
        write("docs/src/a.md", "# A\n[b](sub/b.md#there) [c](c.md) [d](#a)\n");
        write("docs/src/sub/b.md", "# B\n## There\n[a](../a.md#nowhere)\n");
        write("docs/src/lost.md", "# Lost\n");
        let faults = broken(root.path()).unwrap();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].contains("a.md: c.md is not there"), "{faults:?}");
        assert!(faults[1].contains("../a.md#nowhere: there is no such heading"), "{faults:?}");
        assert!(faults[2].contains("lost.md is not in SUMMARY.md"), "{faults:?}");
    }
}
