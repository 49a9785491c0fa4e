//! An index as text, byte for byte as Helm writes it.

use super::Index;
use crate::{Error, Result};

impl Index {
    /// YAML with sorted keys.
    ///
    /// # Errors
    /// [`Error::Index`] when a text holds what YAML cannot carry.
    pub fn to_yaml(&self) -> Result<String> {
        let value = serde_json::to_value(self).map_err(|e| Error::Index(e.to_string()))?;
        goyaml::to_yaml(&goyaml::with_json_numbers(value)).map_err(|e| Error::Index(e.to_string()))
    }

    /// JSON, indented, fields in the order of Helm's own types.
    pub fn to_json(&self) -> String {
        crate::go_text::json_indented(self, "  ")
    }
}
