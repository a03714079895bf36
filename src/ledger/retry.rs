//! When a step that failed may be tried again.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Back-off of one object: the first repetition is immediate, as most failures are a lost race; then the delay
/// doubles from [`Retry::FIRST`] to [`Retry::LONGEST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    failures: u8,
    not_before: Duration,
}

impl Retry {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(30);
    /// After so many failures the delay grows no more.
    const MOST: u8 = 11;

    /// Notes a failure. `wish` is how long the API server asked to wait.
    pub fn failed(&mut self, now: Duration, wish: Option<Duration>, rng: &mut impl Rng) {
        let doublings = u32::from(self.failures).saturating_sub(1).min(16);
        let delay = if self.failures == 0 { Duration::ZERO } else { Self::FIRST * 2_u32.pow(doublings) };
        self.failures = self.failures.saturating_add(1);
        let delay = delay.min(Self::LONGEST);
        // Spread, so that many claims that failed together do not come back together.
        let delay = delay.mul_f64(rng.random_range(0.75..1.25));
        self.not_before = now + delay.max(wish.unwrap_or_default());
    }

    /// Whether this is more than a lost race or a short failure.
    pub fn keeps_failing(self) -> bool {
        self.failures > 4
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How many tries have failed, as far as that makes a difference, and how long it is from `now` to the next.
    pub fn left(self, now: Duration) -> (u8, Duration) {
        (self.failures.min(Self::MOST), self.not_before.saturating_sub(now))
    }

    /// When the next try is due, where that is later than `now`.
    pub fn due_after(self, now: Duration) -> Option<Duration> {
        (self.not_before > now).then_some(self.not_before)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_first_repetition_is_immediate_and_the_delay_is_bounded() {
        let (mut retry, mut rng) = (Retry::default(), SmallRng::seed_from_u64(1));
        let now = Duration::from_secs(100);
        retry.failed(now, None, &mut rng);
        assert_eq!(retry.due_after(now), None);
        let mut last = Duration::ZERO;
        for _ in 0..300 {
            retry.failed(now, None, &mut rng);
            last = retry.due_after(now).unwrap().saturating_sub(now);
            assert!(last <= Retry::LONGEST.mul_f64(1.25));
        }
        assert!(last >= Retry::LONGEST.mul_f64(0.75));
        assert!(Retry::FIRST * 2_u32.pow(u32::from(Retry::MOST) - 1) >= Retry::LONGEST);
        retry.succeeded();
        assert_eq!(retry.due_after(now), None);
    }

    #[test]
    fn the_wish_of_the_api_server_is_heard() {
        let (mut retry, mut rng) = (Retry::default(), SmallRng::seed_from_u64(1));
        retry.failed(Duration::ZERO, Some(Duration::from_secs(8)), &mut rng);
        assert!(retry.due_after(Duration::ZERO).unwrap() >= Duration::from_secs(8));
    }
}
