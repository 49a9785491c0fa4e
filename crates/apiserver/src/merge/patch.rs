//! The patch types other than apply, chosen by content type.

use serde_json::Value;

use super::schema::Schema;
use super::strategic::strategic_merge;
use crate::status::ApiError;

/// A patch type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`.
    Apply,
}

impl PatchType {
    /// From a `Content-Type` header.
    pub fn from_content_type(content_type: &str) -> Option<PatchType> {
        Some(match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::Strategic,
            "application/apply-patch+yaml" => PatchType::Apply,
            _ => return None,
        })
    }
}

/// Applies a JSON, merge or strategic merge patch to an object.
///
/// # Errors
/// 400 for a patch that is malformed, 422 for a JSON patch that does not apply.
pub fn patched(live: &Value, patch: &Value, kind: PatchType, schema: Schema<'_>) -> Result<Value, ApiError> {
    match kind {
        PatchType::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            let mut out = live.clone();
            json_patch::patch(&mut out, &operations).map_err(|e| {
                tracing::debug!(error = %e, "JSON patch does not apply");
                let message = "the server rejected our request due to an error in our request";
                ApiError::new(422, "Invalid", message)
            })?;
            Ok(out)
        }
        PatchType::Merge => {
            let mut out = live.clone();
            json_patch::merge(&mut out, patch);
            Ok(out)
        }
        PatchType::Strategic => strategic_merge(live, patch, schema).map_err(ApiError::bad_request),
        PatchType::Apply => Err(ApiError::internal("an apply patch is not applied as a plain patch")),
    }
}
