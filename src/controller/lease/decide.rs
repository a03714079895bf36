//! Whose lease it is: client-go's rules, without clock or client.

use std::time::Duration;

use super::record::Record;

/// How long a lease lasts, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    lease: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

impl Terms {
    /// Terms that can be kept.
    ///
    /// # Errors
    /// The term that cannot be kept, what is wrong with it, and what would do.
    pub fn new(
        lease: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, (&'static str, String)> {
        // The lease says its length in seconds, and all have to mean the same.
        if lease.is_zero() || lease.subsec_nanos() != 0 {
            return Err((
                "lease-duration",
                format!("`{lease:?}` is no number of whole seconds, such as 15s"),
            ));
        }
        if renew_deadline >= lease {
            let why = format!(
                "`{renew_deadline:?}` is not shorter than the lease, `{lease:?}`; 10s of 15s are usual"
            );
            return Err(("renew-deadline", why));
        }
        if retry.is_zero() || retry.mul_f64(1.0 + JITTER) >= renew_deadline {
            let why = format!(
                "`{retry:?}` does not fit several times into the renew-deadline, `{renew_deadline:?}`; 2s of 10s are usual"
            );
            return Err(("retry-period", why));
        }
        Ok(Self { lease, renew_deadline, retry })
    }

    /// How long the others wait after the last sign of life.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// How long the leader may write after it last renewed: shorter than the lease, by what is on its way then.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How often the lease is looked at.
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// The time of one request: two fit into the deadline.
    pub fn request_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }
}

/// Candidates spread their tries by this part of the retry period.
pub(super) const JITTER: f64 = 0.2;

/// What to do about the lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// There is none: make it.
    Create,
    /// It is nobody's: take it.
    Take(Record),
    /// It is ours: renew it.
    Renew(Record),
    /// It is somebody else's, at least for so long.
    Wait(Duration),
}

/// What a candidate has seen of the lease.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    /// The last record, and when it was first seen so. Only our own clock counts: the holder's may be wrong.
    seen: Option<(Record, Duration)>,
}

impl Candidate {
    pub fn new(identity: String) -> Self {
        Self { identity, seen: None }
    }

    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who held the lease when it was last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(record, _)| record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// Takes in what is said in the lease, by reading it or by our own doing.
    pub fn saw(&mut self, record: &Record, now: Duration) {
        if self.seen.as_ref().is_none_or(|(seen, _)| !seen.is_same(record)) {
            self.seen = Some((record.clone(), now));
        }
    }

    /// What to do about the lease, of which this was read at `now`.
    pub fn next(&mut self, record: Option<Record>, now: Duration) -> Step {
        let Some(record) = record else {
            // Whoever held it may not know yet that somebody has deleted it.
            let left = self.left(now);
            return if left.is_zero() { Step::Create } else { Step::Wait(left) };
        };
        self.saw(&record, now);
        if record.holder == self.identity {
            return Step::Renew(record);
        }
        let left = self.left(now);
        if left.is_zero() { Step::Take(record) } else { Step::Wait(left) }
    }

    /// For how long another that was seen to hold the lease may still go by that.
    fn left(&self, now: Duration) -> Duration {
        let other =
            self.seen.as_ref().filter(|(seen, _)| !seen.holder.is_empty() && seen.holder != self.identity);
        other.map_or(Duration::ZERO, |(seen, since)| (*since + seen.lease).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(holder: &str, renewed: &str) -> Record {
        Record { holder: holder.into(), lease: at(15), renewed: renewed.into(), ..Record::default() }
    }

    #[test]
    fn a_lease_that_does_not_exist_is_made() {
        assert_eq!(Candidate::new("me".into()).next(None, at(7)), Step::Create);
    }

    #[test]
    fn a_lease_that_somebody_has_deleted_is_made_anew_once_it_would_have_been_over() {
        let mut me = Candidate::new("me".into());
        me.next(Some(record("other", "1")), at(0));
        assert_eq!(me.next(None, at(5)), Step::Wait(at(10)));
        assert_eq!(me.next(None, at(15)), Step::Create);
        // One's own, or one that was given back, keeps nobody.
        for holder in ["me", ""] {
            me.next(Some(record(holder, "2")), at(20));
            assert_eq!(me.next(None, at(20)), Step::Create);
        }
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let mut me = Candidate::new("me".into());
        assert_eq!(me.next(Some(record("", "10")), at(0)), Step::Take(record("", "10")));
        assert_eq!(me.holder(), None);
    }

    #[test]
    fn another_is_waited_for_from_when_its_record_last_changed_here() {
        let mut me = Candidate::new("me".into());
        // Its own time stamp is long past, or far ahead: only what is seen here counts.
        assert_eq!(me.next(Some(record("other", "1970")), at(100)), Step::Wait(at(15)));
        assert_eq!(me.next(Some(record("other", "1970")), at(110)), Step::Wait(at(5)));
        assert_eq!(me.next(Some(record("other", "2970")), at(114)), Step::Wait(at(15)));
        assert_eq!(me.next(Some(record("other", "2970")), at(128)), Step::Wait(at(1)));
        assert_eq!(me.next(Some(record("other", "2970")), at(129)), Step::Take(record("other", "2970")));
        assert_eq!(me.holder(), Some("other"));
    }

    #[test]
    fn a_change_that_is_no_sign_of_life_does_not_prolong_a_lease() {
        let mut me = Candidate::new("me".into());
        me.next(Some(record("other", "1")), at(0));
        let labelled = Record { version: "later".into(), ..record("other", "1") };
        assert_eq!(me.next(Some(labelled.clone()), at(15)), Step::Take(labelled));
    }

    #[test]
    fn ones_own_lease_is_renewed_however_old() {
        let mut me = Candidate::new("me".into());
        me.next(Some(record("me", "1")), at(0));
        assert_eq!(me.next(Some(record("me", "1")), at(1000)), Step::Renew(record("me", "1")));
    }

    #[test]
    fn terms_that_cannot_be_kept_are_refused_with_a_way_out() {
        assert!(Terms::new(at(15), at(10), at(2)).is_ok());
        for (lease, renew, retry, wrong) in [
            (at(0), at(10), at(2), "lease-duration"),
            (Duration::from_millis(1500), at(1), Duration::from_millis(100), "lease-duration"),
            (at(15), at(15), at(2), "renew-deadline"),
            (at(15), at(10), at(9), "retry-period"),
            (at(15), at(10), at(0), "retry-period"),
        ] {
            let (term, why) = Terms::new(lease, renew, retry).unwrap_err();
            assert!(term == wrong && why.contains("15s") | why.contains("10s"), "{term}: {why}");
        }
    }
}
