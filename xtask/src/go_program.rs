//! Programs that are built from their Go modules, because no package has the version that is wanted.

use crate::programs::{root, run};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// A program of a Go module.
pub(crate) struct GoProgram {
    /// File name of the result.
    pub(crate) name: &'static str,
    /// The module.
    pub(crate) module: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The package with `main`.
    pub(crate) package: &'static str,
    /// Build tags.
    pub(crate) tags: &'static str,
}

/// The Helm that the goldens were recorded with.
pub(crate) const HELM: GoProgram = GoProgram {
    name: "helm",
    module: "helm.sh/helm/v4",
    version: "v4.3.1",
    package: "helm.sh/helm/v4/cmd/helm",
    tags: "",
};

/// The last line before it, of which users have 3.8 and newer.
pub(crate) const HELM_3: GoProgram = GoProgram {
    name: "helm3",
    module: "helm.sh/helm/v3",
    version: "v3.19.0",
    package: "helm.sh/helm/v3/cmd/helm",
    tags: "",
};

/// The containerd of the sandbox's first kubeadm host; Debian's own knows no snapshotter of a handler.
pub(crate) const CONTAINERD_1_7: GoProgram = GoProgram {
    name: "containerd-1.7",
    module: "github.com/containerd/containerd",
    version: "v1.7.27",
    package: "github.com/containerd/containerd/cmd/containerd",
    tags: "no_btrfs",
};

/// The containerd whose configuration has schema 3, and whose drop-ins are merged into plugins.
pub(crate) const CONTAINERD_2_1: GoProgram = GoProgram {
    name: "containerd-2.1",
    module: "github.com/containerd/containerd/v2",
    version: "v2.1.9",
    package: "github.com/containerd/containerd/v2/cmd/containerd",
    tags: "no_btrfs",
};

/// The CRI-O of the same release as the Kubernetes that nodes run; without seccomp, which takes cgo.
pub(crate) const CRI_O: GoProgram = GoProgram {
    name: "crio",
    module: "github.com/cri-o/cri-o",
    version: "v1.34.0",
    package: "github.com/cri-o/cri-o/cmd/crio",
    tags: "containers_image_openpgp exclude_graphdriver_btrfs exclude_graphdriver_devicemapper",
};

impl GoProgram {
    /// Returns the module's own files, as Go keeps them.
    pub(crate) fn sources(&self) -> Result<PathBuf, String> {
        let module = format!("{}@{}", self.module, self.version);
        let told = run(Command::new("go").args(["mod", "download", "-json", &module]))?;
        let told: Value = serde_json::from_slice(&told.stdout).map_err(|error| format!("{module}: {error}"))?;
        told["Dir"].as_str().map(PathBuf::from).ok_or_else(|| format!("{module}: Go does not say where it is"))
    }

    /// Returns the program, built once below `target/real`.
    pub(crate) fn built(&self) -> Result<PathBuf, String> {
        let place = root().join("target/real");
        let program = place.join(format!("{}-{}", self.name, self.version));
        if program.is_file() {
            return Ok(program);
        }
        // Two of us may want it at once: the second waits for what the first has begun.
        let held = |error: std::io::Error| format!("{}: {error}", place.display());
        std::fs::create_dir_all(&place).map_err(held)?;
        let lock = std::fs::File::create(place.join(format!("{}.lock", self.name))).map_err(held)?;
        lock.lock().map_err(held)?;
        if program.is_file() {
            return Ok(program);
        }
        println!("building {} {} from its Go module", self.name, self.version);
        // A module of our own that needs the program's: `go install` refuses modules with replace directives.
        let module = place.join("modules").join(self.name);
        let fail = |error: std::io::Error| format!("{}: {error}", module.display());
        std::fs::create_dir_all(&module).map_err(fail)?;
        let needs = format!("module real\n\ngo 1.24\n\nrequire {} {}\n", self.module, self.version);
        std::fs::write(module.join("go.mod"), needs).map_err(fail)?;
        let import = format!("//go:build tools\n\npackage real\n\nimport _ \"{}\"\n", self.package);
        std::fs::write(module.join("tools.go"), import).map_err(fail)?;
        run(Command::new("go").args(["mod", "tidy", "-e"]).current_dir(&module))?;
        let fresh = program.with_extension("new");
        run(Command::new("go")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-tags", self.tags, "-o"])
            .arg(&fresh)
            .arg(self.package)
            .env("CGO_ENABLED", "0")
            .current_dir(&module))?;
        std::fs::rename(&fresh, &program).map_err(fail)?;
        Ok(program)
    }
}

/// A program of our own in `xtask/go/FOLDER`.
pub(crate) fn own(name: &str, folder: &str, tags: &str) -> Result<PathBuf, String> {
    let sources = root().join("xtask/go").join(folder);
    let place = root().join("target/real");
    let program = place.join(name);
    let fail = |error: std::io::Error| format!("{}: {error}", program.display());
    std::fs::create_dir_all(&place).map_err(fail)?;
    // Go's own cache makes the second call short.
    run(Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-tags", tags, "-o"])
        .arg(&program)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(&sources))?;
    Ok(program)
}
