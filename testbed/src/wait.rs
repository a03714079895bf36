//! Waiting for conditions of other processes, which can only be asked again and again.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long a condition that concerns the control plane may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is something; `None` once `limit` is over.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, ask()).await {
            Ok(Some(answer)) => return Some(answer),
            Ok(None) => tokio::time::sleep(PAUSE).await,
            Err(_) => return None,
        }
    }
}
