//! A kubectl for one cluster, and the objects in what a chart renders.

use crate::programs::on_path;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program and the cluster that it speaks to.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The program that `KUBECTL` names, else the one on the PATH.
    pub(crate) fn find(kubeconfig: &Path) -> Result<Kubectl, String> {
        let program = std::env::var_os("KUBECTL").map(PathBuf::from).or_else(|| on_path("kubectl"));
        Ok(Kubectl { program: program.ok_or("there is no kubectl on the PATH")?, kubeconfig: kubeconfig.into() })
    }

    /// A call of it that lacks its verb.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    /// Applies objects on the server's side; a warning counts as a refusal. The error is what kubectl wrote.
    pub(crate) fn apply(&self, options: &[&str], objects: &str) -> Result<(), String> {
        let mut child = self
            .command()
            .args(["apply", "--server-side", "--force-conflicts", "--filename", "-"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(objects.as_bytes()).map_err(|error| error.to_string())?;
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() && !errors.contains("Warning:") {
            true => Ok(()),
            false => Err(errors),
        }
    }
}

/// The objects of a rendering.
pub(crate) fn documents(rendered: &str) -> Result<Vec<Value>, String> {
    let texts = rendered.split("\n---\n").map(|text| goyaml::to_json(text).map_err(|error| error.to_string()));
    texts.filter(|object| object.as_ref().is_ok_and(|object| object["kind"].is_string()) || object.is_err()).collect()
}
