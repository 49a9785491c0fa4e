//! Can the processor run sandboxes: virtualization, and whether this host is a virtual machine itself.

use super::view::View;
use super::{Finding, found};
use crate::shim::Arch;
use contract::{Code, Verdict};

/// What `/proc/cpuinfo` tells of virtualization.
enum Virtualization {
    /// It is there, by this name.
    Has(&'static str),
    /// It is not.
    Lacks,
    /// This processor's cpuinfo never tells.
    Untold,
    /// There was nothing to read.
    Unseen,
}

fn virtualization(view: &View, arch: Arch) -> Virtualization {
    let (line, names): (_, &[(&str, &str)]) = match arch {
        Arch::X86_64 => ("flags", &[("vmx", "VT-x (vmx)"), ("svm", "AMD-V (svm)")]),
        Arch::S390x => ("features", &[("sie", "interpretive execution (sie)")]),
        Arch::Aarch64 | Arch::Ppc64le => return Virtualization::Untold,
    };
    let Some(words) = view.cpu_words(line) else { return Virtualization::Unseen };
    match names.iter().find(|(word, _)| words.iter().any(|had| had == word)) {
        Some((_, name)) => Virtualization::Has(name),
        None => Virtualization::Lacks,
    }
}

/// Whether this host runs in a hypervisor; `None` when nothing tells.
fn in_hypervisor(view: &View, arch: Arch) -> Option<bool> {
    match arch {
        Arch::X86_64 => Some(view.cpu_words("flags")?.iter().any(|flag| flag == "hypervisor")),
        // z/VM and KVM add a block of their own; an LPAR is as bare as it gets
        Arch::S390x => Some(view.read("/proc/sysinfo").text()?.lines().any(|line| line.starts_with("VM00"))),
        Arch::Ppc64le => {
            let platform = view.cpu_words("platform")?;
            Some(platform.iter().any(|word| word == "pSeries"))
        }
        Arch::Aarch64 => None,
    }
}

/// The processor's virtualization and the nesting of machines.
pub(super) fn check(view: &View, arch: Arch, needed: bool) -> Vec<Finding> {
    let (name, code) = ("virtualization", Code::NO_VIRTUALIZATION);
    if !needed {
        let why = "no shim makes virtual machines on this host";
        return vec![
            found(name, Verdict::Skip, code, why),
            found("nested virtualization", Verdict::Skip, Code::NESTED_VIRTUALIZATION, why),
        ];
    }
    let inside = in_hypervisor(view, arch);
    let has = virtualization(view, arch);
    let lacks = matches!(has, Virtualization::Lacks);
    let first = match has {
        Virtualization::Has(what) => found(name, Verdict::Pass, code, what),
        Virtualization::Lacks if inside == Some(true) => found(
            name,
            Verdict::Warn,
            code,
            "this host is a virtual machine, and its hypervisor passes no virtualization on: nested virtualization is off there",
        ),
        Virtualization::Lacks => {
            found(name, Verdict::Warn, code, "the processor shows no virtualization; it may be off in the firmware")
        }
        Virtualization::Untold => {
            found(name, Verdict::Skip, code, format!("/proc/cpuinfo of {} does not tell; /dev/kvm does", arch.key()))
        }
        Virtualization::Unseen => {
            found(name, Verdict::Unknown, code, "/proc/cpuinfo does not list the processor's features here")
        }
    };
    vec![first, nesting(view, inside, lacks)]
}

fn nesting(view: &View, inside: Option<bool>, lacks: bool) -> Finding {
    let (name, code) = ("nested virtualization", Code::NESTED_VIRTUALIZATION);
    match inside {
        None => found(name, Verdict::Unknown, code, "nothing here tells whether this host is a virtual machine"),
        Some(true) if lacks => found(name, Verdict::Skip, code, "there is no virtualization that could nest"),
        Some(true) => found(
            name,
            Verdict::Warn,
            code,
            "this host is a virtual machine: sandboxes nest in it, which is slower, and it rarely has confidential hardware",
        ),
        Some(false) => {
            let module = ["kvm_intel", "kvm_amd", "kvm", "kvm_hv"].into_iter().find_map(|module| {
                let on = view.read(&format!("/sys/module/{module}/parameters/nested")).on()?;
                Some(format!(
                    "; guests may nest machines of their own: {} ({module}.nested)",
                    if on { "yes" } else { "no" }
                ))
            });
            found(name, Verdict::Pass, code, format!("not in a virtual machine{}", module.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts on virtualization and nesting with these files.
    fn verdicts(arch: Arch, files: &[(&str, &str)]) -> (Verdict, Verdict) {
        let root = super::super::tests::kernel(files);
        let found = check(&View::below(root.path()), arch, true);
        (found[0].verdict, found[1].verdict)
    }

    #[test]
    fn machines_and_their_processors_are_told_apart() {
        use Verdict::{Pass, Skip, Unknown, Warn};
        let flags = |flags: &str| format!("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: {flags}\n");
        for (arch, files, wanted) in [
            (Arch::X86_64, vec![("proc/cpuinfo", flags("fpu vmx ept"))], (Pass, Pass)),
            (Arch::X86_64, vec![("proc/cpuinfo", flags("fpu svm hypervisor"))], (Pass, Warn)),
            (Arch::X86_64, vec![("proc/cpuinfo", flags("fpu hypervisor"))], (Warn, Skip)),
            (Arch::X86_64, vec![("proc/cpuinfo", flags("fpu"))], (Warn, Pass)),
            (Arch::X86_64, vec![], (Unknown, Unknown)),
            (Arch::X86_64, vec![("proc/cpuinfo", "processor\t: 0\n".to_owned())], (Unknown, Unknown)),
            (
                Arch::S390x,
                vec![
                    ("proc/cpuinfo", "features\t: esan3 zarch sie \n".to_owned()),
                    ("proc/sysinfo", "Manufacturer: IBM\nLPAR Number: 1\n".to_owned()),
                ],
                (Pass, Pass),
            ),
            (
                Arch::S390x,
                vec![
                    ("proc/cpuinfo", "features\t: esan3 zarch\n".to_owned()),
                    ("proc/sysinfo", "LPAR Number: 1\nVM00 Name: A\n".to_owned()),
                ],
                (Warn, Skip),
            ),
            (Arch::Aarch64, vec![("proc/cpuinfo", "Features\t: fp\n".to_owned())], (Skip, Unknown)),
            (Arch::Ppc64le, vec![("proc/cpuinfo", "platform\t: PowerNV\n".to_owned())], (Skip, Pass)),
            (Arch::Ppc64le, vec![("proc/cpuinfo", "platform\t: pSeries\n".to_owned())], (Skip, Warn)),
        ] {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            assert_eq!(verdicts(arch, &files), wanted, "{files:?}");
        }
    }

    #[test]
    fn the_module_tells_whether_guests_may_nest() {
        let cpuinfo = ("proc/cpuinfo", "flags : svm\n");
        let root = super::super::tests::kernel(&[cpuinfo, ("sys/module/kvm_amd/parameters/nested", "1\n")]);
        let found = check(&View::below(root.path()), Arch::X86_64, true);
        assert!(found[1].detail.contains("yes (kvm_amd.nested)"), "{found:?}");
        let none = check(&View::below(root.path()), Arch::X86_64, false);
        assert!(none.iter().all(|finding| finding.verdict == Verdict::Skip), "{none:?}");
    }
}
