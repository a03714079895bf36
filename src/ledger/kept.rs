//! Whether the API server keeps what is written to a status.
//!
//! A CRD that is not this version's, such as that of the controller that this one replaces, has the API server drop the members
//! that it does not know. What was sent and not kept is remembered and not sent again, or there would be no end of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Act, Ledger, Notice, Outcome, PoolStatusSeen, Seen, Shown, Write, fingerprint};
use crate::api::IPPoolStatus;

impl Shown {
    /// Whether it says the same, whoever else says what, and since whenever.
    pub(super) fn says(&self, other: &Self) -> bool {
        self.address == other.address && self.error == other.error && ready(self) == ready(other)
    }
}

fn ready(shown: &Shown) -> Option<(bool, &str, &str)> {
    shown.ready.as_ref().map(|ready| (ready.is, &*ready.reason, &*ready.message))
}

/// What was written of a claim's status, and what the API server made of it.
#[derive(Clone, Debug, Hash)]
pub(super) struct Unkept {
    sent: Shown,
    kept: Shown,
}

impl Unkept {
    /// Whether to write this again would come to the same: as long as nobody else has changed what came of it.
    pub fn is_in_vain(&self, status: &Shown, shown: &Shown) -> bool {
        self.sent.says(status) && self.kept.says(shown)
    }
}

/// The same of a pool's status: the prints of both.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UnkeptPool {
    sent: u64,
    kept: u64,
}

impl UnkeptPool {
    fn of(sent: &IPPoolStatus, seen: &PoolStatusSeen) -> Self {
        Self { sent: print(sent), kept: print_of(seen) }
    }

    /// Whether to write this again would come to the same.
    pub fn is_in_vain(self, status: &IPPoolStatus, seen: &PoolStatusSeen) -> bool {
        self == Self::of(status, seen)
    }
}

fn print_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Identifies what a pool's status says, but for when.
fn print(status: &IPPoolStatus) -> u64 {
    let said = status.conditions.iter().map(|one| (&one.type_, &one.status, &one.reason, &one.message));
    print_of(&(&status.indexes, status.capacity, status.available_ip_count, said.collect::<Vec<_>>()))
}

/// Whether a pool shows what was written.
fn shows(seen: &PoolStatusSeen, sent: &IPPoolStatus) -> bool {
    let indexes = sent.indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str()));
    seen.indexes == fingerprint(indexes)
        && seen.capacity == sent.capacity
        && seen.available == sent.available_ip_count
        && seen.conditions == sent.conditions
}

impl Ledger {
    /// Notes what of a status was not kept. A person is told of the first of each kind.
    pub(super) fn note_kept(&mut self, write: &Write, outcome: &Outcome) {
        let id = &write.subject;
        let is_kept = match (&write.act, outcome) {
            (Act::Publish { status, .. }, Outcome::Seen(Seen::Claim(seen))) => {
                let is_kept = seen.shown.says(status);
                if let Some(entry) = self.claims.get_mut(id) {
                    let unkept = || Box::new(Unkept { sent: status.clone(), kept: seen.shown.clone() });
                    entry.unkept = (!is_kept).then(unkept);
                }
                is_kept
            }
            (Act::PoolStatus { status, .. }, Outcome::Seen(Seen::Pool(seen))) => {
                let is_kept = shows(&seen.status, status);
                if let Some(book) = self.books.get_mut(id) {
                    book.chore.unkept = (!is_kept).then(|| UnkeptPool::of(status, &seen.status));
                }
                is_kept
            }
            _ => return,
        };
        if is_kept || !self.unkept.insert(id.kind) {
            return;
        }
        let kind = id.kind.resource();
        let message = format!(
            "the API server drops a part of the status: the CustomResourceDefinition {}.{} is not this version's; apply \
             that and restart the controller",
            kind.plural, kind.group
        );
        self.notices.push(Notice {
            about: id.clone(),
            uid: write.uid.clone(),
            reason: "StatusNotKept",
            message,
        });
    }
}
