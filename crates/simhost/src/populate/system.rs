//! What every Linux of the kind has: identity, users, programs, devices, kernel configuration.

use super::{Tree, kernel};
use crate::layout::Flavour;
use crate::spec::Tee;
use std::io;

pub(super) fn install(tree: &Tree<'_>, machine_id: &str) -> io::Result<()> {
    let name = &tree.spec.name;
    tree.mode("/etc/machine-id", &format!("{machine_id}\n"), 0o444)?;
    tree.file("/etc/hostname", &format!("{name}\n"))?;
    tree.file("/etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {name}\n"))?;
    tree.file("/usr/lib/os-release", os_release(tree))?;
    tree.link("/etc/os-release", "../usr/lib/os-release")?;
    tree.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")?;
    tree.file("/etc/fstab", "# /etc/fstab: kept by the administrator\nUUID=0000-0001 / ext4 errors=remount-ro 0 1\n")?;
    tree.file("/etc/containers/policy.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n")?;
    tree.file("/etc/cni/net.d/10-flannel.conflist", CNI)?;
    tree.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=Multi-User System\n")?;
    for directory in [
        "/etc/systemd/system/multi-user.target.wants",
        "/usr/lib/systemd/system",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/opt",
        "/boot",
        "/dev",
        "/root",
        "/home",
        "/srv",
        "/mnt",
        "/var/log",
        "/var/cache",
        "/var/lib",
        "/var/tmp",
        "/opt/cni/bin",
    ] {
        tree.directory(directory)?;
    }
    for name in ["bin", "sbin", "lib"] {
        tree.link(&format!("/{name}"), &format!("usr/{name}"))?;
    }
    tree.link("/var/run", "/run")?;
    tree.link("/var/lock", "/run/lock")?;
    if tree.spec.selinux {
        tree.file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n")?;
        tree.file("/etc/selinux/targeted/contexts/files/file_contexts", FILE_CONTEXTS)?;
        tree.file("/etc/selinux/targeted/contexts/files/file_contexts.subs_dist", "/run /var/run\n/usr/local /usr\n")?;
    }
    for name in ["bridge", "host-local", "loopback", "portmap", "flannel"] {
        tree.program(&format!("/opt/cni/bin/{name}"), name, None)?;
    }
    tree.program("/usr/bin/mkfs.erofs", "mkfs.erofs 1.8.6", None)?;
    tree.file(&format!("/boot/config-{}", kernel::RELEASE), &kernel::config(tree))?;
    tree.file(&format!("/usr/lib/modules/{}/modules.builtin", kernel::RELEASE), "kernel/fs/ext4/ext4.ko\n")?;
    devices(tree)
}

/// Device nodes need privileges to make; empty files stand for them.
fn devices(tree: &Tree<'_>) -> io::Result<()> {
    for name in ["null", "zero", "urandom", "fuse", "net/tun"] {
        tree.mode(&format!("/dev/{name}"), "", 0o666)?;
    }
    if tree.spec.kvm {
        tree.mode("/dev/kvm", "", 0o660)?;
    }
    if tree.spec.vsock {
        tree.mode("/dev/vhost-vsock", "", 0o600)?;
        tree.mode("/dev/vsock", "", 0o666)?;
        tree.mode("/dev/vhost-net", "", 0o600)?;
    }
    match tree.spec.tee {
        Some(Tee::Snp) => tree.mode("/dev/sev", "", 0o600),
        Some(Tee::Tdx) => tree.mode("/dev/sgx_vepc", "", 0o600),
        Some(Tee::Se) | None => Ok(()),
    }
}

fn os_release(tree: &Tree<'_>) -> &'static str {
    match tree.spec.layout().flavour {
        _ if tree.spec.selinux => FEDORA,
        Flavour::Crio | Flavour::K0s => DEBIAN,
        _ => UBUNTU,
    }
}

const UBUNTU: &str = "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION=\"24.04.3 LTS (Noble Numbat)\"\nID=ubuntu\nID_LIKE=debian\n";
const DEBIAN: &str =
    "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nID=debian\n";
const FEDORA: &str =
    "NAME=\"Fedora Linux\"\nVERSION=\"43 (Server Edition)\"\nID=fedora\nVERSION_ID=43\nVARIANT_ID=server\n";

const CNI: &str = r#"{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"#;

/// A few lines of a targeted policy, in its form and order.
const FILE_CONTEXTS: &str = "\
/.*\tsystem_u:object_r:default_t:s0
/etc/.*\tsystem_u:object_r:etc_t:s0
/opt/.*\tsystem_u:object_r:usr_t:s0
/var/.*\tsystem_u:object_r:var_t:s0
/opt(/.*)?/bin(/.*)?\tsystem_u:object_r:bin_t:s0
/opt(/.*)?/libexec(/.*)?\tsystem_u:object_r:bin_t:s0
/opt(/.*)?/lib(64)?(/.*)?\tsystem_u:object_r:lib_t:s0
/opt\t-d\tsystem_u:object_r:usr_t:s0
";
