//! `watch`: a stream of changes, one JSON line each.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::State;
use super::dispatch::Call;
use super::read::{selection, too_large};
use super::render::{self, Include, View};
use super::table;
use crate::faults::Drops;
use crate::resource::Resource;
use crate::status::ApiError;
use crate::store::{Event, EventKind, Selection, Since, Stored};

/// How often a quiet watch says how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

struct Watcher {
    state: Arc<State>,
    resource: Arc<Resource>,
    selection: Selection,
    view: View,
    storage: String,
    /// Events up to here were sent.
    seen: u64,
    tick: tokio::sync::watch::Receiver<u64>,
    drops: tokio::sync::watch::Receiver<Drops>,
    /// How often watches of this resource had been dropped when this one began.
    dropped: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Objects to send first, as added; then maybe the bookmark that ends them.
    initial: Option<Vec<Arc<Stored>>>,
    initial_bookmark: bool,
    columns_sent: bool,
    ended: bool,
}

pub(crate) fn watch(call: Call) -> Result<Response, ApiError> {
    let selection = selection(&call)?;
    let view = View::of(&call);
    let storage = call.resource.storage();
    let tick = call.state.store.subscribe(&storage);
    let initial_events = call.query.flag("sendInitialEvents");
    let asked = call.query.get("resourceVersion").unwrap_or("0");
    let asked: u64 = asked.parse().map_err(|_| {
        ApiError::bad_request(format!("resourceVersion: Invalid value: {asked:?}: must be a non-negative integer"))
    })?;
    let current = call.state.store.version();
    if asked > current {
        return Err(too_large(asked, current));
    }
    let (seen, initial) = if asked == 0 || initial_events {
        let page = call.state.store.list(&storage, &selection, None, None);
        (page.rv, Some(page.items))
    } else {
        (asked, None)
    };
    let timeout = call.query.number("timeoutSeconds").map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let now = Instant::now();
    let drops = call.state.faults.watch_drops();
    let dropped = drops.borrow().of(&call.resource.plural);
    let watcher = Watcher {
        drops,
        dropped,
        state: call.state,
        resource: call.resource,
        selection,
        view,
        storage,
        seen,
        tick,
        bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        deadline: now + timeout,
        initial,
        initial_bookmark: initial_events && bookmarks,
        columns_sent: false,
        ended: false,
    };
    let stream = stream::unfold(watcher, |mut watcher| async move {
        let chunk = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), watcher))
    });
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(stream)).into_response())
}

impl Watcher {
    /// The next lines; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if let Some(objects) = self.initial.take() {
            for object in objects {
                self.line(&mut out, "ADDED", &object);
            }
            if self.initial_bookmark {
                self.bookmark(&mut out, true);
            }
            if !out.is_empty() {
                return Some(out.freeze());
            }
        }
        loop {
            if self.ended {
                return None;
            }
            self.tick.borrow_and_update();
            match self.state.store.since(&self.storage, self.seen) {
                Since::TooOld(oldest) => {
                    let message = format!("too old resource version: {} ({oldest})", self.seen);
                    let status = ApiError::expired(message).to_status();
                    out.put_slice(json!({"type": "ERROR", "object": status}).to_string().as_bytes());
                    out.put_u8(b'\n');
                    self.ended = true;
                    return Some(out.freeze());
                }
                Since::Events(events) => {
                    for event in events {
                        self.seen = event.rv;
                        self.event(&mut out, &event);
                    }
                }
            }
            if !out.is_empty() {
                return Some(out.freeze());
            }
            let wake = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
            tokio::select! {
                changed = self.tick.changed() => { changed.ok()?; }
                changed = self.drops.changed() => {
                    changed.ok()?;
                    if self.drops.borrow_and_update().of(&self.resource.plural) > self.dropped {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    let over = Instant::now() >= self.deadline;
                    self.ended = over;
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    if !self.bookmarks {
                        return None;
                    }
                    self.bookmark(&mut out, false);
                    return Some(out.freeze());
                }
            }
        }
    }

    /// What the change is for somebody who sees only the selected objects.
    fn event(&mut self, out: &mut BytesMut, event: &Event) {
        let now = event.kind != EventKind::Deleted && self.selection.matches(&event.object);
        let before = event.previous.as_ref().is_some_and(|p| self.selection.matches(p));
        let kind = match (before, now) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        self.line(out, kind, &event.object);
    }

    fn line(&mut self, out: &mut BytesMut, kind: &str, object: &Stored) {
        out.put_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
        match self.view {
            View::Table(include) => {
                let row = table::row(object, &self.resource, include, self.state.now());
                let mut table = table::frame(&self.resource, vec![row]);
                if self.columns_sent {
                    table["columnDefinitions"] = Value::Null;
                }
                self.columns_sent = true;
                table["metadata"] = json!({"resourceVersion": object.rv.to_string()});
                out.put_slice(table.to_string().as_bytes());
            }
            View::Partial => out.put_slice(render::partial(object.value()).to_string().as_bytes()),
            View::Full => out.put_slice(&render::object_json(object, &self.resource)),
        }
        out.put_slice(b"}\n");
    }

    fn bookmark(&mut self, out: &mut BytesMut, end_of_initial: bool) {
        // The version is read before the events: if there are none, this watch has seen everything up to it.
        let version = self.state.store.version();
        if let Since::Events(events) = self.state.store.since(&self.storage, self.seen)
            && events.is_empty()
        {
            self.seen = self.seen.max(version);
        }
        let mut metadata = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version) = match self.view {
            View::Full => (self.resource.kind.clone(), self.resource.api_version()),
            View::Partial => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            View::Table(Include::None | Include::Metadata | Include::Object) => {
                ("Table".into(), "meta.k8s.io/v1".into())
            }
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        out.put_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
        out.put_u8(b'\n');
    }
}
