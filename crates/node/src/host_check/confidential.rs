//! Confidential hardware that the shims want: what the processor has, what firmware and kernel have switched on, how many guests it
//! has keys for.

use super::view::{Seen, View};
use super::{Finding, found};
use contract::{Code, Verdict};

/// A kind of confidential hardware and where the kernel tells of it.
struct Kind {
    /// The part of a shim's name that asks for it.
    word: &'static str,
    name: &'static str,
    /// The line of `/proc/cpuinfo`, and the words that it must have.
    line: &'static str,
    features: &'static [&'static str],
    /// Switches that must all be on.
    switches: &'static [&'static str],
    /// A device of the host that guests are made with; empty for none.
    device: &'static str,
    /// The key of `misc.capacity`, or a path.
    keys: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        word: "snp",
        name: "SEV-SNP",
        line: "flags",
        features: &["sev", "sev_es", "sev_snp"],
        switches: &[
            "/sys/module/kvm_amd/parameters/sev",
            "/sys/module/kvm_amd/parameters/sev_es",
            "/sys/module/kvm_amd/parameters/sev_snp",
        ],
        device: "/dev/sev",
        // SNP guests take from the pool of SEV-ES
        keys: "sev_es",
    },
    Kind {
        word: "tdx",
        name: "TDX",
        line: "flags",
        features: &["tdx_host_platform"],
        switches: &["/sys/module/kvm_intel/parameters/tdx"],
        device: "",
        keys: "tdx",
    },
    Kind {
        word: "se",
        name: "Secure Execution",
        line: "facilities",
        // the ultravisor call, and unpacking of encrypted images
        features: &["158", "161"],
        switches: &["/sys/firmware/uv/prot_virt_host"],
        device: "",
        keys: "/sys/firmware/uv/query/max_guests",
    },
];

/// What the hardware of a host is.
enum State {
    On,
    Off(String),
    Unknown(String),
}

/// One kind after the other, for the first shim that asks for it. `exists` tells of the host's devices.
pub(super) fn check(view: &View, shims: &[String], exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let Some(shim) = shims.iter().find(|shim| shim.split('-').any(|part| part == kind.word)) else { continue };
        let state = state(view, kind, exists);
        all.push(features(view, kind, shim, matches!(state, State::On)));
        let on = matches!(state, State::On);
        let (verdict, detail) = match state {
            State::On => (Verdict::Pass, format!("{} is on, as `{shim}` needs", kind.name)),
            State::Off(why) => {
                (Verdict::Warn, format!("`{shim}` needs {}, which this host does not have on: {why}", kind.name))
            }
            State::Unknown(why) => (Verdict::Unknown, format!("`{shim}` needs {}: {why}", kind.name)),
        };
        all.push(found("tee", verdict, Code::TEE_OFF, detail));
        all.push(if on {
            keys(view, kind)
        } else {
            found("tee keys", Verdict::Skip, Code::TEE_KEYS, format!("{} is not seen to be on", kind.name))
        });
    }
    if all.is_empty() {
        let none = "no shim asks for confidential hardware";
        for (name, code) in [("cpu features", Code::TEE_OFF), ("tee", Code::TEE_OFF), ("tee keys", Code::TEE_KEYS)] {
            all.push(found(name, Verdict::Skip, code, none));
        }
    }
    all
}

fn features(view: &View, kind: &Kind, shim: &str, on: bool) -> Finding {
    let (verdict, detail) = match view.cpu_words(kind.line) {
        None => (Verdict::Unknown, format!("/proc/cpuinfo has no line `{}` here", kind.line)),
        Some(words) => {
            let missing: Vec<&str> =
                kind.features.iter().copied().filter(|wanted| !words.iter().any(|word| word == wanted)).collect();
            if missing.is_empty() {
                (Verdict::Pass, format!("{} of {}", kind.features.join(", "), kind.name))
            } else if on {
                // older kernels use what they do not list
                (Verdict::Pass, format!("the kernel uses {} without listing {}", kind.name, missing.join(", ")))
            } else {
                let detail = format!("`{shim}` needs {}; /proc/cpuinfo lacks {}", kind.name, missing.join(", "));
                (Verdict::Warn, detail)
            }
        }
    };
    found("cpu features", verdict, Code::TEE_OFF, detail)
}

fn state(view: &View, kind: &Kind, exists: &dyn Fn(&str) -> bool) -> State {
    for path in kind.switches {
        let switch = view.read(path);
        match (&switch, switch.on()) {
            (_, Some(true)) => {}
            (_, Some(false)) => return State::Off(format!("{path} says no")),
            // without the tree that it would be in, its absence says nothing
            (Seen::Absent, _) if view.is_directory("/sys/module") || view.is_directory("/sys/firmware") => {
                return State::Off(format!("{path} is not there"));
            }
            (seen, None) => return State::Unknown(format!("{path} {}", seen.why())),
        }
    }
    if !kind.device.is_empty() && !exists(kind.device) {
        return State::Off(format!("{} is not there, so nothing can ask the firmware", kind.device));
    }
    State::On
}

/// How many guests there are keys for, and how many are taken.
fn keys(view: &View, kind: &Kind) -> Finding {
    let say = |verdict, detail: String| found("tee keys", verdict, Code::TEE_KEYS, detail);
    if kind.keys.starts_with('/') {
        let seen = view.read(kind.keys);
        return match seen.text().map(str::parse::<u64>) {
            Some(Ok(0)) => say(Verdict::Warn, format!("the ultravisor takes no guests ({})", kind.keys)),
            Some(Ok(most)) => say(Verdict::Pass, format!("the ultravisor takes {most} guests")),
            Some(Err(_)) => say(Verdict::Unknown, format!("{} is not a number", kind.keys)),
            None => say(Verdict::Unknown, format!("{} {}", kind.keys, seen.why())),
        };
    }
    let capacity = view.read("/sys/fs/cgroup/misc.capacity");
    let Some(most) = count(&capacity, kind.keys) else {
        // only the root group has the file, and a container mostly sees its own
        let why = if capacity.text().is_some() { "does not list it" } else { capacity.why() };
        return say(Verdict::Unknown, format!("/sys/fs/cgroup/misc.capacity {why} ({})", kind.keys));
    };
    let used = count(&view.read("/sys/fs/cgroup/misc.current"), kind.keys);
    let shown = used.map_or_else(String::new, |used| format!(", {used} taken"));
    match (most, used) {
        (0, _) => say(
            Verdict::Warn,
            format!("the firmware reserves no keys for {} (misc.capacity: {} 0)", kind.name, kind.keys),
        ),
        (most, Some(used)) if used >= most => {
            say(Verdict::Warn, format!("all {most} keys for {} are taken", kind.name))
        }
        _ => say(Verdict::Pass, format!("{most} keys for {}{shown}", kind.name)),
    }
}

fn count(file: &Seen, key: &str) -> Option<u64> {
    file.text()?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::tests::kernel;
    use super::*;
    use Verdict::{Pass, Skip, Unknown, Warn};

    fn verdicts(shim: &str, files: &[(&str, &str)], device: bool) -> Vec<Verdict> {
        let root = kernel(files);
        let found = check(&View::below(root.path()), &[shim.to_owned()], &|_| device);
        found.into_iter().map(|finding| finding.verdict).collect()
    }

    const SNP: [(&str, &str); 5] = [
        ("proc/cpuinfo", "flags : svm sev sev_es sev_snp\n"),
        ("sys/module/kvm_amd/parameters/sev", "Y\n"),
        ("sys/module/kvm_amd/parameters/sev_es", "Y\n"),
        ("sys/module/kvm_amd/parameters/sev_snp", "Y\n"),
        ("sys/fs/cgroup/misc.capacity", "sev 410\nsev_es 99\n"),
    ];

    /// The files of a host with SNP, some of them with another text.
    fn but(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        let mut files = SNP.to_vec();
        for (path, text) in changes {
            files.retain(|(kept, _)| kept != path);
            if !text.is_empty() {
                files.push((path, text));
            }
        }
        files
    }

    #[test]
    fn sev_snp_is_judged_by_processor_switches_and_keys() {
        for (files, device, wanted) in [
            (but(&[]), true, [Pass, Pass, Pass]),
            (but(&[]), false, [Warn, Warn, Skip]),
            (but(&[("proc/cpuinfo", "flags : svm\n")]), true, [Pass, Pass, Pass]),
            (but(&[("sys/module/kvm_amd/parameters/sev_snp", "N\n")]), true, [Pass, Warn, Skip]),
            (but(&[("sys/module/kvm_amd/parameters/sev_snp", "")]), true, [Pass, Warn, Skip]),
            (but(&[("proc/cpuinfo", "")]), true, [Unknown, Pass, Pass]),
            (but(&[("sys/fs/cgroup/misc.capacity", "")]), true, [Pass, Pass, Unknown]),
            (but(&[("sys/fs/cgroup/misc.capacity", "sev 9\n")]), true, [Pass, Pass, Unknown]),
            (but(&[("sys/fs/cgroup/misc.capacity", "sev 9\nsev_es 0\n")]), true, [Pass, Pass, Warn]),
            (but(&[("sys/fs/cgroup/misc.current", "sev 0\nsev_es 98\n")]), true, [Pass, Pass, Pass]),
            (but(&[("sys/fs/cgroup/misc.current", "sev 0\nsev_es 99\n")]), true, [Pass, Pass, Warn]),
            (vec![], true, [Unknown, Unknown, Skip]),
        ] {
            let mut wanted = wanted.to_vec();
            if !device {
                wanted[0] = Pass;
            }
            assert_eq!(verdicts("qemu-snp", &files, device), wanted, "{files:?}");
        }
    }

    #[test]
    fn tdx_and_secure_execution_are_judged_too() {
        let tdx = [
            ("proc/cpuinfo", "flags : vmx tdx_host_platform\n"),
            ("sys/module/kvm_intel/parameters/tdx", "Y\n"),
            ("sys/fs/cgroup/misc.capacity", "tdx 31\n"),
            ("sys/fs/cgroup/misc.current", "tdx 31\n"),
        ];
        assert_eq!(verdicts("qemu-tdx", &tdx, false), [Pass, Pass, Warn]);
        assert_eq!(verdicts("qemu-tdx", &tdx[..3], false), [Pass, Pass, Pass]);
        assert_eq!(verdicts("qemu-tdx", &SNP, false), [Warn, Warn, Skip]);
        let se = [
            ("proc/cpuinfo", "features : esan3 sie\nfacilities : 0 1 2 158 161\n"),
            ("sys/firmware/uv/prot_virt_host", "1\n"),
            ("sys/firmware/uv/query/max_guests", "0\n"),
        ];
        assert_eq!(verdicts("qemu-se-runtime-rs", &se[..2], false), [Pass, Pass, Unknown]);
        assert_eq!(verdicts("qemu-se", &se, false), [Pass, Pass, Warn]);
        assert_eq!(verdicts("qemu-se", &[se[0], se[1], (se[2].0, "474\n")], false), [Pass, Pass, Pass]);
        assert_eq!(verdicts("qemu-se", &[se[0], (se[1].0, "0\n")], false), [Pass, Warn, Skip]);
        assert_eq!(verdicts("qemu", &se, false), [Skip, Skip, Skip], "an ordinary shim asks for nothing");
        assert_eq!(verdicts("qemu-nvidia-gpu-snp", &SNP, true), [Pass, Pass, Pass]);
    }
}
