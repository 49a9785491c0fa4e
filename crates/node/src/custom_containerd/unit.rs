//! The drop-in that makes the host's unit run another program, with the arguments that the unit gives its own.

use crate::host::{Host, file_name};

/// Where unit files live, the strongest first.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The path on which systemd's services look for programs when nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The text of our drop-in at `path`: `tree` takes the place of the program, and its shims are found before the host's.
pub fn drop_in(host: &Host, unit: &str, path: &str, tree: &str) -> String {
    let texts = texts(host, unit, path);
    let start = start(&texts).unwrap_or_default();
    let search = search_path(&texts).unwrap_or_else(|| PATH.to_owned());
    let arguments = arguments(&start);
    format!(
        "# Written by Husk: this containerd runs instead of the host's own until the installation is removed.\n\
         [Service]\nExecStart=\nExecStart={tree}/bin/containerd{arguments}\nEnvironment=\"PATH={tree}/bin:{search}\"\n"
    )
}

/// The unit's file and its drop-ins but ours, in the order in which they count.
fn texts(host: &Host, unit: &str, ours: &str) -> Vec<String> {
    let own = DIRECTORIES.iter().map(|directory| host.follow(&format!("{directory}/{unit}")));
    let mut texts: Vec<String> = own.filter_map(|path| host.text(&path)).take(1).collect();
    let mut drop_ins: Vec<(String, String)> = Vec::new();
    for directory in DIRECTORIES {
        let directory = format!("{directory}/{unit}.d");
        for name in host.names(&directory) {
            // a stronger directory hides files of the same name
            if name.ends_with(".conf") && !drop_ins.iter().any(|(known, _)| *known == name) && name != file_name(ours) {
                drop_ins.push((name.clone(), format!("{directory}/{name}")));
            }
        }
    }
    drop_ins.sort();
    texts.extend(drop_ins.into_iter().filter_map(|(_, path)| host.text(&host.follow(&path))));
    texts
}

/// The values of a key in `[Service]`, over all texts; an empty one forgets those before it.
fn values(texts: &[String], key: &str) -> Vec<String> {
    let mut values = Vec::new();
    for text in texts {
        let joined = text.replace("\\\n", " ");
        let mut inside = false;
        for line in joined.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                inside = line == "[Service]";
            } else if let Some((_, value)) = line.split_once('=').filter(|(name, _)| inside && name.trim() == key) {
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }
    values
}

fn start(texts: &[String]) -> Option<String> {
    values(texts, "ExecStart").pop()
}

/// `PATH` as the unit sets it.
fn search_path(texts: &[String]) -> Option<String> {
    let words = values(texts, "Environment").into_iter().flat_map(|value| words(&value));
    words.filter_map(|word| word.strip_prefix("PATH=").map(str::to_owned)).next_back()
}

/// Splits at blanks outside of quotes, and takes the quotes off.
fn words(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (word, after) = first_word(rest);
        words.push(word.trim_matches(['"', '\'']).to_owned());
        rest = after.trim_start();
    }
    words
}

fn first_word(text: &str) -> (&str, &str) {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let end = match quote {
        Some(quote) => text[1..].find(quote).map(|at| at + 2),
        None => text.find(char::is_whitespace),
    };
    text.split_at(end.unwrap_or(text.len()))
}

/// What follows the program on a command line, with the blank before it.
fn arguments(start: &str) -> String {
    let (mut program, mut rest) = first_word(start.trim());
    if program.starts_with(['-', '@', ':', '+', '!', '|']) && program.contains('@') {
        // the word after the program is the name that it gets instead of its own
        (program, rest) = first_word(rest.trim_start());
    }
    debug_assert!(!program.is_empty() || rest.is_empty());
    match rest.trim() {
        "" => String::new(),
        rest => format!(" {rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        for (path, text) in files {
            fs::create_dir_all(host.path(crate::host::parent(path))).unwrap();
            fs::write(host.path(path), text).unwrap();
        }
        (dir, host)
    }

    const OURS: &str = "/etc/systemd/system/containerd.service.d/zz-husk-containerd.conf";

    fn lines(files: &[(&str, &str)]) -> Vec<String> {
        let (_dir, host) = host(files);
        let text = drop_in(&host, "containerd.service", OURS, "/opt/kata.d/containerd-1");
        text.lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn arguments_and_search_path_of_the_unit_stay() {
        let unit = "/usr/lib/systemd/system/containerd.service";
        let program = "/opt/kata.d/containerd-1/bin/containerd";
        let plain =
            "[Unit]\nExecStart=no\n[Service]\nExecStartPre=-/sbin/modprobe overlay\nExecStart=/usr/bin/containerd\n";
        let default = format!("Environment=\"PATH=/opt/kata.d/containerd-1/bin:{PATH}\"");
        assert_eq!(lines(&[(unit, plain)]), ["ExecStart=", &format!("ExecStart={program}"), &default]);
        assert_eq!(lines(&[]), ["ExecStart=", &format!("ExecStart={program}"), &default]);
        let site = "[Service]\nEnvironment=\"A=b c\" PATH=/site/bin\nExecStart=\nExecStart=-/usr/bin/containerd \\\n  --config '/etc/x y.toml'\n";
        let drop_in = "/etc/systemd/system/containerd.service.d/override.conf";
        assert_eq!(
            lines(&[(unit, plain), (drop_in, site), (OURS, "[Service]\nExecStart=/ours --old\n")]),
            [
                "ExecStart=",
                &format!("ExecStart={program} --config '/etc/x y.toml'"),
                "Environment=\"PATH=/opt/kata.d/containerd-1/bin:/site/bin\""
            ]
        );
        let named = "[Service]\nExecStart=@/usr/bin/containerd other --log-level debug\n";
        assert_eq!(lines(&[(unit, named)])[1], format!("ExecStart={program} --log-level debug"));
    }

    #[test]
    fn the_strongest_file_of_a_unit_counts() {
        let weak = "/usr/lib/systemd/system/containerd.service";
        let strong = "/etc/systemd/system/containerd.service";
        let text = |argument: &str| format!("[Service]\nExecStart=/usr/bin/containerd {argument}\n");
        assert!(lines(&[(weak, &text("--weak")), (strong, &text("--strong"))])[1].ends_with(" --strong"));
    }
}
