//! Complete lists: what a watch begins with, and begins with anew after it broke. Nothing is decided from half a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::{Id, Ledger, Seen};
use crate::api::Kind;

/// Which kinds were listed, and the lists that are under way.
#[derive(Clone, Default)]
pub(super) struct Lists {
    /// Kinds that have to be listed before anything is decided.
    awaited: BTreeSet<Kind>,
    done: BTreeSet<Kind>,
    under_way: BTreeMap<Kind, List>,
}

/// A list that is under way. Of what it shows, only the differences to what was known are kept: at the start of a
/// process, when lists are longest, there are none.
#[derive(Clone, Default, Hash)]
struct List {
    /// Known before it was asked for, and not shown yet.
    missing: BTreeSet<Id>,
    /// Shown by a reply of ours since it was asked for, and not by the list.
    fresh: BTreeSet<Id>,
}

impl Lists {
    /// None was listed, and each of these has to be.
    pub fn awaiting(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { awaited: kinds.into_iter().collect(), ..Self::default() }
    }

    /// Feeds what they decide into a hasher.
    pub fn digest(&self, into: &mut impl Hasher) {
        let Self { awaited, done, under_way } = self;
        (awaited, done, under_way).hash(into);
    }

    /// A reply has shown an object.
    pub fn replied(&mut self, id: &Id, is_known: bool) {
        if let Some(list) = self.under_way.get_mut(&id.kind)
            && (!is_known || list.missing.contains(id))
        {
            list.fresh.insert(id.clone());
        }
    }
}

impl Ledger {
    /// A complete list of a kind is about to be asked for, and is not before this returns.
    pub fn list_begins(&mut self, kind: Kind) {
        self.graveyard.list_begun(kind);
        let missing = self.known(kind).cloned().collect();
        self.lists.under_way.insert(kind, List { missing, fresh: BTreeSet::new() });
    }

    /// Takes in an object that a list shows. A view older than what is known changes nothing.
    pub fn list_shows(&mut self, seen: Seen) {
        let id = seen.id();
        self.graveyard.listed(id.kind, &seen.meta().uid);
        if let Some(list) = self.lists.under_way.get_mut(&id.kind) {
            list.missing.remove(id);
            list.fresh.remove(id);
        }
        self.take_in(seen);
    }

    /// A list is complete: what it has not shown is gone. An object that a reply of ours showed after the list was asked
    /// for may be missing from it, and is read again.
    pub fn list_ends(&mut self, kind: Kind) {
        let List { missing, fresh } = self.lists.under_way.remove(&kind).unwrap_or_default();
        for id in missing.difference(&fresh) {
            if let Some(uid) = self.meta(id).map(|meta| meta.uid.clone()) {
                // A list is the word of its watch. What no selector fits any more may come back.
                self.deleted(id, &uid);
            }
        }
        for id in fresh.iter().filter(|id| self.meta(id).is_some()).collect::<Vec<_>>() {
            self.doubt(id);
        }
        self.graveyard.list_done(kind);
        self.names.purge();
        self.lists.done.insert(kind);
    }

    /// A term begins: nothing is decided before each of `kinds` was listed anew, since one that was missing may have been
    /// installed a moment ago. What is known stays known until then.
    pub fn begin_term(&mut self, kinds: impl IntoIterator<Item = Kind>) {
        self.lists.done.clear();
        self.lists.awaited = kinds.into_iter().collect();
    }

    /// Every kind was listed once, since the term began: decisions can be taken.
    pub fn is_ready(&self) -> bool {
        self.lists.awaited.is_subset(&self.lists.done)
    }

    /// The kind was listed at least once.
    pub fn was_listed(&self, kind: Kind) -> bool {
        self.lists.done.contains(&kind)
    }

    /// The API server serves `kind`, as far as is known.
    pub fn is_served(&self, kind: Kind) -> bool {
        self.lists.awaited.contains(&kind)
    }

    /// The API server serves `kind`: nothing is decided before it was listed.
    pub fn serves(&mut self, kind: Kind) {
        self.lists.awaited.insert(kind);
    }

    /// The API server does not serve `kind`, or no longer: there are no objects of it.
    pub fn serves_not(&mut self, kind: Kind) {
        self.lists.awaited.remove(&kind);
        self.lists.under_way.remove(&kind);
        if self.known(kind).next().is_some() {
            self.list_begins(kind);
            self.list_ends(kind);
        }
        self.lists.done.remove(&kind);
    }
}
