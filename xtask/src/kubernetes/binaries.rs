//! Kubernetes as one program, built from its Go modules (`xtask/go/kubernetes`).

use crate::programs::{root, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release, as its modules are numbered.
const VERSION: &str = "1.34.4";
/// The names that the program answers to.
const COMPONENTS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet"];

/// Returns the directory with a link for each component; the first call builds, which takes a quarter of an hour.
pub(crate) fn directory() -> Result<PathBuf, String> {
    let place = root().join("target/real/kubernetes").join(format!("v{VERSION}"));
    let program = place.join("kubernetes");
    if !program.is_file() {
        build(&program)?;
    }
    for name in COMPONENTS {
        let link = place.join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink("kubernetes", &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
    }
    Ok(place)
}

fn build(program: &Path) -> Result<(), String> {
    println!("building Kubernetes {VERSION} from its Go modules; this takes a quarter of an hour");
    let place = program.parent().unwrap_or(program);
    std::fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let version = "k8s.io/component-base/version";
    let minor = VERSION.split('.').nth(1).unwrap_or_default();
    // Clients ask the API server for its release, which is not in the modules.
    let stamp = format!(
        "-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor={minor} \
         -X {version}.gitTreeState=clean -X {version}.gitCommit=modules -X {version}.buildDate=1970-01-01T00:00:00Z"
    );
    // Not `.tmp` of a fixed name: two builds at once must not write into each other.
    let fresh = place.join(format!("kubernetes.{}", std::process::id()));
    run(Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &stamp, "-o"])
        .arg(&fresh)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(root().join("xtask/go/kubernetes")))?;
    std::fs::rename(&fresh, program).map_err(|error| format!("{}: {error}", program.display()))
}
