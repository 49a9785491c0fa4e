//! What one path of the host holds: a regular file's bytes, mode and owner, or a symbolic link's target.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The bytes of a file. Serialised as text where they are UTF-8, as hexadecimal digits otherwise.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub struct Content(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Text(String),
    Hex(String),
}

impl From<Content> for Form {
    fn from(content: Content) -> Self {
        match String::from_utf8(content.0) {
            Ok(text) => Form::Text(text),
            Err(error) => Form::Hex(hex::encode(error.into_bytes())),
        }
    }
}

impl TryFrom<Form> for Content {
    type Error = hex::FromHexError;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Ok(Content(match form {
            Form::Text(text) => text.into_bytes(),
            Form::Hex(digits) => hex::decode(digits)?,
        }))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A file or link as it is, or as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// A regular file.
    File {
        /// Permission bits (07777).
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// The bytes.
        content: Content,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as written.
        target: String,
    },
}

impl Image {
    /// A file of root's with this text.
    pub fn text(text: impl Into<String>, mode: u32) -> Self {
        Image::File { mode, uid: 0, gid: 0, content: Content(text.into().into_bytes()) }
    }

    /// The bytes of a file; `None` for a link.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Image::File { content, .. } => Some(&content.0),
            Image::Link { .. } => None,
        }
    }

    /// The text of a file; `None` for a link or bytes that are not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The same file, mode and owner with other bytes.
    #[must_use]
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        match self {
            Image::File { mode, uid, gid, .. } => {
                Image::File { mode: *mode, uid: *uid, gid: *gid, content: Content(text.into().into_bytes()) }
            }
            Image::Link { .. } => Image::text(text, 0o644),
        }
    }

    /// What identifies the content: `sha256:…` of the bytes, or `link:…`. Mode and owner do not count, so that somebody's
    /// `chmod` is kept instead of being taken for a changed file.
    pub fn digest(&self) -> String {
        match self {
            Image::File { content, .. } => format!("sha256:{}", hex::encode(Sha256::digest(&content.0))),
            Image::Link { target } => format!("link:{target}"),
        }
    }
}

/// The digest of what a path holds, `absent` when it holds nothing.
pub fn digest_of(image: Option<&Image>) -> String {
    image.map_or_else(|| "absent".to_owned(), Image::digest)
}
