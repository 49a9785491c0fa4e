//! Services get a cluster address and node ports.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::resource::Resource;
use crate::server::State;
use crate::status::{ApiError, FieldError};
use crate::store::Selection;

/// Node ports are taken from here.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30000..=32767;

/// Gives a new service its addresses and ports.
pub(crate) fn allocate(state: &State, resource: &Resource, service: &mut Value) -> Result<(), ApiError> {
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_string();
    if kind == "ExternalName" {
        return Ok(());
    }
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let others = state.store.list("services", &Selection::default(), None, None).items;
    let addresses: BTreeSet<&str> = others.iter().filter_map(|s| s.value()["spec"]["clusterIP"].as_str()).collect();
    let address = match service["spec"]["clusterIP"].as_str().filter(|a| !a.is_empty()) {
        Some("None") => "None".to_string(),
        Some(wanted) if addresses.contains(wanted) => {
            let why = "failed to allocate IP: provided IP is already allocated";
            let error = FieldError::invalid("spec.clusterIPs", &json!([wanted]), why);
            return Err(ApiError::invalid(resource, &name, &[error]));
        }
        Some(wanted) => wanted.to_string(),
        None => {
            // 10.96.0.1 is the API server's; the first addresses stay free for services that want a fixed one.
            let mut free = (0x0100..0xFFFFu32).map(|n| format!("10.96.{}.{}", n >> 8, n & 0xFF));
            free.find(|a| !addresses.contains(a.as_str()))
                .ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?
        }
    };
    service["spec"]["clusterIP"] = address.clone().into();
    service["spec"]["clusterIPs"] = json!([address]);
    service["status"] = json!({"loadBalancer": {}});
    if kind == "ClusterIP" {
        return Ok(());
    }
    let mut taken: BTreeSet<u64> = others
        .iter()
        .flat_map(|s| s.value()["spec"]["ports"].as_array().into_iter().flatten())
        .filter_map(|p| p["nodePort"].as_u64())
        .collect();
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].as_u64().is_none_or(|p| p == 0) {
            let free = NODE_PORTS.clone().find(|p| !taken.contains(p));
            let free = free.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
            taken.insert(free);
            port["nodePort"] = free.into();
        }
    }
    Ok(())
}

/// Addresses that an update leaves out stay.
pub(crate) fn keep_addresses(live: &Value, new: &mut Value) {
    for field in ["clusterIP", "clusterIPs"] {
        if new["spec"].get(field).is_none_or(|v| v.is_null() || v == "")
            && let Some(value) = live["spec"].get(field)
        {
            new["spec"][field] = value.clone();
        }
    }
}
