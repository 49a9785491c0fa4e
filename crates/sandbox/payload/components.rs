//! Which components each shim needs on x86_64, and which files each component holds. Names are upstream's.

/// The payload's version, as upstream numbers its releases.
pub(crate) const VERSION: &str = "4.1.0";

/// One shim: its name, the table of its hypervisor, and its components.
pub(crate) struct Shim {
    pub(crate) name: &'static str,
    pub(crate) hypervisor: &'static str,
    pub(crate) components: &'static [&'static str],
}

impl Shim {
    /// Tells whether the shim is of the Rust runtime, which lives in directories of its own.
    pub(crate) fn is_rust(&self) -> bool {
        self.name.ends_with("-runtime-rs") || self.name == "dragonball"
    }
}

const fn shim(name: &'static str, hypervisor: &'static str, components: &'static [&'static str]) -> Shim {
    Shim { name, hypervisor, components }
}

/// The shims that upstream publishes for x86_64.
#[rustfmt::skip]
pub(crate) const SHIMS: &[Shim] = &[
    shim("clh", "clh", &["shim-v2-go", "cloud-hypervisor", "virtiofsd", "kernel", "rootfs-image"]),
    shim("clh-azure", "clh", &["shim-v2-go", "cloud-hypervisor", "virtiofsd", "kernel", "rootfs-image-mariner"]),
    shim("clh-azure-runtime-rs", "clh", &["shim-v2-rust", "cloud-hypervisor", "virtiofsd", "kernel", "rootfs-image-mariner"]),
    shim("clh-runtime-rs", "clh", &["shim-v2-rust", "cloud-hypervisor", "virtiofsd", "kernel", "rootfs-image"]),
    shim("dragonball", "dragonball", &["shim-v2-rust", "kernel-dragonball-experimental", "rootfs-image"]),
    shim("fc", "firecracker", &["shim-v2-go", "firecracker", "kernel", "rootfs-image"]),
    shim("openvmm-azure-runtime-rs", "openvmm", &["shim-v2-rust", "openvmm", "kernel", "rootfs-image-mariner"]),
    shim("qemu", "qemu", &["shim-v2-go", "qemu", "virtiofsd", "kernel", "rootfs-image"]),
    shim("qemu-coco-dev", "qemu", &["shim-v2-go", "qemu", "kernel", "rootfs-image-confidential"]),
    shim("qemu-coco-dev-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "kernel", "rootfs-image-confidential"]),
    shim("qemu-nvidia-cpu", "qemu", &["shim-v2-go", "qemu", "virtiofsd", "kernel-nvidia-gpu", "rootfs-image"]),
    shim("qemu-nvidia-cpu-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "virtiofsd", "kernel-nvidia-gpu", "rootfs-image"]),
    shim("qemu-nvidia-gpu", "qemu", &["shim-v2-go", "qemu", "virtiofsd", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu", "ovmf"]),
    shim("qemu-nvidia-gpu-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "virtiofsd", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu", "ovmf"]),
    shim("qemu-nvidia-gpu-snp", "qemu", &["shim-v2-go", "qemu-snp-experimental", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu-confidential", "ovmf-sev"]),
    shim("qemu-nvidia-gpu-snp-runtime-rs", "qemu", &["shim-v2-rust", "qemu-snp-experimental", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu-confidential", "ovmf-sev"]),
    shim("qemu-nvidia-gpu-tdx", "qemu", &["shim-v2-go", "qemu-tdx-experimental", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu-confidential", "ovmf"]),
    shim("qemu-nvidia-gpu-tdx-runtime-rs", "qemu", &["shim-v2-rust", "qemu-tdx-experimental", "kernel-nvidia-gpu", "rootfs-image-nvidia-gpu-confidential", "ovmf"]),
    shim("qemu-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "virtiofsd", "kernel", "rootfs-image"]),
    shim("qemu-snp", "qemu", &["shim-v2-go", "qemu", "kernel", "rootfs-image-confidential", "ovmf-sev"]),
    shim("qemu-snp-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "kernel", "rootfs-image-confidential", "ovmf-sev"]),
    shim("qemu-tdx", "qemu", &["shim-v2-go", "qemu", "kernel", "rootfs-image-confidential", "ovmf"]),
    shim("qemu-tdx-runtime-rs", "qemu", &["shim-v2-rust", "qemu", "kernel", "rootfs-image-confidential", "ovmf"]),
    shim("remote", "remote", &["shim-v2-go"]),
    shim("stratovirt", "stratovirt", &["shim-v2-go", "stratovirt", "virtiofsd", "kernel", "rootfs-image"]),
];

/// What a file of a component is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A program: mode 0755, a script that says what it stands for.
    Program,
    /// Data: mode 0644, a line that says what it stands for.
    Data,
}

/// The files of each component below `opt/kata`, configuration files apart.
#[rustfmt::skip]
pub(crate) const FILES: &[(&str, &[(&str, Kind)])] = &[
    ("cloud-hypervisor", &[("bin/cloud-hypervisor", Kind::Program)]),
    ("firecracker", &[("bin/firecracker", Kind::Program), ("bin/jailer", Kind::Program)]),
    ("kernel", &[("share/kata-containers/vmlinux.container", Kind::Data), ("share/kata-containers/vmlinuz.container", Kind::Data)]),
    ("kernel-dragonball-experimental", &[("share/kata-containers/vmlinux-dragonball-experimental.container", Kind::Data)]),
    ("kernel-nvidia-gpu", &[("share/kata-containers/vmlinuz-nvidia-gpu.container", Kind::Data)]),
    ("openvmm", &[("bin/openvmm", Kind::Program)]),
    ("ovmf", &[("share/ovmf/OVMF.fd", Kind::Data)]),
    ("ovmf-sev", &[("share/ovmf/AMDSEV.fd", Kind::Data)]),
    ("qemu", &[("bin/qemu-system-x86_64", Kind::Program), ("share/kata-qemu/qemu/bios-256k.bin", Kind::Data)]),
    ("qemu-snp-experimental", &[("bin/qemu-system-x86_64-snp-experimental", Kind::Program)]),
    ("qemu-tdx-experimental", &[("bin/qemu-system-x86_64-tdx-experimental", Kind::Program)]),
    ("rootfs-image", &[("share/kata-containers/kata-containers.img", Kind::Data)]),
    ("rootfs-image-confidential", &[("share/kata-containers/kata-containers-confidential.img", Kind::Data)]),
    ("rootfs-image-mariner", &[("share/kata-containers/kata-containers-mariner.img", Kind::Data)]),
    ("rootfs-image-nvidia-gpu", &[("share/kata-containers/kata-containers-nvidia-gpu.img", Kind::Data)]),
    ("rootfs-image-nvidia-gpu-confidential", &[("share/kata-containers/kata-containers-nvidia-gpu-confidential.img", Kind::Data)]),
    ("shim-v2-go", &[("bin/containerd-shim-kata-v2", Kind::Program), ("bin/kata-runtime", Kind::Program), ("bin/kata-monitor", Kind::Program)]),
    ("shim-v2-rust", &[("runtime-rs/bin/containerd-shim-kata-v2", Kind::Program)]),
    ("stratovirt", &[("bin/stratovirt", Kind::Program)]),
    ("virtiofsd", &[("libexec/virtiofsd", Kind::Program)]),
];

/// Returns the first file of a component whose name begins with `start`, as it is named on the host.
pub(crate) fn installed(component: &str, start: &str) -> Option<String> {
    let (_, files) = FILES.iter().find(|(name, _)| *name == component)?;
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    files.iter().find(|(path, _)| base(path).starts_with(start)).map(|(path, _)| format!("/opt/kata/{path}"))
}
