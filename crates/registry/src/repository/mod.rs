//! Chart repositories over HTTP: which ones a user has, what they offer, and making one's own.

mod blocks;
mod decode;
mod entry;
mod generate;
mod index;
mod reader;
mod remote;
mod search;
mod write;

pub use entry::{Entry, RepositoryFile, add, remove};
pub use generate::{generate, write_index};
pub use index::{ChartVersion, Index, is_range, select};
pub use reader::IndexReader;
pub(crate) use remote::fetch_all;
pub use remote::{Access, chart_url, fetch_index, update};
pub use search::{Found, Query, search};
