//! The snapshotters that an installation can bring along: nydus as a service of its own, erofs as containerd's own plugin.

use crate::distribution::{Found, RuntimeKind};
use crate::error::{NodeError, Result};
use crate::image::Image;
use crate::lines::{Setting, setting};
use crate::runtime_layout::Layout;
use crate::session::Session;
use crate::settings::Settings;
use crate::shim::is_rust;
use crate::wanted::{Wanted, Wishes};
use contract::Code;
use toml_edit::{Array, Value};

/// Programs of the nydus snapshotter in the payload.
pub const NYDUS_FILES: [&str; 3] = ["containerd-nydus-grpc", "nydus-overlayfs", "config-guest-pulling.toml"];

/// Whether nydus is asked for.
pub fn nydus(asked: &Settings) -> bool {
    asked.setup_snapshotters.iter().any(|name| name == "nydus")
}

/// Whether erofs is asked for.
pub fn erofs(asked: &Settings) -> bool {
    asked.setup_snapshotters.iter().any(|name| name == "erofs")
}

/// Where the nydus programs are in an installation.
pub const NYDUS_DIRECTORY: &str = "nydus-for-kata-tee";

/// What containerd's configuration shall say of the snapshotters.
pub fn containerd_settings(asked: &Settings, layout: &Layout) -> Vec<Setting> {
    let mut all = Vec::new();
    let images: &[&str] = if layout.schema >= 3 {
        &["plugins", "io.containerd.cri.v1.images"]
    } else {
        &["plugins", layout.runtime_plugin(), "containerd"]
    };
    let image_setting = |key: &str, value: Value| -> Setting {
        (images.iter().chain(&[key]).map(|part| (*part).to_owned()).collect(), value)
    };
    if nydus(asked) {
        let name = asked.nydus();
        let name = name.as_str();
        all.push(setting(["proxy_plugins", name, "type"], "snapshot"));
        all.push(setting(["proxy_plugins", name, "address"], nydus_socket(asked)));
        all.push(setting(["proxy_plugins", name, "exports", "root"], format!("/var/lib/{name}")));
        all.push(image_setting("disable_snapshot_annotations", false.into()));
    }
    if erofs(asked) {
        let (snapshotter, differ) = ("io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs");
        let words = |words: &[&str]| Value::Array(words.iter().copied().collect::<Array>());
        all.push(image_setting("discard_unpacked_layers", false.into()));
        all.push(setting(
            ["plugins", "io.containerd.service.v1.diff-service", "default"],
            words(&["erofs", "walking"]),
        ));
        all.push(setting(["plugins", snapshotter, "enable_fsverity"], true));
        all.push(setting(["plugins", snapshotter, "set_immutable"], true));
        all.push(setting(["plugins", snapshotter, "dmverity_mode"], if asked.erofs.dmverity { "on" } else { "off" }));
        all.push(setting(["plugins", snapshotter, "default_size"], if asked.erofs.memory { "0" } else { "10G" }));
        if asked.erofs.merged {
            all.push(setting(["plugins", snapshotter, "max_unmerged_layers"], 0));
        }
        all.push(setting(["plugins", differ, "mkfs_options"], words(&["-T0", "--mkfs-time", "--sort=none"])));
        all.push(setting(["plugins", differ, "enable_tar_index"], false));
        all.push(setting(["plugins", differ, "enable_dmverity"], asked.erofs.dmverity));
    }
    all
}

fn nydus_socket(asked: &Settings) -> String {
    format!("/run/{}/containerd-nydus-grpc.sock", asked.nydus())
}

/// Units of ours that run on the host.
pub fn services(asked: &Settings, found: &Found) -> Vec<String> {
    if nydus(asked) && found.runtime == RuntimeKind::Containerd {
        vec![format!("{}.service", asked.nydus())]
    } else {
        Vec::new()
    }
}

/// The unit file of nydus, and the link with which the runtime's unit wants it. The dependency is a soft one: a snapshotter
/// that crashes must not take the runtime down.
pub fn wishes(asked: &Settings, found: &Found) -> Wishes {
    let mut wishes = Wishes::new();
    for service in services(asked, found) {
        let programs = format!("{}/{NYDUS_DIRECTORY}", asked.home());
        let name = asked.nydus();
        let unit = &found.unit;
        let text = format!(
            "# Written by Husk.\n[Unit]\nDescription=Nydus snapshotter for confidential containers\nAfter=network.target local-fs.target\nBefore={unit}\n\n\
             [Service]\nExecStart={programs}/containerd-nydus-grpc --config {programs}/config-guest-pulling.toml --address {} --root /var/lib/{name}\n\
             RuntimeDirectory={name}\nRestart=always\nRestartSec=2\nKillMode=process\nOOMScoreAdjust=-999\n\n\
             [Install]\nWantedBy={unit}\n",
            nydus_socket(asked)
        );
        wishes.insert(format!("/etc/systemd/system/{service}"), Wanted::Whole(Image::text(text, 0o644)));
        let link = Image::Link { target: format!("../{service}") };
        wishes.insert(format!("/etc/systemd/system/{unit}.wants/{service}"), Wanted::Whole(link));
    }
    wishes
}

/// Whether host and runtime can have what is asked for.
///
/// # Errors
/// [`Code::SNAPSHOTTER_UNAVAILABLE`] with what is missing.
pub fn check(session: &Session, found: &Found) -> Result<()> {
    let asked = session.asked;
    let refuse = |why: String| Err(NodeError::new(Code::SNAPSHOTTER_UNAVAILABLE, why));
    // One list serves all nodes of a cluster: CRI-O, which has no snapshotters, is not meant.
    if found.runtime == RuntimeKind::Crio {
        return Ok(());
    }
    if !asked.setup_snapshotters.is_empty() && found.release() < (1, 7) {
        let names = asked.setup_snapshotters.join(" and ");
        return refuse(format!(
            "`snapshotter.setup` names {names}; containerd {} cannot give a handler a snapshotter of its own (1.7 can)",
            found.version
        ));
    }
    if !erofs(asked) {
        return Ok(());
    }
    if found.release() < (2, 1) {
        return refuse(format!(
            "the erofs snapshotter needs containerd 2.1 or later; this node runs {}",
            found.version
        ));
    }
    let uses_erofs = |shim: &&String| asked.snapshotters.get(*shim).is_some_and(|name| name == "erofs");
    if asked.erofs.merged
        && let Some(shim) = asked.shims.iter().find(|shim| uses_erofs(shim) && !is_rust(shim))
    {
        return refuse(format!(
            "shim `{shim}` is of the Go runtime, which cannot use merged erofs layers; use `{shim}-runtime-rs` or unmerged layers"
        ));
    }
    let kernel = std::fs::read_to_string(session.around.processes.join("filesystems")).unwrap_or_default();
    let built_in = kernel.lines().any(|line| line.split_whitespace().last() == Some("erofs"));
    let module = |release: String| session.host.exists(&format!("/usr/lib/modules/{release}/kernel/fs/erofs"));
    if !kernel.is_empty() && !built_in && !session.host.names("/usr/lib/modules").into_iter().any(module) {
        return refuse(
            "the erofs snapshotter needs a kernel with erofs, and /proc/filesystems does not list it".to_owned(),
        );
    }
    let places = ["/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs", "/usr/local/bin/mkfs.erofs"];
    if !places.iter().any(|path| session.host.exists(path)) {
        return refuse(
            "the erofs snapshotter needs mkfs.erofs (erofs-utils 1.8.2 or later), which is not on this host".to_owned(),
        );
    }
    Ok(())
}
