//! Events: what controllers and kubelets say about an object. The same words again raise the count of the first Event.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde_json::json;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// One thing to say.
#[derive(Clone, Debug)]
struct Note {
    about: ObjectReference,
    kind: &'static str,
    reason: String,
    message: String,
    component: &'static str,
    host: String,
}

/// Records Events without making the caller wait; clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::UnboundedSender<Note>,
    component: &'static str,
    host: String,
}

/// How many Events are remembered to be counted up; the whole memory is dropped when it is full.
const MEMORY: usize = 4096;

impl Recorder {
    /// Starts recording; ends when the last clone is dropped.
    pub fn start(client: Client) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write(client, receiver));
        Recorder { sender, component: "husk-sandbox", host: String::new() }
    }

    /// Returns a recorder that speaks in the name of a component, on a host if it has one.
    pub fn of(&self, component: &'static str, host: &str) -> Self {
        Recorder { sender: self.sender.clone(), component, host: host.to_owned() }
    }

    /// Says something about an object; `kind` is `Normal` or `Warning`.
    pub fn say<K>(&self, about: &K, kind: &'static str, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        let metadata = about.meta();
        let about = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            field_path: None,
        };
        let note = Note {
            about,
            kind,
            reason: reason.to_owned(),
            message: message.into(),
            component: self.component,
            host: self.host.clone(),
        };
        // After shutdown nobody listens any more; an Event is not worth an error.
        let _ = self.sender.send(note);
    }
}

async fn write(client: Client, mut notes: mpsc::UnboundedReceiver<Note>) {
    let mut known: HashMap<String, (String, i32)> = HashMap::new();
    while let Some(note) = notes.recv().await {
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let now = Timestamp::now();
        let about = note.about.uid.as_deref().unwrap_or_default();
        let key = format!("{about}\0{}\0{}\0{}", note.kind, note.reason, note.message);
        if let Some((name, count)) = known.get_mut(&key) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": Time(now)});
            match events.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => continue,
                Err(_) => known.remove(&key), // it has been deleted: write a new one
            };
        }
        let target = note.about.name.clone().unwrap_or_default();
        let name = format!("{target}.{:016x}", rand::random::<u64>());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..Default::default() },
            involved_object: note.about,
            type_: Some(note.kind.to_owned()),
            reason: Some(note.reason),
            message: Some(note.message),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some(note.component.to_owned()),
                host: Some(note.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(note.component.to_owned()),
            reporting_instance: Some(note.host),
            ..Default::default()
        };
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => {
                if known.len() >= MEMORY {
                    known.clear();
                }
                known.insert(key, (name, 1));
            }
            Err(error) => tracing::debug!(%error, %target, "event not recorded"),
        }
    }
}
