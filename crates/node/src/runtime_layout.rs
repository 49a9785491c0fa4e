//! Where the container runtime's configuration is on a host, and in which schema.

use crate::distribution::{Distribution, Found, RuntimeKind};
use crate::error::{NodeError, Result};
use crate::host::{Host, join, parent};
use crate::lines;
use crate::settings::Settings;
use contract::Code;

/// How our configuration gets into the runtime's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into the main file itself: containerd 1.x replaces whole plugin sections by imported ones, so a drop-in would lose
    /// the rest of the CRI plugin's configuration.
    MainFile,
    /// A file of our own that the main file imports already.
    DropIn(String),
    /// A file of our own, and an entry in the main file's `imports`.
    Import(String),
    /// A file of our own beside files that the distribution merges by itself (k0s, CRI-O).
    Merged(String),
    /// Into the template from which MicroK8s makes the main file by filling in `${…}`. Host path.
    Fillable(String),
    /// A block at the end of the template from which k3s or RKE2 render the main file.
    Template {
        /// The template.
        path: String,
        /// What a template holds that does not exist yet.
        head: &'static str,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The file that the runtime reads first, rendered at its last start where there is a template. Host path.
    pub main: String,
    /// Whether the main file exists.
    pub main_exists: bool,
    /// How ours gets in.
    pub route: Route,
    /// The configuration's schema: 1 (no version key), 2, 3 or later. 0 for CRI-O.
    pub schema: i64,
    /// The handler that the main file names as the default one.
    pub default_runtime: Option<String>,
    /// `runtime_path` is read and not used, as by containerd before 1.6.21: the type has to be the path.
    pub path_is_type: bool,
}

impl Layout {
    /// The name of containerd's CRI plugin, where runtimes are configured.
    pub fn runtime_plugin(&self) -> &'static str {
        match self.schema {
            ..=1 => "cri",
            2 => "io.containerd.grpc.v1.cri",
            _ => "io.containerd.cri.v1.runtime",
        }
    }

    /// Where an administrator's own drop-in goes; `None` where there are no drop-ins.
    pub fn user_drop_in(&self) -> Option<String> {
        match &self.route {
            Route::DropIn(path) | Route::Import(path) | Route::Merged(path) => {
                Some(format!("{}/zz-kata-deploy-user.toml", parent(path)))
            }
            Route::MainFile | Route::Fillable(_) | Route::Template { .. } => None,
        }
    }
}

/// Finds the layout by reading the main file.
///
/// # Errors
/// [`Code::RUNTIME_CONFIG_UNREADABLE`] when the main file is not TOML or has an unknown schema.
pub fn find(settings: &Settings, found: &Found, host: &Host) -> Result<Layout> {
    let ours = format!("{}.toml", settings.suffixed("kata-deploy"));
    if found.runtime == RuntimeKind::Crio {
        let path = format!("/etc/crio/crio.conf.d/{}", settings.suffixed("99-kata-deploy"));
        let main = "/etc/crio/crio.conf".to_owned();
        return Ok(Layout {
            main_exists: host.exists(&main),
            main,
            route: Route::Merged(path),
            schema: 0,
            default_runtime: None,
            path_is_type: false,
        });
    }
    let directory = settings.containerd_directory.clone().unwrap_or_else(|| directory(found.distribution).to_owned());
    let main = match found.distribution {
        _ if settings.containerd_directory.is_some() => settings.containerd_file.clone(),
        Distribution::K0s => "containerd.toml".to_owned(),
        Distribution::Microk8s => "containerd.toml".to_owned(),
        Distribution::K3s | Distribution::Rke2 => "config.toml".to_owned(),
        Distribution::K8s => settings.containerd_file.clone(),
    };
    let main = host.follow(&format!("{directory}/{main}"));
    let two = found.release().0 >= 2;
    let text = match host.image(&main)? {
        None => None,
        Some(image) => Some(image.as_text().map(str::to_owned).ok_or_else(|| unreadable(&main, "not UTF-8 text"))?),
    };
    let document =
        text.as_deref().map(lines::parse).transpose().map_err(|error| unreadable(&main, &error.to_string()))?;
    let schema = match document.as_ref().map(|document| document.get("version")) {
        None => {
            if two {
                3
            } else {
                2
            }
        }
        // containerd 2 takes a file without a version as the newest schema when nothing in it says otherwise
        Some(None) => {
            if two {
                3
            } else {
                1
            }
        }
        Some(Some(version)) => version.as_integer().ok_or_else(|| unreadable(&main, "`version` is not an integer"))?,
    };
    let newest = match found.release() {
        (..=1, _) => 2,
        (2, ..=1) => 3,
        _ => 4,
    };
    if !(1..=newest).contains(&schema) {
        let why = format!("schema version {schema} is not one that containerd {} reads (1 to {newest})", found.version);
        return Err(unreadable(&main, &why));
    }
    let imports = document.as_ref().map(lines::imports).unwrap_or_default();
    let imported =
        |dir: &str| imports.iter().any(|import| import.contains('*') && parent(&join(parent(&main), import)) == dir);
    let plain = settings.containerd_directory.is_some();
    let route = match found.distribution {
        Distribution::K0s if !plain => Route::Merged(format!("{directory}/containerd.d/{ours}")),
        Distribution::K3s | Distribution::Rke2 if !plain => {
            let (template, drop_ins) = if schema >= 3 {
                ("config-v3.toml.tmpl", "config-v3.toml.d")
            } else {
                ("config.toml.tmpl", "config.toml.d")
            };
            let drop_ins = format!("{directory}/{drop_ins}");
            if schema >= 3 && imported(&drop_ins) {
                Route::DropIn(format!("{drop_ins}/{ours}"))
            } else {
                Route::Template { path: format!("{directory}/{template}"), head: "{{ template \"base\" . }}\n" }
            }
        }
        Distribution::Microk8s if !plain => Route::Fillable(microk8s_template(host, &directory)?),
        _ if !two => Route::MainFile,
        _ if imported(&format!("{directory}/conf.d")) => Route::DropIn(format!("{directory}/conf.d/{ours}")),
        _ => Route::Import(format!("{directory}/config.d/{ours}")),
    };
    let path_is_type = found.numbers() < (1, 6, 21);
    let mut layout = Layout { main_exists: text.is_some(), main, route, schema, default_runtime: None, path_is_type };
    let path = ["plugins", layout.runtime_plugin(), "containerd", "default_runtime_name"].map(str::to_owned);
    let name = document.as_ref().and_then(|document| lines::get(document, &path)).and_then(toml_edit::Item::as_str);
    layout.default_runtime = name.map(str::to_owned);
    Ok(layout)
}

/// MicroK8s fills `${…}` into its template, in table names too, so it is no TOML.
fn microk8s_template(host: &Host, directory: &str) -> Result<String> {
    let path = format!("{directory}/containerd-template.toml");
    if host.exists(&path) { Ok(path) } else { Err(unreadable(&path, "MicroK8s' template is missing")) }
}

fn directory(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::K8s => "/etc/containerd",
        Distribution::K3s => "/var/lib/rancher/k3s/agent/etc/containerd",
        Distribution::Rke2 => "/var/lib/rancher/rke2/agent/etc/containerd",
        Distribution::K0s => "/etc/k0s",
        Distribution::Microk8s => "/var/snap/microk8s/current/args",
    }
}

fn unreadable(path: &str, why: &str) -> NodeError {
    NodeError::new(Code::RUNTIME_CONFIG_UNREADABLE, format!("{path}: {why}"))
}
