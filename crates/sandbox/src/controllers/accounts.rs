//! What every namespace gets: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

use super::{Context, each, is_conflict, is_gone};
use crate::queue::Queue;
use crate::store::Key;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

/// The ConfigMap with the API server's certificate authority.
const ROOT_CA: &str = "kube-root-ca.crt";
/// Its key.
const CA_KEY: &str = "ca.crt";

/// Runs for ever.
pub(super) async fn run(context: Context) {
    let queue: Queue<String> = Queue::new();
    let stores = context.stores.clone();
    let on_namespace = {
        let queue = queue.clone();
        each(stores.namespaces.subscribe(), move |change| {
            if let Some(namespace) = change.new {
                queue.add(namespace.name_any());
            }
        })
    };
    let on_account = {
        let queue = queue.clone();
        each(stores.service_accounts.subscribe(), move |change| {
            if let (Some(old), None) = (&change.old, &change.new) {
                queue.add(old.namespace().unwrap_or_default());
            }
        })
    };
    let on_config_map = {
        let queue = queue.clone();
        each(stores.config_maps.subscribe(), move |change| {
            if let Some(map) = change.latest().filter(|map| map.metadata.name.as_deref() == Some(ROOT_CA)) {
                queue.add(map.namespace().unwrap_or_default());
            }
        })
    };
    let reconcile = queue.run("accounts", 2, move |namespace| {
        let context = context.clone();
        async move { reconcile(&context, &namespace).await }
    });
    tokio::join!(on_namespace, on_account, on_config_map, reconcile);
}

async fn reconcile(context: &Context, namespace: &str) -> Result<Option<Duration>, kube::Error> {
    let stores = &context.stores;
    let known = stores.namespaces.get(&Key::new("", namespace));
    if known.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
        return Ok(None);
    }
    let metadata = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..Default::default()
    };
    if stores.service_accounts.get(&Key::new(namespace, "default")).is_none() {
        let account = ServiceAccount { metadata: metadata("default"), ..Default::default() };
        tolerate(context.create(&stores.service_accounts, &account).await.map(drop))?;
    }
    let data = Some([(CA_KEY.to_owned(), context.certificate_authority.to_string())].into());
    match stores.config_maps.get(&Key::new(namespace, ROOT_CA)) {
        None => {
            let map = ConfigMap { metadata: metadata(ROOT_CA), data, ..Default::default() };
            tolerate(context.create(&stores.config_maps, &map).await.map(drop))?;
        }
        Some(map) if map.data != data => {
            let patch = Patch::Merge(json!({"data": data}));
            let api = context.api::<ConfigMap>(namespace);
            tolerate(api.patch(ROOT_CA, &PatchParams::default(), &patch).await.map(drop))?;
        }
        Some(_) => {}
    }
    Ok(None)
}

/// Somebody else was faster, or the namespace is on its way out.
fn tolerate(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(error) if is_conflict(&error) || is_gone(&error) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("terminat") => Ok(()),
        other => other,
    }
}
