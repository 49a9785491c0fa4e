//! The record of a release: what Helm stores for each revision, field for field.
//!
//! Times keep the offset in which they were written. Fields that this version does not know are carried along, so that
//! a record written by a newer Helm loses nothing when its status changes.

use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// One revision of a release.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Release {
    /// Name of the release.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Times, status, notes.
    #[serde(default)]
    pub info: Info,
    /// The chart in Helm's JSON form (metadata, templates, values, files …), opaque here.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub chart: Value,
    /// The values that the user gave.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// The rendered documents, without hooks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// The hooks.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The revision, from 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: u32,
    /// The namespace of the release.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `ssa` or `csa`; empty means `csa`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply_method: String,
    /// Fields of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
    /// Labels that the user gave; they live in the object's metadata, not in the record.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
}

/// Times, status and texts of a revision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Info {
    /// When the first revision was deployed.
    #[serde(default, deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub first_deployed: Option<Time>,
    /// When this revision was deployed.
    #[serde(default, deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub last_deployed: Option<Time>,
    /// When the release was uninstalled.
    #[serde(default, deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Time>,
    /// What happened last, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The status.
    #[serde(default)]
    pub status: Status,
    /// The revision that this one goes back to; 0 when it is no rollback.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rollback_revision: u32,
    /// The rendered notes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Fields of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A hook of a release.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Hook {
    /// Name of its object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Kind of its object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The file that it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// When it runs.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<HookEvent>,
    /// Its last run.
    #[serde(default, deserialize_with = "null_as_default")]
    pub last_run: HookRun,
    /// Lower runs first.
    #[serde(default, skip_serializing_if = "is_zero_i64")]
    pub weight: i64,
    /// When its object is deleted.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<String>,
    /// When its output is shown.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub output_log_policies: Vec<String>,
    /// Fields of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One run of a hook.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HookRun {
    /// When it was created on the cluster.
    #[serde(default, deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it came to an end.
    #[serde(default, deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// `Unknown`, `Running`, `Succeeded`, `Failed`, or empty before the first run.
    #[serde(default)]
    pub phase: String,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// Returns the word that Helm stores.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($word => Ok($name::$variant),)* other => Err(format!("unknown word {other:?}")) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// The status of a revision.
    #[derive(Default)]
    Status {
        /// Not known.
        #[default] Unknown = "unknown",
        /// The revision that is on the cluster.
        Deployed = "deployed",
        /// Removed, its record kept.
        Uninstalled = "uninstalled",
        /// A later revision took its place.
        Superseded = "superseded",
        /// It did not come up.
        Failed = "failed",
        /// Being removed.
        Uninstalling = "uninstalling",
        /// Being installed.
        PendingInstall = "pending-install",
        /// Being upgraded to.
        PendingUpgrade = "pending-upgrade",
        /// Being rolled back to.
        PendingRollback = "pending-rollback",
    }
}

words! {
    /// When a hook runs.
    HookEvent {
        /// Before the first object of an installation.
        PreInstall = "pre-install",
        /// After the last object of an installation is ready.
        PostInstall = "post-install",
        /// Before the first object is removed.
        PreDelete = "pre-delete",
        /// After the last object is removed.
        PostDelete = "post-delete",
        /// Before the first object of an upgrade.
        PreUpgrade = "pre-upgrade",
        /// After the last object of an upgrade is ready.
        PostUpgrade = "post-upgrade",
        /// Before the first object of a rollback.
        PreRollback = "pre-rollback",
        /// After the last object of a rollback is ready.
        PostRollback = "post-rollback",
        /// On request.
        Test = "test",
    }
}

impl Status {
    /// Is an operation under way (or was it cut off)?
    pub fn is_pending(self) -> bool {
        matches!(self, Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback)
    }
}

// A word of a later version must not make the whole history unreadable.
impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.parse().unwrap_or(Status::Unknown))
    }
}

impl<'de> Deserialize<'de> for HookEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match word.as_str() {
            "test-success" => Ok(HookEvent::Test), // Helm 2's name
            other => other.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// An instant with the offset in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// The instant.
    pub at: Timestamp,
    /// The offset.
    pub offset: Offset,
}

impl Time {
    /// Returns the present in the local time zone.
    pub fn now() -> Time {
        let now = Zoned::now();
        Time { at: now.timestamp(), offset: now.offset() }
    }

    /// Returns the instant as a local date and time of its offset.
    pub fn zoned(self) -> Zoned {
        self.at.to_zoned(TimeZone::fixed(self.offset))
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        let parser = DateTimeParser::new();
        let at = parser.parse_timestamp(text).map_err(|error| error.to_string())?;
        let pieces = parser.parse_pieces(text).map_err(|error| error.to_string())?;
        Ok(Time { at, offset: pieces.to_numeric_offset().unwrap_or(Offset::UTC) })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset == Offset::UTC {
            write!(f, "{}", self.at)
        } else {
            write!(f, "{}", self.at.display_with_offset(self.offset))
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a time; nothing, null, the empty text of Helm 3 and Go's zero time are all "never".
pub(crate) fn time_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) if text.starts_with("0001-01-01T00:00:00") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_i64(number: &i64) -> bool {
    *number == 0
}

impl Release {
    /// Returns the chart's metadata field as text, or nothing.
    pub fn chart_field(&self, field: &str) -> &str {
        self.chart["metadata"][field].as_str().unwrap_or_default()
    }

    /// Returns whether objects were applied by the server (the newer way).
    pub fn is_server_side(&self) -> bool {
        self.apply_method == SERVER_SIDE
    }

    /// Sets status and description together.
    pub fn set_status(&mut self, status: Status, description: impl Into<String>) {
        self.info.status = status;
        self.info.description = description.into();
    }
}

/// The `apply_method` of releases applied by the server.
pub const SERVER_SIDE: &str = "ssa";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn helm_3_times_and_nulls_are_read() {
        let release: Release = serde_json::from_value(json!({
            "name": "a", "version": 3, "namespace": "n", "config": null, "hooks": null,
            "info": {
                "first_deployed": "2024-05-01T10:00:00.123456789+02:00", "last_deployed": "0001-01-01T00:00:00Z",
                "deleted": "", "status": "deployed"
            }
        }))
        .unwrap();
        let first = release.info.first_deployed.unwrap();
        assert_eq!(first.to_string(), "2024-05-01T10:00:00.123456789+02:00");
        assert_eq!(first.zoned().hour(), 10);
        assert_eq!((release.info.last_deployed, release.info.deleted), (None, None));
        assert_eq!(release.info.status, Status::Deployed);
        assert!(!release.is_server_side());
    }

    #[test]
    fn fields_of_other_versions_survive() {
        let text = json!({
            "name": "a", "info": {"status": "deployed", "mood": "fine"}, "version": 1, "namespace": "n", "sequencing": {"a": 1},
            "hooks": [{"name": "h", "kind": "Job", "last_run": {"phase": ""}, "events": ["test-success"], "x": 1}]
        });
        let release: Release = serde_json::from_value(text.clone()).unwrap();
        let back = serde_json::to_value(&release).unwrap();
        assert_eq!(back["sequencing"], text["sequencing"]);
        assert_eq!(back["info"], text["info"]);
        assert_eq!(back["hooks"][0]["x"], 1);
        assert_eq!(back["hooks"][0]["events"][0], "test");
    }

    #[test]
    fn an_unknown_status_is_no_error() {
        let info: Info = serde_json::from_value(json!({"status": "sleeping"})).unwrap();
        assert_eq!(info.status, Status::Unknown);
    }
}
