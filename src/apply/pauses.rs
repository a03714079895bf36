//! How long to rest before a watch is tried again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// Rests after failures: from a fifth of a second to some seconds, growing until something has come of a try. kube's own
/// go up to half a minute, for which claims, or a person, would wait after each time that the API server was away; and
/// they are the shortest again before each list, whatever becomes of that.
pub struct Pauses {
    /// After a failure, until the next try.
    next: Option<Duration>,
    all: ExponentialBackoff,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: None, all: growing() }
    }
}

impl Pauses {
    /// Rests, if the last try failed.
    pub async fn rest(&mut self) {
        if let Some(pause) = self.next.take() {
            sleep(pause).await;
        }
    }

    /// A try failed.
    pub fn failed(&mut self) {
        self.next = self.all.next();
    }

    /// Something has come of a try.
    pub fn succeeded(&mut self) {
        self.all = growing();
    }
}

fn growing() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(3))
        .with_jitter();
    pauses.without_max_times().build()
}
