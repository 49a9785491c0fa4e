//! A complete Kata configuration file for each shim, in Kata's own keys.

use super::components::{Shim, installed};
use std::fmt::Write;

/// Returns the text of `configuration-<shim>.toml`.
pub(crate) fn configuration(shim: &Shim) -> String {
    let mut text = format!(
        "# Kata Containers configuration of the shim `{}`, as the sandbox's payload ships it.\n\
         # Nothing behind it is real: the sandbox starts no virtual machine.\n\n[hypervisor.{}]\n",
        shim.name, shim.hypervisor
    );
    for (key, value) in hypervisor(shim) {
        let _ = writeln!(text, "{key} = {value}");
    }
    let annotations =
        "[\"enable_iommu\", \"virtio_fs_extra_args\", \"kernel_params\", \"default_vcpus\", \"default_memory\"]";
    let _ = writeln!(text, "enable_annotations = {annotations}");
    text.push_str("enable_debug = false\n\n[factory]\nenable_template = false\n\n");
    let confidential = is_confidential(shim);
    text.push_str("[agent.kata]\nenable_debug = false\nkernel_modules = []\ndebug_console_enabled = false\n");
    let _ = writeln!(text, "dial_timeout = {}", if confidential { 90 } else { 45 });
    let name = match (shim.is_rust(), shim.hypervisor) {
        (true, _) => "name = \"virt_container\"\n",
        _ => "",
    };
    let model = if shim.hypervisor == "remote" { "none" } else { "tcfilter" };
    let _ = write!(
        text,
        "\n[runtime]\n{name}enable_debug = false\ninternetworking_model = \"{model}\"\ndisable_guest_seccomp = true\n\
         sandbox_cgroup_only = {}\nstatic_sandbox_resource_mgmt = {}\nsandbox_bind_mounts = []\nvfio_mode = \"{}\"\n\
         disable_guest_empty_dir = false\nexperimental = []\ncreate_container_timeout = {}\n\
         experimental_force_guest_pull = false\n",
        shim.is_rust(),
        confidential || matches!(shim.hypervisor, "firecracker" | "dragonball" | "openvmm"),
        if shim.name.contains("nvidia-gpu") { "vfio" } else { "guest-kernel" },
        if shim.name.contains("nvidia-gpu") { 600 } else { 60 },
    );
    text
}

fn is_confidential(shim: &Shim) -> bool {
    ["snp", "tdx", "coco-dev"].iter().any(|word| shim.name.contains(word))
}

/// The keys of the hypervisor's table; values are TOML already.
fn hypervisor(shim: &Shim) -> Vec<(&'static str, String)> {
    let quoted = |text: &str| format!("\"{text}\"");
    let mut keys: Vec<(&'static str, String)> = Vec::new();
    let find = |start: &str| shim.components.iter().find_map(|component| installed(component, start));
    if shim.hypervisor == "remote" {
        keys.push(("remote_hypervisor_socket", quoted("/run/peerpod/hypervisor.sock")));
        keys.push(("remote_hypervisor_timeout", "600".to_owned()));
        keys.push(("disable_guest_selinux", "true".to_owned()));
        return keys;
    }
    let program = match shim.hypervisor {
        "clh" => find("cloud-hypervisor"),
        "firecracker" => find("firecracker"),
        "openvmm" => find("openvmm"),
        "stratovirt" => find("stratovirt"),
        "dragonball" => Some(String::new()), // built into the shim
        _ => find("qemu-system"),
    };
    let program = program.unwrap_or_default();
    keys.push(("path", quoted(&program)));
    if !program.is_empty() {
        keys.push(("valid_hypervisor_paths", format!("[\"{program}\"]")));
    }
    let uncompressed = matches!(shim.hypervisor, "clh" | "firecracker" | "dragonball" | "openvmm");
    let kernel = find(if uncompressed { "vmlinux" } else { "vmlinuz" }).or_else(|| find("vmlinu"));
    keys.push(("kernel", quoted(&kernel.unwrap_or_default())));
    keys.push(("image", quoted(&find("kata-containers").unwrap_or_default())));
    keys.push(("rootfs_type", quoted("ext4")));
    keys.push((
        "kernel_params",
        quoted(if is_confidential(shim) { "cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1" } else { "" }),
    ));
    if shim.hypervisor == "firecracker" {
        keys.push(("jailer_path", quoted("/opt/kata/bin/jailer")));
        keys.push(("valid_jailer_paths", "[\"/opt/kata/bin/jailer\"]".to_owned()));
    }
    if shim.hypervisor == "qemu" {
        keys.push(("machine_type", quoted("q35")));
        keys.push(("machine_accelerators", quoted("")));
        keys.push(("cpu_features", quoted("pmu=off")));
        keys.push(("firmware", quoted(&find("OVMF").or_else(|| find("AMDSEV")).unwrap_or_default())));
        keys.push(("firmware_volume", quoted("")));
        keys.push(("pcie_root_port", "0".to_owned()));
    }
    if is_confidential(shim) {
        keys.push(("confidential_guest", (!shim.name.contains("coco-dev")).to_string()));
        if shim.name.contains("snp") {
            keys.push(("sev_snp_guest", "true".to_owned()));
        }
        if shim.name.contains("tdx") {
            keys.push(("tdx_quote_generation_service_socket_port", "4050".to_owned()));
        }
    }
    let memory = if is_confidential(shim) || shim.name.contains("nvidia-gpu") { 2048 } else { 256 };
    for (key, number) in [
        ("default_vcpus", 1),
        ("default_maxvcpus", 0),
        ("default_memory", memory),
        ("memory_slots", 10),
        ("default_bridges", 1),
    ] {
        keys.push((key, number.to_string()));
    }
    match find("virtiofsd") {
        Some(daemon) => {
            keys.push(("shared_fs", quoted("virtio-fs")));
            keys.push(("virtio_fs_daemon", quoted(&daemon)));
            keys.push(("valid_virtio_fs_daemon_paths", format!("[\"{daemon}\"]")));
            keys.push(("virtio_fs_cache", quoted("auto")));
            keys.push(("virtio_fs_cache_size", "0".to_owned()));
            keys.push(("virtio_fs_extra_args", "[\"--thread-pool-size=1\", \"--announce-submounts\"]".to_owned()));
        }
        None => keys.push(("shared_fs", quoted("none"))),
    }
    let driver = match shim.hypervisor {
        "firecracker" | "stratovirt" => "virtio-mmio",
        "clh" | "openvmm" => "virtio-blk-pci",
        "dragonball" => "virtio-blk-mmio",
        _ => "virtio-scsi",
    };
    keys.push(("block_device_driver", quoted(driver)));
    keys.push(("disable_block_device_use", "false".to_owned()));
    keys.push(("disable_guest_selinux", "true".to_owned()));
    keys
}
