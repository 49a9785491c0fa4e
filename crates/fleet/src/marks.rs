//! The Node labels of an installation that is under way.

use contract::label;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Returns the label changes that claim a node for an installation under way, or `None` when nothing has to change.
///
/// The installation's own mark becomes `false`; the shared label too, unless another installation is served there.
pub(crate) fn claim(labels: &BTreeMap<String, String>, install: &str) -> Option<BTreeMap<String, String>> {
    let own = label::install_mark(install);
    let served_by_another =
        labels.iter().any(|(key, value)| key.starts_with(label::INSTALL_MARK_PREFIX) && *key != own && value == "true");
    let mut wanted = BTreeMap::from([(own, "false".to_owned())]);
    if !served_by_another {
        wanted.insert(label::KATA_RUNTIME.to_owned(), "false".to_owned());
    }
    wanted.retain(|key, value| labels.get(key) != Some(value));
    (!wanted.is_empty()).then_some(wanted)
}

/// Writes labels of a Node, provided that it is still the one of this identity.
pub(crate) async fn set(client: &Client, node: &str, uid: &str, labels: &BTreeMap<String, String>) -> kube::Result<()> {
    let patch: Value = json!({"metadata": {"uid": uid, "labels": labels}});
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    api.patch_metadata(node, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_leaves_the_shared_label_to_an_install_that_is_served() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let fresh = claim(&BTreeMap::new(), "default").unwrap();
        assert_eq!(fresh.len(), 2);
        let beside = labels(&[("kata-deploy.katacontainers.io/other", "true"), (label::KATA_RUNTIME, "true")]);
        assert_eq!(claim(&beside, "default").unwrap(), labels(&[("kata-deploy.katacontainers.io/default", "false")]));
        let again = labels(&[("kata-deploy.katacontainers.io/default", "false"), (label::KATA_RUNTIME, "false")]);
        assert_eq!(claim(&again, "default"), None);
    }
}
