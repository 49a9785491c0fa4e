//! What can go wrong, in the words that Go's library uses.

/// A text could not be read, or a value could not be written.
///
/// `Display` is the message of the Go library without the prefixes that its callers add; [`Error::in_conversion`] adds
/// the usual one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not YAML, or uses it in a way the reader refuses (`yaml: line 2: ...`).
    #[error("yaml: {0}")]
    Yaml(String),
    /// The YAML is fine but has no JSON form, as with a null key or an infinite number.
    #[error("{0}")]
    NotJson(String),
    /// The JSON form is not of the kind the caller asked for.
    #[error("while decoding JSON: json: cannot unmarshal {found} into Go value of type {wanted}")]
    Kind {
        /// The JSON kind that was found: `string`, `number`, `bool`, `array` or `object`.
        found: &'static str,
        /// The Go type that was asked for, in Go's spelling.
        wanted: &'static str,
    },
}

impl Error {
    /// The message with the prefix that `yaml.Unmarshal` puts in front of it, which is what Helm prints.
    pub fn in_conversion(&self) -> String {
        match self {
            Error::Yaml(_) | Error::NotJson(_) => format!("error converting YAML to JSON: {self}"),
            Error::Kind { .. } => format!("error unmarshaling JSON: {self}"),
        }
    }
}
