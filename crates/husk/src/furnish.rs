//! What a values file takes for granted of its cluster, and a new sandbox does not have yet.
//!
//! `nodeFeatureRules.create` is for clusters in which Node Feature Discovery runs: its kinds have to be known.

use crate::charts;
use crate::cluster::release_failure;
use crate::error::Result;
use crate::screen::Screen;
use kube::Client;
use release::apply::{ApplyOptions, apply_all, resolve};
use release::cluster::Cluster;
use serde_json::Value;

const FEATURES: &str = "nfd.k8s-sigs.io/";

/// Gives a sandbox the definitions of Node Feature Discovery when the objects use its kinds.
pub(crate) async fn furnish(client: &Client, objects: &[Value], screen: &mut Screen) -> Result<()> {
    let used = objects.iter().filter_map(|object| Some((object["apiVersion"].as_str()?, object["kind"].as_str()?)));
    let Some((version, kind)) = used.clone().find(|(version, _)| version.starts_with(FEATURES)) else { return Ok(()) };
    let cluster = Cluster::new(client.clone());
    if cluster.resource(version, kind).await.map_err(|error| release_failure(&error))?.is_some() {
        return Ok(());
    }
    for crd in charts::load("kata-deploy")?.crds() {
        let objects = release::object::parse_manifest(&crd.file.text()).map_err(|error| release_failure(&error))?;
        let items = resolve(&cluster, objects, "").await.map_err(|error| release_failure(&error))?;
        apply_all(&cluster, &items, ApplyOptions::default(), &mut Vec::new())
            .await
            .map_err(|error| release_failure(&error))?;
    }
    screen.step("sandbox", "the kinds of Node Feature Discovery were added: the values take them for granted");
    Ok(())
}
