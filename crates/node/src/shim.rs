//! Names: architectures, shims, their hypervisors and where their files are in an installation.

use std::fmt;

/// A processor architecture as the environment variables and the payload's index spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// amd64.
    X86_64,
    /// arm64.
    Aarch64,
    /// IBM Z.
    S390x,
    /// POWER, little endian.
    Ppc64le,
}

impl Arch {
    /// Reads what `uname -m` says.
    pub fn from_machine(machine: &str) -> Option<Arch> {
        Some(match machine {
            "x86_64" | "amd64" => Arch::X86_64,
            "aarch64" | "arm64" => Arch::Aarch64,
            "s390x" => Arch::S390x,
            "ppc64le" | "powerpc64le" => Arch::Ppc64le,
            _ => return None,
        })
    }

    /// The suffix of environment variables: `SHIMS_X86_64`.
    pub fn variable(self) -> &'static str {
        match self {
            Arch::X86_64 => "X86_64",
            Arch::Aarch64 => "AARCH64",
            Arch::S390x => "S390X",
            Arch::Ppc64le => "PPC64LE",
        }
    }

    /// The key in the payload's index: `x86_64`.
    pub fn key(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::S390x => "s390x",
            Arch::Ppc64le => "ppc64le",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// Every shim of the payload's 4.x line, whatever its architecture.
const KNOWN: [&str; 26] = [
    "clh",
    "clh-azure",
    "clh-azure-runtime-rs",
    "clh-runtime-rs",
    "dragonball",
    "fc",
    "openvmm-azure-runtime-rs",
    "qemu",
    "qemu-coco-dev",
    "qemu-coco-dev-runtime-rs",
    "qemu-nvidia-cpu",
    "qemu-nvidia-cpu-runtime-rs",
    "qemu-nvidia-gpu",
    "qemu-nvidia-gpu-runtime-rs",
    "qemu-nvidia-gpu-snp",
    "qemu-nvidia-gpu-snp-runtime-rs",
    "qemu-nvidia-gpu-tdx",
    "qemu-nvidia-gpu-tdx-runtime-rs",
    "qemu-runtime-rs",
    "qemu-se",
    "qemu-se-runtime-rs",
    "qemu-snp",
    "qemu-snp-runtime-rs",
    "qemu-tdx",
    "qemu-tdx-runtime-rs",
    "remote",
];

/// Whether a custom runtime may be built on a shim of this name.
pub fn is_known(shim: &str) -> bool {
    KNOWN.contains(&shim) || shim == "stratovirt"
}

/// Whether a shim is of the Rust runtime.
pub fn is_rust(shim: &str) -> bool {
    shim.ends_with("-runtime-rs") || shim == "dragonball"
}

/// The name of the shim's table below `hypervisor` in its configuration.
pub fn hypervisor(shim: &str) -> &'static str {
    match shim {
        _ if shim.starts_with("qemu") => "qemu",
        _ if shim.starts_with("clh") => "clh",
        _ if shim.starts_with("openvmm") => "openvmm",
        "fc" => "firecracker",
        "dragonball" => "dragonball",
        "stratovirt" => "stratovirt",
        "remote" => "remote",
        _ => "qemu",
    }
}

/// The directory of shipped configurations, below the installation.
pub fn defaults(shim: &str) -> &'static str {
    if is_rust(shim) { "share/defaults/kata-containers/runtime-rs" } else { "share/defaults/kata-containers" }
}

/// The shim's program, below the installation.
pub fn program(shim: &str) -> &'static str {
    if is_rust(shim) { "runtime-rs/bin/containerd-shim-kata-v2" } else { "bin/containerd-shim-kata-v2" }
}

/// How a handler differs from its shim's plain one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `kata-<shim>`.
    Plain,
    /// `kata-<shim>-debug`: the guest tells what it does. The plain handler keeps its measurements.
    Debug,
    /// `kata-<shim>-devkit`: like debug, for developers of the guest.
    Devkit,
    /// A user's own handler on a shim's configuration.
    Custom,
}

/// A handler that the container runtime shall serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The name in RuntimeClasses and in the runtime's configuration.
    pub name: String,
    /// The shim behind it.
    pub shim: String,
    /// How it differs.
    pub variant: Variant,
    /// The snapshotter, when it is not the runtime's default.
    pub snapshotter: Option<String>,
    /// Whether images are pulled inside the guest (CRI-O).
    pub guest_pull: bool,
}

/// The directories that hold one directory for each handler, below the installation.
pub const HANDLER_DIRECTORIES: [&str; 3] = [
    "share/defaults/kata-containers/runtimes",
    "share/defaults/kata-containers/runtime-rs/runtimes",
    "share/defaults/kata-containers/custom-runtimes",
];

impl Handler {
    /// The directory of its configuration, below the installation.
    pub fn directory(&self) -> String {
        let defaults = defaults(&self.shim);
        match self.variant {
            Variant::Plain => format!("{defaults}/runtimes/{}", self.shim),
            Variant::Debug => format!("{defaults}/runtimes/{}-debug", self.shim),
            Variant::Devkit => format!("{defaults}/runtimes/{}-devkit", self.shim),
            Variant::Custom => format!("share/defaults/kata-containers/custom-runtimes/{}", self.name),
        }
    }

    /// Its configuration file, below the installation.
    pub fn configuration(&self) -> String {
        format!("{}/configuration-{}.toml", self.directory(), self.shim)
    }

    /// The type name with which containerd finds the shim.
    pub fn runtime_type(&self) -> String {
        format!("io.containerd.{}.v2", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_have_their_places() {
        let handler = |shim: &str, variant| Handler {
            name: format!("kata-{shim}"),
            shim: shim.into(),
            variant,
            snapshotter: None,
            guest_pull: false,
        };
        assert_eq!(
            handler("qemu-snp", Variant::Plain).configuration(),
            "share/defaults/kata-containers/runtimes/qemu-snp/configuration-qemu-snp.toml"
        );
        assert_eq!(
            handler("dragonball", Variant::Debug).configuration(),
            "share/defaults/kata-containers/runtime-rs/runtimes/dragonball-debug/configuration-dragonball.toml"
        );
        assert_eq!(program("qemu-runtime-rs"), "runtime-rs/bin/containerd-shim-kata-v2");
        assert_eq!((hypervisor("clh-azure"), hypervisor("fc"), hypervisor("qemu-tdx")), ("clh", "firecracker", "qemu"));
        assert_eq!(Arch::from_machine("riscv64"), None);
    }
}
