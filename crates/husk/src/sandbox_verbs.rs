//! `husk sandbox …`: the cluster inside this binary.

use crate::cli::{Place, Sandbox};
use crate::cluster::{self, directory, sandbox_failure};
use crate::error::{Failure, Result};
use crate::screen::{Output, emit};
use contract::Code;
use sandbox::daemon;

pub(crate) fn run(verb: Sandbox) -> Result<()> {
    match verb {
        Sandbox::Up { place, hosts } => up(&place, hosts.as_deref()),
        Sandbox::Down { place } => {
            let directory = directory(&place)?;
            let was = daemon::purge(&directory).map_err(|error| sandbox_failure(&error))?;
            let words = if was { "stopped and removed" } else { "there was none" };
            emit(&format!("sandbox {}: {words}\n", directory.display()));
            Ok(())
        }
        Sandbox::Stop { place } => {
            let directory = directory(&place)?;
            let was = daemon::stop(&directory).map_err(|error| sandbox_failure(&error))?;
            let words = if was { "stopped; `husk sandbox up` goes on" } else { "it was not running" };
            emit(&format!("sandbox {}: {words}\n", directory.display()));
            Ok(())
        }
        Sandbox::Kubeconfig { place } => {
            emit(&format!("{}\n", running(&place)?.kubeconfig.display()));
            Ok(())
        }
        Sandbox::Status { place, output: Output::Json } => {
            let (status, directory) = (running(&place)?, directory(&place)?);
            let (process, kubeconfig) = (status.pid, status.kubeconfig);
            crate::up::print_json(&serde_json::json!({"schema": "husk.sandbox/v1", "directory": directory,
                "process": process, "kubeconfig": kubeconfig}))
        }
        Sandbox::Status { place, output: Output::Text } => {
            let status = running(&place)?;
            emit(&format!(
                "sandbox    {}\nprocess    {}\nkubeconfig {}\n",
                directory(&place)?.display(),
                status.pid,
                status.kubeconfig.display()
            ));
            Ok(())
        }
        Sandbox::Serve { place } => {
            let directory = directory(&place)?;
            let fail = |why: String| Failure::new(Code::SANDBOX_UNUSABLE, format!("{}: {why}", directory.display()));
            let options = sandbox::Options::load(&directory)
                .map_err(|error| fail(error.to_string()))?
                .ok_or_else(|| fail("it has no options; `husk sandbox up` makes a sandbox".to_owned()))?;
            daemon::serve(options).map_err(|error| sandbox_failure(&error))
        }
    }
}

fn up(place: &Place, hosts: Option<&str>) -> Result<()> {
    let directory = directory(place)?;
    let hosts = hosts.map(cluster::hosts).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::plain)?;
    let (place, hosts) = runtime.block_on(cluster::start(&directory, hosts))?;
    emit(&format!("sandbox    {}\n{}\n", sandbox::describe(&hosts), place.hint()));
    Ok(())
}

fn running(place: &Place) -> Result<daemon::Status> {
    let directory = directory(place)?;
    daemon::status(&directory).map_err(|error| sandbox_failure(&error))?.ok_or_else(|| {
        let message = format!("no sandbox runs in {}; `husk sandbox up` starts one", directory.display());
        Failure::new(Code::NO_SANDBOX, message)
    })
}
