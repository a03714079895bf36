//! Objects that are gone, so that a late view does not bring them back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::Uid;
use crate::api::Kind;

type Grave = (Kind, Uid);

#[derive(Clone, Copy)]
struct Burial {
    /// Number of lists of the kind that had begun by then.
    lists: u64,
    /// The watch has told the end, too.
    told: bool,
}

/// Objects that are known to be gone, for as long as something may still show them: the watch of their kind until it
/// has told their end itself, and the replies to writes that were under way at that moment.
#[derive(Clone, Default)]
pub(super) struct Graveyard {
    graves: BTreeMap<Grave, Burial>,
    /// Those of which the watch has told the end, and the number of the last write at that time.
    told: VecDeque<(u64, Grave)>,
    /// The lists of each kind that have begun.
    lists: BTreeMap<Kind, u64>,
    /// Number of the last write when the last list of a kind began.
    begun: BTreeMap<Kind, u64>,
    /// Number of the last write.
    next: u64,
    /// Writes under way.
    under_way: BTreeSet<u64>,
}

impl Graveyard {
    /// Numbers a write that is about to be sent.
    pub fn write_sent(&mut self) -> u64 {
        self.next += 1;
        self.under_way.insert(self.next);
        self.next
    }

    /// The reply to a write has been taken in.
    pub fn write_landed(&mut self, number: u64) {
        self.under_way.remove(&number);
        let oldest = self.under_way.first().copied().unwrap_or(u64::MAX);
        while let Some((_, grave)) = self.told.pop_front_if(|(next, _)| *next < oldest) {
            self.graves.remove(&grave);
        }
    }

    /// A list of `kind` has begun: what is gone by now is not in it.
    pub fn list_begun(&mut self, kind: Kind) {
        *self.lists.entry(kind).or_default() += 1;
        self.begun.insert(kind, self.next);
    }

    /// Whether a list of `kind` has begun since this write was sent: what its reply shows for the first time may have
    /// ended before that list, and then no watch tells.
    pub fn is_overtaken(&self, number: u64, kind: Kind) -> bool {
        self.begun.get(&kind).is_some_and(|&sent| number <= sent)
    }

    /// A list of `kind` is complete, and the watch goes on from there.
    pub fn list_done(&mut self, kind: Kind) {
        let (lists, next) = (self.lists_of(kind), self.next);
        for (grave, burial) in &mut self.graves {
            if grave.0 == kind && burial.lists < lists && !burial.told {
                burial.told = true;
                self.told.push_back((next, grave.clone()));
            }
        }
    }

    /// The object is gone, as far as a reply says.
    pub fn bury(&mut self, kind: Kind, uid: &Uid) {
        self.grave(kind, uid);
    }

    fn grave(&mut self, kind: Kind, uid: &Uid) -> &mut Burial {
        let lists = self.lists_of(kind);
        self.graves.entry((kind, uid.clone())).or_insert(Burial { lists, told: false })
    }

    fn lists_of(&self, kind: Kind) -> u64 {
        self.lists.get(&kind).copied().unwrap_or_default()
    }

    /// The object is gone, and the watch has said so.
    pub fn end_told(&mut self, kind: Kind, uid: &Uid) {
        let was_told = std::mem::replace(&mut self.grave(kind, uid).told, true);
        if !was_told {
            self.told.push_back((self.next, (kind, uid.clone())));
        }
        if self.under_way.is_empty() {
            self.write_landed(0);
        }
    }

    /// The watch of its kind shows the object. If it has told the object's end before, a selector fits that again.
    pub fn shown(&mut self, kind: Kind, uid: &Uid) {
        self.rise(kind, uid, |burial, _| burial.told);
    }

    /// A list shows the object. If that was asked for after the object was buried, it is there after all.
    pub fn listed(&mut self, kind: Kind, uid: &Uid) {
        self.rise(kind, uid, |burial, lists| burial.told || burial.lists < lists);
    }

    fn rise(&mut self, kind: Kind, uid: &Uid, is_there: impl Fn(&Burial, u64) -> bool) {
        let (grave, lists) = ((kind, uid.clone()), self.lists_of(kind));
        if self.graves.get(&grave).is_some_and(|burial| is_there(burial, lists)) {
            self.graves.remove(&grave);
            self.told.retain(|(_, told)| *told != grave);
        }
    }

    /// Whether the object is gone.
    pub fn holds(&self, kind: Kind, uid: &Uid) -> bool {
        self.graves.contains_key(&(kind, uid.clone()))
    }

    /// Feeds what is remembered into a hasher, as far as something may still show it; for how long it is remembered
    /// beyond that changes nothing. What the numbers of writes say, [`Self::overtaken_by`] says of each.
    pub fn digest(&self, may_show: impl Fn(&Uid) -> bool, into: &mut impl Hasher) {
        for (grave, burial) in self.graves.iter().filter(|((_, uid), _)| may_show(uid)) {
            (grave, burial.told, burial.lists < self.lists_of(grave.0)).hash(into);
        }
    }

    /// Which lists came after a write was sent.
    pub fn overtaken_by(&self, number: u64) -> Vec<Kind> {
        let lists = self.begun.iter().filter(|(_, sent)| **sent >= number);
        lists.map(|(kind, _)| *kind).collect()
    }

    /// Number of objects that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.graves.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_remembered_until_nothing_can_show_them() {
        let (mut yard, uid) = (Graveyard::default(), Uid::new("u"));
        let before = yard.write_sent();
        yard.end_told(Kind::Pool, &uid);
        let after = yard.write_sent();
        assert!(yard.holds(Kind::Pool, &uid));
        yard.write_landed(before);
        assert!(!yard.holds(Kind::Pool, &uid));
        yard.write_landed(after);
        assert_eq!(yard.len(), 0);
    }

    #[test]
    fn what_a_watch_shows_after_it_has_told_the_end_is_there_again() {
        let (mut yard, uid) = (Graveyard::default(), Uid::new("u"));
        let write = yard.write_sent();
        yard.bury(Kind::Pool, &uid);
        // It lags.
        yard.shown(Kind::Pool, &uid);
        assert!(yard.holds(Kind::Pool, &uid));
        yard.end_told(Kind::Pool, &uid);
        yard.shown(Kind::Pool, &uid);
        assert!(!yard.holds(Kind::Pool, &uid));
        // One that was buried before a list was asked for, and that the list shows, was not gone.
        yard.bury(Kind::Pool, &uid);
        yard.listed(Kind::Pool, &uid);
        assert!(yard.holds(Kind::Pool, &uid));
        yard.list_begun(Kind::Pool);
        yard.listed(Kind::Pool, &uid);
        assert!(!yard.holds(Kind::Pool, &uid));
        // It is gone once more, and the write from before is none the less under way.
        yard.end_told(Kind::Pool, &uid);
        let other = yard.write_sent();
        yard.write_landed(write);
        assert_eq!((yard.holds(Kind::Pool, &uid), yard.len()), (false, 0));
        yard.write_landed(other);
    }

    #[test]
    fn a_list_that_began_before_an_end_does_not_tell_it() {
        let (mut yard, uid) = (Graveyard::default(), Uid::new("u"));
        yard.list_begun(Kind::Pool);
        yard.bury(Kind::Pool, &uid);
        // One of another kind says nothing of it.
        yard.list_begun(Kind::Cluster);
        yard.list_done(Kind::Pool);
        yard.write_landed(0);
        assert!(yard.holds(Kind::Pool, &uid));
        yard.list_begun(Kind::Pool);
        yard.list_done(Kind::Pool);
        yard.write_landed(0);
        assert!(!yard.holds(Kind::Pool, &uid));
    }
}
