//! Whether changes may be sent at this very moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::clock::since_boot;

/// Whether changes may be sent at this very moment. It runs out by itself: a process that was stopped or suspended
/// finds it gone when it wakes up, before anything else has noticed.
#[derive(Clone)]
pub(in super::super) struct Authority(Option<Arc<AtomicU64>>);

impl Authority {
    /// There is no lease to be held.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// None, until some is granted.
    pub fn none() -> Self {
        Self(Some(Arc::default()))
    }

    /// Changes may be sent until then, on the clock of [`since_boot`].
    pub fn grant(&self, until: Duration) {
        self.set(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
    }

    /// No more changes may be sent.
    pub fn revoke(&self) {
        self.set(0);
    }

    /// Whether changes may be sent.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_none_or(|until| since_boot().as_nanos() < until.load(Ordering::Acquire).into())
    }

    fn set(&self, nanos: u64) {
        if let Some(until) = &self.0 {
            until.store(nanos, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_holds_until_its_time_is_over_or_it_is_revoked() {
        let authority = Authority::none();
        assert!(!authority.holds());
        authority.grant(since_boot() + Duration::from_mins(1));
        assert!(authority.clone().holds());
        authority.revoke();
        assert!(!authority.holds());
        authority.grant(since_boot());
        assert!(!authority.holds());
        assert!(Authority::unlimited().holds());
    }
}
