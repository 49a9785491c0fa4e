//! The error catalogue as a page.

use contract::code::CATALOGUE;
use std::fmt::Write as _;

/// Every entry under a heading of its own.
pub(super) fn all() -> String {
    let mut text = String::new();
    for entry in CATALOGUE {
        let _ = write!(
            text,
            "\n## {}: {}\n\n{}\n\n**What Husk did:** {}\n\n**What to do:** {}\n",
            entry.code, entry.title, entry.meaning, entry.done, entry.next
        );
    }
    text.push('\n');
    text
}
