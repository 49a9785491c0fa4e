//! Many records at once: what their labels tell, and what lists show of them, page by page.

use super::{Entry, Summary, parts, record_key};
use crate::cluster::{Cluster, Resource, Selector};
use crate::codec;
use crate::compact::{Extent, Holder, Page, Wanted};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::thread::available_parallelism;
use tokio::task::JoinHandle;

/// So many records of a list cost the server what a record costs that is read by itself.
pub(super) const READS_OF_A_LIST: usize = 8;
/// Objects in a page of metadata.
const METADATA_IN_PAGE: usize = 2000;
/// Whole records in the first page: they may all be of the largest kind. Further ones follow what was seen.
const FIRST_PAGE: usize = 50;
/// The size in bytes that pages of whole records aim at.
const PAGE_AIM: usize = 4 << 20;
/// A page that would be larger than this, in bytes, is asked for in smaller ones.
const PAGE_LIMIT: usize = 96 << 20;

/// What was read of a record, with its place in the order of the list.
pub(super) type Read = (usize, Result<Summary>);

/// Reads what labels tell of every revision in a namespace, or in all of them when it is empty.
pub(super) async fn index(cluster: &Cluster, resource: &Resource, namespace: &str) -> Result<Vec<Entry>> {
    let selector = Selector::labels("owner=helm");
    let mut entries = Vec::new();
    let mut pages = Pages::new(Extent::Metadata, METADATA_IN_PAGE);
    while let Some(page) = pages.next(cluster, resource, namespace, &selector).await? {
        if page.restarted {
            entries.clear();
        }
        entries.extend(page.holders.into_iter().filter_map(entry));
    }
    Ok(entries)
}

/// Takes out of `wanted` (by namespace and key) what it finds in lists of their namespace, and reads it.
pub(super) async fn summaries(
    cluster: &Cluster,
    resource: &Resource,
    wanted: &mut BTreeMap<(String, String), (usize, Entry)>,
) -> Result<Vec<Read>> {
    let namespaces: BTreeSet<&str> = wanted.keys().map(|(namespace, _)| namespace.as_str()).collect();
    let namespace = if namespaces.len() == 1 { namespaces.first().map_or("", |one| *one) } else { "" }.to_owned();
    let statuses: BTreeSet<String> = wanted.values().map(|(_, entry)| entry.status.to_string()).collect();
    let statuses: Vec<String> = statuses.into_iter().collect();
    let selector = Selector::labels(format!("owner=helm,status in ({})", statuses.join(",")));
    let mut pages = Pages::new(Extent::Whole, FIRST_PAGE);
    let mut found = Vec::new();
    // One page is read while the one before it is unpacked.
    let mut unpacking: Vec<JoinHandle<Vec<Read>>> = Vec::new();
    while !wanted.is_empty() {
        // What is wanted is often the first of all.
        pages.limit = pages.limit.min(wanted.len().max(FIRST_PAGE));
        let Some(page) = pages.next(cluster, resource, &namespace, &selector).await? else { break };
        let mut records = Vec::new();
        for holder in page.holders {
            if let Some((place, entry)) = wanted.remove(&(holder.namespace.clone(), holder.name.clone())) {
                records.push((place, entry, holder));
            }
        }
        collect(&mut unpacking, &mut found).await;
        unpacking = unpack(records);
    }
    collect(&mut unpacking, &mut found).await;
    Ok(found)
}

/// Reads the summary of a record from its text.
pub(super) fn summary(entry: Entry, text: &str) -> Result<Summary> {
    let excerpt = codec::decode_excerpt(text)
        .map_err(|why| Error::BadRecord { key: record_key(&entry.name, entry.version), why })?;
    Ok(Summary::read(entry, excerpt))
}

fn unpack(records: Vec<(usize, Entry, Holder)>) -> Vec<JoinHandle<Vec<Read>>> {
    let share = records.len().div_ceil(available_parallelism().map_or(1, NonZero::get)).max(1);
    let mut records = records.into_iter();
    let mut tasks = Vec::new();
    loop {
        let part: Vec<_> = records.by_ref().take(share).collect();
        if part.is_empty() {
            return tasks;
        }
        let read = |(place, entry, holder)| (place, summary_of(entry, &holder));
        tasks.push(tokio::task::spawn_blocking(move || part.into_iter().map(read).collect()));
    }
}

async fn collect(tasks: &mut Vec<JoinHandle<Vec<Read>>>, found: &mut Vec<Read>) {
    for task in tasks.drain(..) {
        match task.await {
            Ok(read) => found.extend(read),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn summary_of(entry: Entry, holder: &Holder) -> Result<Summary> {
    let bad = |why: &str| Error::BadRecord { key: holder.name.clone(), why: why.to_owned() };
    let data = holder.data.get("release").or_else(|| holder.data.get(parts::OWN_KEY));
    let data = data.ok_or_else(|| bad("the key `release` is missing"))?;
    summary(entry, std::str::from_utf8(data).map_err(|_| bad("it is not text"))?)
}

/// Returns what the labels of a record's object tell; nothing when they are not Helm's.
fn entry(holder: Holder) -> Option<Entry> {
    let label = |key| holder.labels.get(key);
    Some(Entry {
        name: label("name")?.clone(),
        version: label("version")?.parse().ok()?,
        status: label("status")?.parse().unwrap_or_default(),
        namespace: holder.namespace,
        labels: holder.labels,
    })
}

/// A walk through the pages of a list.
struct Pages {
    extent: Extent,
    limit: usize,
    next: String,
    ended: bool,
}

struct Step {
    holders: Vec<Holder>,
    /// The server forgot the moment of the list: what came before this page comes again.
    restarted: bool,
}

impl Pages {
    fn new(extent: Extent, limit: usize) -> Pages {
        Pages { extent, limit, next: String::new(), ended: false }
    }

    async fn next(
        &mut self,
        cluster: &Cluster,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Option<Step>> {
        let mut restarted = false;
        while !self.ended {
            let wanted = Wanted { extent: self.extent, next: &self.next, limit: self.limit, most: PAGE_LIMIT };
            let page = match cluster.compact(resource, namespace, selector, wanted).await {
                Ok(Some(page)) => page,
                Ok(None) if self.limit > 1 => {
                    self.limit = self.limit.div_ceil(4);
                    continue;
                }
                Ok(None) => {
                    let why = format!("an object of more than {PAGE_LIMIT} bytes in a list of {}", resource.plural);
                    return Err(Error::Unreachable(why));
                }
                Err(Error::Api { code: 410, .. }) if !self.next.is_empty() => {
                    self.next.clear();
                    restarted = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.extent == Extent::Whole {
                self.limit = next_limit(self.limit, &page);
            }
            self.ended = page.next.is_empty();
            self.next = page.next;
            return Ok(Some(Step { holders: page.holders, restarted }));
        }
        Ok(None)
    }
}

/// How many objects to ask for after a page: as many as the aim holds of that size, not suddenly many more.
fn next_limit(limit: usize, page: &Page) -> usize {
    let Some(mean) = page.size.checked_div(page.holders.len()) else { return limit };
    (PAGE_AIM / mean.max(1)).clamp(FIRST_PAGE, limit * 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Status;

    #[test]
    fn labels_tell_what_a_record_is() {
        let labels = [("name", "a"), ("version", "10"), ("status", "failed"), ("owner", "helm"), ("team", "blue")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let found = entry(Holder { namespace: "n".into(), labels, ..Holder::default() }).unwrap();
        assert_eq!((found.place(), found.status), (("n", "a", 10), Status::Failed));
        assert_eq!(found.labels["team"], "blue");
        let labels = [("name".to_owned(), "a".to_owned())].into();
        assert_eq!(entry(Holder { labels, ..Holder::default() }), None);
    }

    #[test]
    fn pages_grow_with_small_records_and_shrink_with_large_ones() {
        let page = |count, size| Page { holders: vec![Holder::default(); count], size, ..Page::default() };
        assert_eq!(next_limit(50, &page(50, 50 * 1000)), 400, "not suddenly many");
        assert_eq!(next_limit(400, &page(400, 400 * 10_000)), 419);
        assert_eq!(next_limit(400, &page(400, 400 << 20)), FIRST_PAGE);
        assert_eq!(next_limit(50, &page(0, 10)), 50);
    }
}
