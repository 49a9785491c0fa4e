//! Requests side by side, not too many at once.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

/// How many requests are under way at once.
const LIMIT: usize = 8;

/// Runs tasks side by side and returns their results in the order of the tasks.
///
/// The tasks come boxed: a closure over borrowed items inside an async function would make that function's future
/// impossible to spawn.
pub(crate) async fn side_by_side<R>(tasks: Vec<BoxFuture<'_, R>>) -> Vec<R> {
    stream::iter(tasks).buffered(LIMIT).collect().await
}
