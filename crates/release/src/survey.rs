//! What is there of many objects: one list for each kind and namespace where that asks less of the server than reading
//! them one by one.

use crate::apply::Item;
use crate::cluster::{Cluster, Resource};
use crate::error::{Error, Result};
use crate::parallel::side_by_side;
use futures::FutureExt;
use serde_json::Value;
use std::collections::HashMap;

/// Fewer objects than this of a kind in a namespace are read one by one.
const WORTH_A_LIST: usize = 4;

/// The metadata of an object that is on the cluster, or nothing; an error when that could not be learned.
pub(crate) type Seen = Result<Option<Value>>;

/// Looks for objects and returns what was seen of each, in their order. Of objects that are there at least the metadata
/// is returned; the rest may be left out. One whose name the server is to choose is never there.
///
/// A kind of which there are several is listed, but never much more than is asked for: in a namespace full of objects
/// of others, and where listing is not allowed, each one is read by itself.
pub(crate) async fn survey(cluster: &Cluster, items: &[&Item]) -> Vec<Seen> {
    let mut places: HashMap<(&Resource, &str), Vec<usize>> = HashMap::new();
    let mut seen: Vec<Option<Seen>> = items.iter().map(|item| item.generates_name().then_some(Ok(None))).collect();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.generates_name()) {
        places.entry((&item.resource, item.id.namespace.as_str())).or_default().push(index);
    }
    let mut lists = Vec::new();
    for ((resource, namespace), members) in &places {
        if members.len() >= WORTH_A_LIST {
            lists.push(listed(cluster, resource, namespace, members, items).boxed());
        }
    }
    for (index, answer) in side_by_side(lists).await.into_iter().flatten() {
        seen[index] = Some(answer);
    }
    let open: Vec<usize> = (0..items.len()).filter(|index| seen[*index].is_none()).collect();
    let mut reads = Vec::new();
    for index in &open {
        let Item { resource, id, .. } = items[*index];
        reads.push(cluster.get(resource, &id.namespace, &id.name).boxed());
    }
    for (index, answer) in open.into_iter().zip(side_by_side(reads).await) {
        seen[index] = Some(answer);
    }
    seen.into_iter().flatten().collect()
}

/// Returns what one page of a list tells about items of one kind and namespace: nothing of those that may be on a later
/// page, nothing at all when there is no list to be had.
async fn listed(
    cluster: &Cluster,
    resource: &Resource,
    namespace: &str,
    members: &[usize],
    items: &[&Item],
) -> Vec<(usize, Seen)> {
    let (objects, complete) = match cluster.first_metadata(resource, namespace, 2 * members.len() + 100).await {
        Ok(page) => page,
        // The server was waited for; it is not waited for again for every single one.
        Err(Error::Unreachable(why)) => {
            return members.iter().map(|index| (*index, Err(Error::Unreachable(why.clone())))).collect();
        }
        Err(_) => return vec![],
    };
    let found: HashMap<&str, &Value> =
        objects.iter().filter_map(|object| Some((object["metadata"]["name"].as_str()?, object))).collect();
    let mut told = Vec::new();
    for index in members {
        let object = found.get(items[*index].id.name.as_str());
        if complete || object.is_some() {
            told.push((*index, Ok(object.map(|object| (*object).clone()))));
        }
    }
    told
}
