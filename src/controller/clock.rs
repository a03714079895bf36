//! The clock that decisions are made by. What is merely timed reads its own.

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

    pub fn now(&self) -> Now {
        Now { elapsed: self.start.elapsed(), wall: wall().as_second() }
    }

    /// Waits until `elapsed` after the start; for ever where there is none, or no clock goes so far.
    pub async fn sleep_until(&self, elapsed: Option<Duration>) {
        match elapsed.and_then(|elapsed| self.start.checked_add(elapsed)) {
            Some(moment) => tokio::time::sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }
}

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever decides takes the time as an argument; this is where it is from"
)]
pub(super) fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Time since some fixed moment. It never goes back, and goes on while the machine is suspended where the system has
/// such a clock.
pub(super) fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_never_due_is_waited_for_for_ever() {
        let clock = Clock::start();
        clock.sleep_until(Some(Duration::from_secs(5))).await;
        assert_eq!(clock.now().elapsed, Duration::from_secs(5));
        for never in [None, Some(Duration::MAX)] {
            assert!(futures::poll!(Box::pin(clock.sleep_until(never))).is_pending());
        }
    }
}
