//! A ledger's state for a hasher, for who explores all that can happen and has to know where it was already.

use std::hash::{Hash, Hasher};

use super::{Ledger, Now, PoolStatusSeen, Task, Uid};

impl Ledger {
    /// Feeds what this ledger will do from `now` on into a hasher: two ledgers that feed the same, and have the same
    /// writes under way, do the same at the same distance of time, when they are told the same. Of resource versions
    /// only the order counts, and of UIDs which are the same.
    ///
    /// `under_way` are the numbers of those writes, in an order of the caller's: by what they say of each, not by how
    /// many writes there were before. `may_show` says of which objects, by their UIDs, a watch or a reply may still tell.
    pub fn digest(
        &self,
        now: Now,
        under_way: impl Iterator<Item = u64>,
        may_show: impl Fn(&Uid) -> bool,
        into: &mut impl Hasher,
    ) {
        let now = now.elapsed;
        for (id, book) in &self.books {
            id.hash(into);
            book.digest(now, into);
        }
        self.claims.values().for_each(|entry| entry.digest(now, into));
        self.addresses.values().for_each(|entry| entry.digest(now, into));
        (&self.clusters, &self.strays, &self.blocks, &self.tasks, &self.news).hash(into);
        self.surveys.digest(now, into);
        self.lists.digest(into);
        for (at, task) in &self.timers {
            let left = at.saturating_sub(now);
            match task {
                // When exactly a pool tells its status changes nothing for anything else.
                Task::Pool(id) => (!left.is_zero(), id).hash(into),
                task => (left, task).hash(into),
            }
        }
        self.graveyard.digest(may_show, into);
        under_way.for_each(|number| self.graveyard.overtaken_by(number).hash(into));
    }
}

impl Hash for PoolStatusSeen {
    fn hash<H: Hasher>(&self, into: &mut H) {
        (self.indexes, self.last_updated, self.capacity, self.available).hash(into);
        for condition in &self.conditions {
            (&condition.type_, &condition.status, &condition.reason, &condition.message).hash(into);
            condition.last_transition_time.0.hash(into);
        }
    }
}
