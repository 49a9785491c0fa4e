//! `cargo xtask release patch|minor|major`: everything that a release changes in the tree, on a branch of its own.
//!
//! One version is everyone's: the programs', both charts', and that of the images which the charts name. The payload's version
//! (`appVersion`) is upstream's and is changed by hand. Nothing is pushed and nothing is tagged: that is for whoever merges.

use crate::programs::run;
use clap::ValueEnum;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which part of the version goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// 1.2.3 → 1.2.4
    Patch,
    /// 1.2.3 → 1.3.0
    Minor,
    /// 1.2.3 → 2.0.0
    Major,
}

/// A file as it will be.
struct Edit {
    path: PathBuf,
    old: String,
    new: String,
}

/// Prepares a release in the checkout at `root`, or with `dry_run` only prints what would change.
pub(crate) fn prepare(root: &Path, step: Step, dry_run: bool) -> Result<(), String> {
    let old = version(&read(&root.join("Cargo.toml"))?)?;
    let new = next(&old, step)?;
    let branch = format!("release/{new}");
    let dirty = git(root, &["status", "--porcelain", "--untracked-files=no"])?;
    if !dirty.is_empty() && !dry_run {
        return Err(format!("the checkout has changes that are not committed:\n{dirty}"));
    }
    for (kind, name) in [("heads", branch.clone()), ("tags", format!("v{new}"))] {
        if git(root, &["show-ref", "--verify", &format!("refs/{kind}/{name}")]).is_ok() {
            return Err(format!("{name} exists already; delete it, or release another version"));
        }
    }
    let edits = edits(root, &old, &new)?;
    if dry_run {
        println!("{old} → {new}, branch {branch}");
        for edit in &edits {
            print!("{}", difference(root, edit));
        }
        return Ok(());
    }
    git(root, &["switch", "--create", &branch])?;
    for edit in &edits {
        std::fs::write(&edit.path, &edit.new).map_err(|error| format!("{}: {error}", edit.path.display()))?;
    }
    git(root, &["commit", "--all", "--quiet", "--message", &format!("release {new}")])?;
    println!("branch {branch} has the release {new}: look at `git show`, push it, and tag the merge v{new}");
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = run(Command::new("git").arg("-C").arg(root).args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The version of the workspace.
fn version(manifest: &str) -> Result<String, String> {
    let document: toml_edit::DocumentMut = manifest.parse().map_err(|error| format!("Cargo.toml: {error}"))?;
    let version = document["workspace"]["package"]["version"].as_str();
    version.map(str::to_owned).ok_or_else(|| "Cargo.toml has no workspace.package.version".to_owned())
}

fn next(version: &str, step: Step) -> Result<String, String> {
    let parts: Vec<u64> = version
        .split('.')
        .map(|part| part.parse().map_err(|_| format!("`{version}` is not of the form 1.2.3")))
        .collect::<Result<_, _>>()?;
    let [major, minor, patch] = parts[..] else { return Err(format!("`{version}` is not of the form 1.2.3")) };
    Ok(match step {
        Step::Patch => format!("{major}.{minor}.{}", patch + 1),
        Step::Minor => format!("{major}.{}.0", minor + 1),
        Step::Major => format!("{}.0.0", major + 1),
    })
}

fn edits(root: &Path, old: &str, new: &str) -> Result<Vec<Edit>, String> {
    let mut edits = Vec::new();
    let mut edit = |path: &str, change: &dyn Fn(&str) -> Result<String, String>| -> Result<(), String> {
        let path = root.join(path);
        let text = read(&path)?;
        let changed = change(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        edits.push(Edit { path, old: text, new: changed });
        Ok(())
    };
    let line = |from: &str, times: usize| {
        let (from, to) = (format!("{from}\n"), format!("{}\n", from.replace(old, new)));
        move |text: &str| match text.matches(&from).count() {
            found if found == times => Ok(text.replace(&from, &to)),
            found => Err(format!("`{}` is there {found} times instead of {times}", from.trim_end())),
        }
    };
    edit("Cargo.toml", &line(&format!("\nversion = \"{old}\""), 1))?;
    edit("Cargo.lock", &|text| Ok(lock(text, old, new)))?;
    edit("charts/kata-deploy/Chart.yaml", &line(&format!("\nversion: {old}"), 1))?;
    edit("charts/kata-deploy/values.yaml", &line(&format!("    tag: \"{old}\""), 1))?;
    edit("charts/confidential-containers/values.yaml", &line(&format!("      tag: \"{old}\""), 1))?;
    edit("charts/confidential-containers/Chart.yaml", &|text| {
        let text = line(&format!("\nversion: {old}"), 1)(text)?;
        line(&format!("    version: {old}"), 1)(&text)
    })?;
    edit("charts/confidential-containers/Chart.lock", &|text| chart_lock(text, old, new))?;
    let commits = commits(root)?;
    let date = git(root, &["show", "--no-patch", "--format=%cs", "HEAD"])?;
    edit("CHANGELOG.md", &|text| changelog(text, new, &date, &commits))?;
    // The tables show the tags.
    edit("docs/src/values-kata-deploy.md", &|text| Ok(text.replace(&format!("`\"{old}\"`"), &format!("`\"{new}\"`"))))?;
    edit("docs/src/values-confidential-containers.md", &|text| {
        Ok(text.replace(&format!("`\"{old}\"`"), &format!("`\"{new}\"`")))
    })?;
    Ok(edits)
}

/// The crates of the workspace are those that come from nowhere.
fn lock(text: &str, old: &str, new: &str) -> String {
    let (from, to) = (format!("\nversion = \"{old}\"\n"), format!("\nversion = \"{new}\"\n"));
    let own = |package: &&str| !package.contains("\nsource = ");
    let packages: Vec<String> = text
        .split("[[package]]")
        .map(|package| if own(&package) { package.replacen(&from, &to, 1) } else { package.to_owned() })
        .collect();
    packages.join("[[package]]")
}

/// Helm's lock of the umbrella, whose digest is that of what is wanted and what was found.
fn chart_lock(text: &str, old: &str, new: &str) -> Result<String, String> {
    let digest = |version: &str| {
        let common = format!(r#""name":"kata-deploy","version":"{version}","repository":"file://../kata-deploy""#);
        let wanted =
            format!(r#"{{{common},"condition":"kata-as-coco-runtime.enabled","alias":"kata-as-coco-runtime"}}"#);
        let sum = Sha256::digest(format!("[[{wanted}],[{{{common}}}]]"));
        sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (was, is) = (digest(old), digest(new));
    if !text.contains(&was) {
        return Err("the digest is not that of the dependencies: run `helm dependency update` first".to_owned());
    }
    Ok(text.replace(&was, &is).replace(&format!("version: {old}\n"), &format!("version: {new}\n")))
}

/// What was committed since the last release, the oldest first.
fn commits(root: &Path) -> Result<Vec<String>, String> {
    let since = git(root, &["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]).ok();
    let range = since.map_or_else(|| "HEAD".to_owned(), |tag| format!("{tag}..HEAD"));
    let log = git(root, &["log", "--reverse", "--no-merges", "--format=%s", &range])?;
    Ok(log.lines().map(str::to_owned).collect())
}

const UNRELEASED: &str = "## Unreleased\n";

/// What stands below `Unreleased` becomes the release's section; without any text there, the commits do.
fn changelog(text: &str, new: &str, date: &str, commits: &[String]) -> Result<String, String> {
    let (before, after) = text.split_once(UNRELEASED).ok_or("there is no section `## Unreleased`")?;
    let (written, rest) = after.split_at(after.find("\n## ").map_or(after.len(), |at| at + 1));
    let written = match written.trim() {
        "" => commits.iter().map(|subject| format!("- {subject}\n")).collect(),
        text => format!("{text}\n"),
    };
    let space = if rest.is_empty() { "" } else { "\n" };
    Ok(format!("{before}{UNRELEASED}\n## {new} - {date}\n\n{written}{space}{rest}"))
}

/// The lines that go and come.
fn difference(root: &Path, edit: &Edit) -> String {
    let name = edit.path.strip_prefix(root).unwrap_or(&edit.path).display();
    let (old, new): (Vec<&str>, Vec<&str>) = (edit.old.lines().collect(), edit.new.lines().collect());
    let mut text = format!("{name}\n");
    // Only whole lines change or are inserted, so a line that is not on the other side is what changed.
    let count = |lines: &[&str], line: &str| lines.iter().filter(|other| **other == line).count();
    for line in old.iter().filter(|line| count(&new, line) < count(&old, line)) {
        text.push_str(&format!("  - {line}\n"));
    }
    for line in new.iter().filter(|line| count(&old, line) < count(&new, line)) {
        text.push_str(&format!("  + {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_up() {
        assert_eq!(next("1.2.3", Step::Patch).unwrap(), "1.2.4");
        assert_eq!(next("1.2.3", Step::Minor).unwrap(), "1.3.0");
        assert_eq!(next("1.2.3", Step::Major).unwrap(), "2.0.0");
        assert!(next("1.2", Step::Patch).is_err() && next("1.2.3-rc.1", Step::Patch).is_err());
    }

    #[test]
    fn only_crates_of_the_workspace_change_in_the_lock() {
        let text = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\nsource = \"registry\"\n";
        assert_eq!(lock(text, "0.1.0", "0.2.0"), text.replacen("0.1.0", "0.2.0", 1));
    }

    #[test]
    fn the_changelog_keeps_what_people_wrote() {
        let commits = ["a: b".to_owned()];
        let empty = changelog("# C\n\n## Unreleased\n\n## 0.1.0 - d\n\n- x\n", "0.2.0", "day", &commits).unwrap();
        assert_eq!(empty, "# C\n\n## Unreleased\n\n## 0.2.0 - day\n\n- a: b\n\n## 0.1.0 - d\n\n- x\n");
        let written = changelog("# C\n\n## Unreleased\n\nText.\n", "0.2.0", "day", &commits).unwrap();
        assert_eq!(written, "# C\n\n## Unreleased\n\n## 0.2.0 - day\n\nText.\n");
        assert!(changelog("# C\n", "0.2.0", "day", &commits).is_err());
    }

    /// A release on a clone of this very checkout: everything agrees afterwards, and a second one goes on from there.
    #[test]
    fn a_release_on_a_scratch_clone() {
        let place = tempfile::tempdir().unwrap();
        let clone = place.path().join("clone");
        let checkout = crate::programs::root();
        if git(&checkout, &["rev-parse", "--git-dir"]).is_err() {
            // Built from an archive, without history to release.
            return;
        }
        let from = checkout.to_string_lossy().into_owned();
        let to = clone.to_string_lossy().into_owned();
        git(place.path(), &["clone", "--quiet", "--no-hardlinks", "--shared", &from, &to]).unwrap();
        git(&clone, &["config", "user.name", "Somebody"]).unwrap();
        git(&clone, &["config", "user.email", "somebody@example.com"]).unwrap();
        let was = version(&read(&clone.join("Cargo.toml")).unwrap()).unwrap();
        let head = git(&clone, &["rev-parse", "HEAD"]).unwrap();

        prepare(&clone, Step::Minor, true).unwrap();
        assert_eq!(git(&clone, &["status", "--porcelain"]).unwrap(), "", "a dry run changes nothing");
        assert_eq!(git(&clone, &["rev-parse", "HEAD"]).unwrap(), head);

        prepare(&clone, Step::Minor, false).unwrap();
        let new = next(&was, Step::Minor).unwrap();
        assert_eq!(git(&clone, &["branch", "--show-current"]).unwrap(), format!("release/{new}"));
        assert_eq!(git(&clone, &["log", "-1", "--format=%s"]).unwrap(), format!("release {new}"));
        assert_eq!(version(&read(&clone.join("Cargo.toml")).unwrap()).unwrap(), new);
        for (file, times) in [
            ("charts/kata-deploy/Chart.yaml", 1),
            ("charts/kata-deploy/values.yaml", 1),
            ("charts/confidential-containers/Chart.yaml", 2),
            ("charts/confidential-containers/Chart.lock", 1),
            ("charts/confidential-containers/values.yaml", 1),
            ("CHANGELOG.md", 1),
        ] {
            assert_eq!(read(&clone.join(file)).unwrap().matches(&new).count(), times, "{file}");
        }
        let lock = read(&clone.join("Cargo.lock")).unwrap();
        assert!(lock.contains(&format!("name = \"husk\"\nversion = \"{new}\"")));
        let changelog = read(&clone.join("CHANGELOG.md")).unwrap();
        assert!(changelog.contains(&format!("## {new} - ")), "{changelog}");

        let twice = prepare(&clone, Step::Patch, false);
        assert!(twice.is_ok(), "{twice:?}");
        git(&clone, &["switch", "--quiet", &format!("release/{new}")]).unwrap();
        let again = prepare(&clone, Step::Patch, false).unwrap_err();
        assert!(again.contains("exists already"), "{again}");
        std::fs::write(clone.join("README.md"), "changed").unwrap();
        let dirty = prepare(&clone, Step::Major, false).unwrap_err();
        assert!(dirty.contains("not committed") && dirty.contains("README.md"), "{dirty}");
    }
}
