//! Which handlers a runtime serves, in whichever way its version tells.

use crate::message::StatusResponse;
use std::collections::BTreeSet;

/// Returns the names of the handlers that a status lists, or `None` when this runtime does not tell.
///
/// containerd 2.x and CRI-O list them in `runtime_handlers`, where the empty name stands for the default handler and is
/// left out here. Before 2.0, containerd only shows its configuration, and only when asked verbosely: JSON under
/// `config`, whose `containerd.runtimes` has one key for each handler.
pub fn served(status: &StatusResponse) -> Option<BTreeSet<String>> {
    if !status.runtime_handlers.is_empty() {
        let names = status.runtime_handlers.iter().map(|handler| handler.name.clone());
        return Some(names.filter(|name| !name.is_empty()).collect());
    }
    let config: serde_json::Value = serde_json::from_str(status.info.get("config")?).ok()?;
    let runtimes = config.get("containerd")?.get("runtimes")?.as_object()?;
    Some(runtimes.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RuntimeHandler;

    fn names(names: &[&str]) -> Option<BTreeSet<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_list_of_handlers_counts_before_the_configuration() {
        let mut status = StatusResponse::default();
        assert_eq!(served(&status), None);
        status.info.insert("config".into(), r#"{"containerd":{"runtimes":{"runc":{},"kata-qemu":{}}}}"#.into());
        assert_eq!(served(&status), names(&["runc", "kata-qemu"]));
        status.runtime_handlers =
            ["", "runc"].map(|name| RuntimeHandler { name: name.into(), features: None }).to_vec();
        assert_eq!(served(&status), names(&["runc"]));
    }

    #[test]
    fn a_configuration_of_another_shape_tells_nothing() {
        for config in ["", "not json", "{}", r#"{"containerd":{"runtimes":[]}}"#, r#"{"sandboxImage":"pause"}"#] {
            let mut status = StatusResponse::default();
            status.info.insert("config".into(), config.into());
            assert_eq!(served(&status), None, "{config}");
        }
    }
}
