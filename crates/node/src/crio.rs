//! What CRI-O's configuration shall say of our handlers.

use crate::lines::{Setting, setting};
use crate::runtime_layout::{Layout, Route};
use crate::settings::Settings;
use crate::shim::program;
use crate::wanted::{Wanted, Wishes};
use toml_edit::Array;

/// The file of CRI-O's configuration and what it shall hold. The log level is in the same file, so that it goes when it is
/// switched off.
pub fn wishes(asked: &Settings, layout: &Layout) -> Wishes {
    let Route::Merged(path) = &layout.route else { return Wishes::new() };
    [(path.clone(), Wanted::DropIn { settings: settings(asked) })].into()
}

/// All settings of ours.
pub fn settings(asked: &Settings) -> Vec<Setting> {
    let home = asked.home();
    let mut all =
        vec![setting(["crio", "storage_option"], ["overlay.skip_mount_home=true"].into_iter().collect::<Array>())];
    if asked.debug {
        all.push(setting(["crio", "runtime", "log_level"], "debug"));
    }
    for handler in asked.handlers() {
        let name = handler.name.as_str();
        let mut add =
            |key: &str, value: toml_edit::Value| all.push(setting(["crio", "runtime", "runtimes", name, key], value));
        add("runtime_path", format!("{home}/{}", program(&handler.shim)).into());
        add("runtime_type", "vm".into());
        add("runtime_root", "/run/vc".into());
        add("runtime_config_path", format!("{home}/{}", handler.configuration()).into());
        add("privileged_without_host_devices", true.into());
        if handler.guest_pull {
            add("runtime_pull_image", true.into());
        }
    }
    all
}
