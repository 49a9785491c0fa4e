//! SELinux labels: what the host's own policy says for the paths of an installation, as `restorecon` would set them.
//!
//! A file made by a container gets the type of the directory that it is made in, which for programs is one that a confined runtime
//! may not start. So each file gets the label of the path that it will have, from the policy's `file_contexts`.

use crate::error::Result;
use crate::host::Host;
use crate::session::Session;
use regex::Regex;
use rustix::fs::XattrFlags;
use std::path::Path;

/// The extended attribute that holds a label.
pub const ATTRIBUTE: &str = "security.selinux";

/// Whether SELinux is on. A container has no selinuxfs in its `/sys` even where it is; but then every process has a label, of the form
/// `user:role:type:level`, which nothing else gives it.
pub fn is_on(kernel: &Path, processes: &Path) -> bool {
    let label = || std::fs::read_to_string(processes.join("self/attr/current")).unwrap_or_default();
    kernel.join("fs/selinux/enforce").exists() || label().trim_end_matches(['\0', '\n']).split(':').count() >= 4
}

/// What a line of `file_contexts` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    File,
    Directory,
    Link,
    Other,
}

/// One line of `file_contexts`.
#[derive(Clone, Debug)]
struct Line {
    /// The literal beginning of the pattern.
    stem: String,
    pattern: Regex,
    kind: Kind,
    /// The label; `None` for `<<none>>`.
    label: Option<String>,
}

/// The labels that a host's policy has for paths.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    lines: Vec<Line>,
    /// Paths that count as others: `file_contexts.subs`.
    substitutes: Vec<(String, String)>,
}

impl Policy {
    /// Reads the policy of a host where SELinux is on; `None` where it is off or has no policy.
    pub fn of(session: &Session) -> Option<Policy> {
        is_on(&session.around.kernel, &session.around.processes).then(|| Policy::read_from(session.host))?
    }

    fn read_from(host: &Host) -> Option<Policy> {
        let config = host.text("/etc/selinux/config")?;
        let name = config.lines().find_map(|line| line.trim().strip_prefix("SELINUXTYPE="))?.trim().to_owned();
        let base = format!("/etc/selinux/{name}/contexts/files");
        let mut policy = Policy::default();
        for file in ["file_contexts", "file_contexts.homedirs", "file_contexts.local"] {
            policy.read(&host.text(&format!("{base}/{file}")).unwrap_or_default());
        }
        for file in ["file_contexts.subs_dist", "file_contexts.subs"] {
            for line in host.text(&format!("{base}/{file}")).unwrap_or_default().lines() {
                let mut words = line.split_whitespace().filter(|_| !line.trim_start().starts_with('#'));
                if let (Some(from), Some(to)) = (words.next(), words.next()) {
                    policy.substitutes.push((from.to_owned(), to.to_owned()));
                }
            }
        }
        (!policy.lines.is_empty()).then_some(policy)
    }

    /// Takes lines of `pattern [type] label`. Those that cannot be read are for paths that are not ours.
    fn read(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (pattern, kind, label) = match words.as_slice() {
                [pattern, label] => (*pattern, Kind::Any, *label),
                [pattern, kind, label] => (
                    *pattern,
                    match *kind {
                        "--" => Kind::File,
                        "-d" => Kind::Directory,
                        "-l" => Kind::Link,
                        _ => Kind::Other,
                    },
                    *label,
                ),
                _ => continue,
            };
            let Ok(compiled) = Regex::new(&format!("^(?:{pattern})$")) else { continue };
            let end = pattern.find(['.', '^', '$', '?', '*', '+', '|', '[', '(', '{', '\\']).unwrap_or(pattern.len());
            // a character that may be absent is no part of the literal beginning
            let end = if pattern[end..].starts_with(['?', '*', '{']) { end.saturating_sub(1) } else { end };
            self.lines.push(Line {
                stem: pattern[..end].to_owned(),
                pattern: compiled,
                kind,
                label: (label != "<<none>>").then(|| label.to_owned()),
            });
        }
    }

    /// The label of a path; `None` when the policy has none for it. The last line that fits counts, one without any pattern
    /// before all others.
    pub fn label_of(&self, path: &str, meta: &std::fs::Metadata) -> Option<&str> {
        let substituted = self.substitutes.iter().find_map(|(from, to)| {
            path.strip_prefix(from.as_str()).filter(|rest| rest.starts_with('/')).map(|rest| format!("{to}{rest}"))
        });
        let path = substituted.as_deref().unwrap_or(path);
        let kind = match meta.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Link,
            kind if kind.is_file() => Kind::File,
            _ => Kind::Other,
        };
        let fits = |line: &&Line| {
            path.starts_with(line.stem.as_str())
                && (line.kind == Kind::Any || line.kind == kind)
                && line.pattern.is_match(path)
        };
        let exact = self.lines.iter().rev().filter(|line| line.stem == path).find(fits);
        exact.or_else(|| self.lines.iter().rev().find(fits)).and_then(|line| line.label.as_deref())
    }

    /// Labels everything below a path. A host that forbids it is told of, and goes on: whether the runtime may start the programs
    /// is then up to its policy.
    pub fn label(&self, session: &Session, path: &str) -> Result<()> {
        let mut refused = None;
        self.walk(session, path, &mut refused)?;
        if let Some(why) = refused {
            (session.around.say)(&format!("warning: SELinux labels below {path} cannot be set: {why}"));
        }
        Ok(())
    }

    fn walk(&self, session: &Session, path: &str, refused: &mut Option<String>) -> Result<()> {
        let here = session.host.path(path);
        let Ok(meta) = std::fs::symlink_metadata(&here) else { return Ok(()) };
        if let Some(label) = self.label_of(path, &meta) {
            session.disk.announce("label", path)?;
            let text = format!("{label}\0");
            if let Err(error) = rustix::fs::lsetxattr(&here, ATTRIBUTE, text.as_bytes(), XattrFlags::empty()) {
                refused.get_or_insert_with(|| error.to_string());
            }
        }
        if meta.is_dir() {
            for name in session.host.names(path) {
                self.walk(session, &format!("{path}/{name}"), refused)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXTS: &str = "\
/.*\tsystem_u:object_r:default_t:s0
/opt/.*\tsystem_u:object_r:usr_t:s0
/opt(/.*)?/bin(/.*)?\tsystem_u:object_r:bin_t:s0
/opt(/.*)?/lib(64)?(/.*)?\tsystem_u:object_r:lib_t:s0
/opt/x/.*\\.sock\t-s\tsystem_u:object_r:sock_t:s0
/opt/x/bin/plain\t--\tsystem_u:object_r:exact_t:s0
/opt/secret(/.*)?\t<<none>>
/broken[\tsystem_u:object_r:x:s0
";

    #[test]
    fn a_container_knows_selinux_by_its_own_label() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, processes) = (dir.path().join("sys"), dir.path().join("proc"));
        std::fs::create_dir_all(processes.join("self/attr")).unwrap();
        for (label, on) in [
            ("system_u:system_r:spc_t:s0\0", true),
            ("system_u:system_r:container_t:s0:c1,c2\n", true),
            ("cri-containerd.apparmor.d (enforce)\n", false),
            ("unconfined\n", false),
            ("", false),
        ] {
            std::fs::write(processes.join("self/attr/current"), label).unwrap();
            assert_eq!(is_on(&kernel, &processes), on, "{label}");
        }
        std::fs::create_dir_all(kernel.join("fs/selinux")).unwrap();
        std::fs::write(kernel.join("fs/selinux/enforce"), "0").unwrap();
        assert!(is_on(&kernel, &processes));
    }

    #[test]
    fn the_last_line_that_fits_counts() {
        let mut policy = Policy::default();
        policy.read(CONTEXTS);
        policy.substitutes.push(("/data/opt".into(), "/opt".into()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        let file = std::fs::metadata(dir.path().join("f")).unwrap();
        let directory = std::fs::metadata(dir.path()).unwrap();
        let of = |path: &str| policy.label_of(path, &file).map(|label| label.split(':').nth(2).unwrap().to_owned());
        for (path, wanted) in [
            ("/opt/kata.d/abc/bin/containerd-shim-kata-v2", Some("bin_t")),
            ("/opt/kata.d/abc/runtime-rs/bin/containerd-shim-kata-v2", Some("bin_t")),
            ("/opt/kata.d/abc/share/kata-containers/vmlinux.container", Some("usr_t")),
            ("/opt/kata.d/abc/lib64/x.so", Some("lib_t")),
            ("/opt/x/bin/plain", Some("exact_t")),
            ("/opt/x/a.sock", Some("usr_t")),
            ("/opt/secret/x", None),
            ("/srv/kata/bin/x", Some("default_t")),
            ("/data/opt/kata.d/abc/bin/x", Some("bin_t")),
        ] {
            assert_eq!(of(path).as_deref(), wanted, "{path}");
        }
        assert!(policy.label_of("/opt/x/bin/plain", &directory).unwrap().contains("bin_t"), "a line for files only");
    }
}
