//! The one place where the controller reads the clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::Now;

/// Time since the start, which never goes back, and the time of day.
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the ledger takes the time as an argument; this is where it is from"
    )]
    pub fn now(&self) -> Now {
        Now { elapsed: self.start.elapsed(), wall: jiff::Timestamp::now().as_second() }
    }

    /// Waits until `elapsed` after the start, for ever where there is none.
    pub async fn sleep_until(&self, elapsed: Option<Duration>) {
        match elapsed {
            Some(elapsed) => tokio::time::sleep_until(self.start + elapsed).await,
            None => std::future::pending().await,
        }
    }
}
