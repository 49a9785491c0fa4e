//! What the kernel shows under `/proc` and `/sys`, and how it was configured.

use super::Tree;
use crate::spec::{Arch, Tee};
use std::io;

/// The kernel that simulated hosts run.
pub(crate) const RELEASE: &str = "6.12.48-generic";

pub(super) fn config(tree: &Tree<'_>) -> String {
    let yes = |on: bool| if on { "m" } else { "n" };
    let mut text = format!("# Linux/{} {RELEASE} Kernel Configuration\n", tree.spec.arch.machine());
    for (name, value) in [
        ("VIRTUALIZATION", "y"),
        ("KVM", yes(tree.spec.kvm)),
        ("VHOST_NET", "m"),
        ("VHOST_VSOCK", yes(tree.spec.vsock)),
        ("VSOCKETS", "m"),
        ("EROFS_FS", "m"),
        ("EROFS_FS_ZIP", "y"),
        ("FS_VERITY", "y"),
        ("DM_VERITY", "m"),
        ("OVERLAY_FS", "m"),
        ("SQUASHFS", "m"),
        ("BLK_DEV_LOOP", "m"),
    ] {
        match value {
            "n" => text.push_str(&format!("# CONFIG_{name} is not set\n")),
            value => text.push_str(&format!("CONFIG_{name}={value}\n")),
        }
    }
    for (tee, name) in [(Tee::Snp, "KVM_AMD_SEV"), (Tee::Tdx, "KVM_INTEL_TDX")] {
        if tree.spec.tee == Some(tee) {
            text.push_str(&format!("CONFIG_{name}=y\n"));
        }
    }
    text
}

/// Which KVM module the processor needs.
fn kvm_module(tree: &Tree<'_>) -> Option<&'static str> {
    match (tree.spec.arch, tree.spec.tee) {
        (Arch::Amd64, Some(Tee::Tdx)) => Some("kvm_intel"),
        (Arch::Amd64, _) => Some("kvm_amd"),
        (Arch::Ppc64le, _) => Some("kvm_hv"),
        (Arch::Arm64 | Arch::S390x, _) => None,
    }
}

pub(super) fn boot(tree: &Tree<'_>) -> io::Result<()> {
    let spec = tree.spec;
    let machine = spec.arch.machine();
    tree.file(
        "/proc/version",
        &format!("Linux version {RELEASE} (buildd@{machine}) (gcc 14.2.0) #48 SMP PREEMPT_DYNAMIC\n"),
    )?;
    tree.file(
        "/proc/cmdline",
        &format!("BOOT_IMAGE=/boot/vmlinuz-{RELEASE} root=UUID=0000-0001 ro quiet{}\n", extra(tree)),
    )?;
    tree.file("/proc/cpuinfo", &cpuinfo(tree))?;
    tree.file(
        "/proc/meminfo",
        "MemTotal:       65843412 kB\nMemFree:        48120044 kB\nMemAvailable:   60112300 kB\n",
    )?;
    tree.file("/proc/uptime", "812.44 3021.10\n")?;
    tree.file("/proc/mounts", MOUNTS)?;
    tree.file(
        "/proc/filesystems",
        "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\toverlay\n\text4\n\tsquashfs\n\terofs\n",
    )?;
    tree.file("/proc/modules", &modules(tree))?;
    tree.file("/proc/sys/kernel/arch", &format!("{machine}\n"))?;
    tree.file("/proc/sys/kernel/osrelease", &format!("{RELEASE}\n"))?;
    tree.file("/proc/sys/kernel/hostname", &format!("{}\n", spec.name))?;
    tree.file("/proc/sys/kernel/ostype", "Linux\n")?;
    tree.file("/proc/sys/user/max_user_namespaces", "256000\n")?;
    tree.file("/proc/1/comm", "systemd\n")?;
    tree.file("/proc/1/cgroup", "0::/init.scope\n")?;

    cgroups(tree)?;
    tree.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")?;
    tree.file("/sys/class/dmi/id/sys_vendor", "Simulated Systems\n")?;
    tree.file("/sys/class/dmi/id/product_name", "Husk Sandbox Host\n")?;
    for name in ["overlay", "br_netfilter", "erofs"] {
        tree.directory(&format!("/sys/module/{name}"))?;
    }
    if spec.vsock {
        tree.directory("/sys/module/vhost_vsock")?;
        tree.directory("/sys/module/vhost_net")?;
        tree.directory("/sys/module/vsock")?;
    }
    if spec.kvm {
        tree.directory("/sys/module/kvm/parameters")?;
        if let Some(module) = kvm_module(tree) {
            tree.file(&format!("/sys/module/{module}/parameters/nested"), "1\n")?;
        }
    }
    if spec.arch == Arch::Amd64 && spec.kvm {
        let flag = |on: bool| if on { "Y\n" } else { "N\n" };
        if kvm_module(tree) == Some("kvm_amd") {
            for name in ["sev", "sev_es", "sev_snp"] {
                tree.file(&format!("/sys/module/kvm_amd/parameters/{name}"), flag(spec.tee == Some(Tee::Snp)))?;
            }
        } else {
            tree.file("/sys/module/kvm_intel/parameters/tdx", flag(spec.tee == Some(Tee::Tdx)))?;
        }
    }
    if spec.arch == Arch::S390x {
        let host = if spec.tee == Some(Tee::Se) { "1\n" } else { "0\n" };
        tree.file("/sys/firmware/uv/prot_virt_host", host)?;
        tree.file("/sys/firmware/uv/prot_virt_guest", "0\n")?;
        if spec.tee == Some(Tee::Se) {
            tree.file("/sys/firmware/uv/query/max_guests", "474\n")?;
        }
        let below = if spec.in_machine { "VM00 Name:            HUSK\n" } else { "" };
        tree.file("/proc/sysinfo", &format!("Manufacturer:         IBM\nLPAR Number:          1\n{below}"))?;
    }
    if spec.selinux {
        tree.file("/sys/fs/selinux/enforce", "1")?;
    }
    if spec.in_container {
        tree.file("/run/systemd/container", "docker\n")?;
    }
    Ok(())
}

/// The root of the control groups, with the keys of confidential guests where there are any.
fn cgroups(tree: &Tree<'_>) -> io::Result<()> {
    if tree.spec.cgroups_v1 {
        for name in ["cpu", "memory", "pids", "misc"] {
            tree.file(&format!("/sys/fs/cgroup/{name}/cgroup.procs"), "1\n")?;
        }
        return Ok(());
    }
    tree.file("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")?;
    let keys = match tree.spec.tee {
        Some(Tee::Snp) => [("sev", 410), ("sev_es", 99)].as_slice(),
        Some(Tee::Tdx) => &[("tdx", 31)],
        Some(Tee::Se) | None => &[],
    };
    let list = |of: &dyn Fn(u32) -> u32| -> String {
        keys.iter().map(|(key, most)| format!("{key} {}\n", of(*most))).collect()
    };
    tree.file("/sys/fs/cgroup/misc.capacity", &list(&|most| most))?;
    tree.file("/sys/fs/cgroup/misc.current", &list(&|_| 0))
}

fn extra(tree: &Tree<'_>) -> &'static str {
    match tree.spec.tee {
        Some(Tee::Snp) => " kvm_amd.sev=1 iommu=on",
        Some(Tee::Tdx) => " kvm_intel.tdx=1 nohibernate",
        Some(Tee::Se) => " prot_virt=1",
        None => "",
    }
}

fn cpuinfo(tree: &Tree<'_>) -> String {
    let flags = match (tree.spec.arch, tree.spec.kvm, tree.spec.tee) {
        (Arch::Amd64, true, Some(Tee::Tdx)) => "fpu vme sse sse2 ssse3 sse4_2 avx2 vmx ept tdx_host_platform",
        (Arch::Amd64, true, Some(Tee::Snp)) => "fpu vme sse sse2 ssse3 sse4_2 avx2 svm npt sev sev_es sev_snp",
        (Arch::Amd64, true, _) => "fpu vme sse sse2 ssse3 sse4_2 avx2 svm npt",
        (Arch::Amd64, false, _) => "fpu vme sse sse2 ssse3 sse4_2 avx2 hypervisor",
        _ => "",
    };
    match tree.spec.arch {
        Arch::Amd64 => {
            let vendor = if flags.contains("vmx") { "GenuineIntel" } else { "AuthenticAMD" };
            let inside = if tree.spec.in_machine && !flags.contains("hypervisor") { " hypervisor" } else { "" };
            (0..4)
                .map(|cpu| format!("processor\t: {cpu}\nvendor_id\t: {vendor}\nflags\t\t: {flags}{inside}\n\n"))
                .collect()
        }
        Arch::Arm64 => "processor\t: 0\nFeatures\t: fp asimd aes sha2 atomics\nCPU implementer\t: 0x41\n".to_owned(),
        Arch::S390x => {
            let uv = if tree.spec.tee == Some(Tee::Se) { " 158 161" } else { "" };
            let sie = if tree.spec.kvm { " sie" } else { "" };
            format!(
                "vendor_id       : IBM/S390\n# processors    : 4\nfeatures\t: esan3 zarch stfle msa ldisp{sie}\nfacilities      : 0 1 2 3 4 76 77 129{uv}\n"
            )
        }
        Arch::Ppc64le => {
            let platform = if tree.spec.in_machine { "pSeries" } else { "PowerNV" };
            format!("processor\t: 0\ncpu\t\t: POWER10\nplatform\t: {platform}\n")
        }
    }
}

fn modules(tree: &Tree<'_>) -> String {
    let mut names = vec!["overlay", "br_netfilter", "erofs"];
    if tree.spec.kvm {
        names.push("kvm");
        names.extend(kvm_module(tree));
    }
    if tree.spec.vsock {
        names.extend(["vhost_vsock", "vhost_net", "vsock", "vhost"]);
    }
    names.iter().map(|name| format!("{name} 65536 1 - Live 0x0000000000000000\n")).collect()
}

const MOUNTS: &str = "/dev/vda1 / ext4 rw,relatime,errors=remount-ro 0 0\nsysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\ntmpfs /run tmpfs rw,nosuid,nodev,mode=755 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n";
