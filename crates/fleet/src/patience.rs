//! Requests that are tried again when the API server is at fault: unreachable, overloaded, restarting, silent.

use std::time::{Duration, Instant};

/// How long the API server may keep refusing before what needs it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Tries again for [`PATIENCE`].
pub(crate) async fn patiently<T, F: Future<Output = kube::Result<T>>>(attempt: impl FnMut() -> F) -> kube::Result<T> {
    patiently_for(PATIENCE, attempt).await
}

/// Tries again for some time, with growing pauses.
pub(crate) async fn patiently_for<T, F: Future<Output = kube::Result<T>>>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> kube::Result<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let silence = |_| kube::Error::Service("the API server did not answer in time".into());
        match tokio::time::timeout(ANSWER, attempt()).await.map_err(silence).flatten() {
            Err(error) if begun.elapsed() < patience && passing(&error) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            result => return result,
        }
    }
}

fn passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
