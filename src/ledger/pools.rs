//! Pools and their Clusters: when a pool hands out addresses, and its own writes.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::claims::Entry;
use super::{
    Act, Cluster, Dress, Id, Ledger, NewOwner, Now, Outcome, Place, Pool, Step, Task, Text, Write, status,
};
use crate::api::{CLUSTER_NAME_LABEL, Kind, PROVIDER, PROVIDER_LABEL};

/// A status of more addresses than this is not even worked out more often than it may be written.
const LARGE: usize = 1000;

impl Ledger {
    pub(super) fn observe_pool(&mut self, mut pool: Pool) {
        let id = pool.id.clone();
        self.names.share(&mut pool.id.namespace);
        self.names.share(&mut pool.id.name);
        let book = self.books.entry(id.clone()).or_default();
        let is_new = book.pool.is_none();
        let is_renamed = book.pool.as_ref().is_none_or(|old| old.name_prefix != pool.name_prefix);
        if is_renamed {
            self.unblock_all(&id);
            self.drop_stem(&id);
            self.stems.insert((id.namespace.clone(), pool.name_prefix.clone(), id.clone()));
        }
        let book = self.books.entry(id.clone()).or_default();
        let is_news = book.set_pool(pool);
        if is_renamed {
            self.name_all(&id);
        }
        if is_news {
            self.wake_claims_of(&id, is_new);
            self.wake_addresses_of(&id);
        }
        self.wake(&id);
    }

    /// Notes anew which of a pool's address objects have other names than it would give them.
    fn name_all(&mut self, id: &Id) {
        let Some(book) = self.books.get(id) else { return };
        let objects =
            book.addresses.iter().filter_map(|object| Some((self.address(object)?.ip?, object.clone())));
        let objects: Vec<_> = objects.collect();
        let Some(book) = self.books.get_mut(id) else { return };
        book.others.clear();
        for (ip, object) in &objects {
            book.name(*ip, object);
        }
    }

    pub(super) fn forget_pool(&mut self, id: &Id) {
        self.unblock_all(id);
        self.drop_stem(id);
        if let Some(book) = self.books.get_mut(id) {
            book.drop_pool();
        }
        self.wake_claims_of(id, false);
        self.wake_addresses_of(id);
        self.drop_if_empty(id);
    }

    pub(super) fn observe_cluster(&mut self, cluster: Cluster) {
        let id = cluster.id.clone();
        let same = |old: &Cluster| {
            (old.paused, &old.meta.uid, &old.api_version)
                == (cluster.paused, &cluster.meta.uid, &cluster.api_version)
        };
        let is_news = !self.clusters.get(&id).is_some_and(same);
        self.clusters.insert(id.clone(), cluster);
        if is_news {
            self.wake_pools_of(&id);
        }
    }

    /// Wakes the pools of a Cluster, and what depends on them.
    pub(super) fn wake_pools_of(&mut self, cluster: &Id) {
        let pools: Vec<Id> = self
            .books_beside(cluster)
            .filter(|(_, book)| {
                book.pool.as_ref().is_some_and(|pool| pool.cluster.as_ref() == Some(&cluster.name))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in pools {
            if let Some(book) = self.books.get_mut(&id) {
                book.chore.stale = true;
            }
            self.wake_claims_of(&id, false);
            self.wake_addresses_of(&id);
            self.wake(&id);
        }
    }

    /// Wakes the claims of a pool, as its standing changed; `relink` where what they publish may be known only now.
    fn wake_claims_of(&mut self, pool: &Id, relink: bool) {
        *self.news.entry(pool.clone()).or_default() |= relink;
    }

    /// Wakes the claims of pools whose standing has changed: those of a namespace are gone through once, whatever has changed
    /// in it.
    pub(super) fn spread_news(&mut self) {
        let news = std::mem::take(&mut self.news);
        let namespaces: BTreeSet<&Text> = news.keys().map(|pool| &pool.namespace).collect();
        for namespace in namespaces {
            let claims = self.claims_in(namespace).filter_map(|(id, entry)| {
                let relink = *news.get(&entry.claim.pool_id())?;
                Some((entry.task(), relink.then(|| id.clone())))
            });
            let claims: Vec<_> = claims.collect();
            for (task, relink) in claims {
                if let Some(id) = relink {
                    self.relink_claim(&id);
                }
                self.tasks.insert(task);
            }
        }
    }

    fn wake_addresses_of(&mut self, pool: &Id) {
        if let Some(book) = self.books.get(pool) {
            self.tasks.extend(book.addresses.iter().cloned().map(Task::Address));
        }
    }

    fn cluster_of(&self, pool: &Pool) -> Option<&Cluster> {
        self.clusters.get(&pool.id.beside(Kind::Cluster, pool.cluster.as_ref()?))
    }

    /// Whether the pool's object is there, as far as is known.
    pub(super) fn knows_pool(&self, id: &Id) -> bool {
        self.books.get(id).is_some_and(|book| book.pool.is_some())
    }

    /// Whether nothing may be allocated from or released to the pool. One that does not exist is not paused.
    pub(super) fn is_paused(&self, pool: &Id) -> bool {
        self.pool_paused(pool).is_some()
    }

    pub(super) fn pool_paused(&self, pool: &Id) -> Option<String> {
        let pool = self.books.get(pool)?.pool.as_ref()?;
        if pool.paused {
            return Some(format!("The pool \"{}\" is paused", pool.id.name));
        }
        let cluster = self.cluster_of(pool).filter(|cluster| cluster.paused)?;
        Some(format!("The pool \"{}\" is paused, as its Cluster \"{}\" is", pool.id.name, cluster.id.name))
    }

    /// Why nothing is done about a claim, where it or its pool is paused.
    pub(super) fn paused(&self, entry: &Entry) -> Option<String> {
        if entry.claim.paused {
            return Some("The claim is paused".into());
        }
        self.pool_paused(&entry.claim.pool_id())
    }

    /// Why the pool hands out no address, where that is not for want of one.
    pub(super) fn closed(&self, id: &Id) -> Option<String> {
        let Some(pool) = self.books.get(id).and_then(|book| book.pool.as_ref()) else {
            return Some(format!("There is no pool \"{}\" in namespace \"{}\"", id.name, id.namespace));
        };
        if pool.meta.deleting {
            return Some(format!("The pool \"{}\" is being deleted", id.name));
        }
        if let Some(cluster) = &pool.cluster
            && self.cluster_of(pool).is_none()
        {
            return Some(format!("The pool \"{}\" waits for its Cluster \"{cluster}\"", id.name));
        }
        None
    }

    pub(super) fn due_for_pool(&mut self, id: &Id, now: Now) -> Option<Step> {
        let book = self.books.get(id)?;
        let pool = book.pool.as_ref()?;
        if book.chore.in_flight {
            return None;
        }
        if let Some(at) = book.chore.retry.due_after(now.elapsed) {
            self.timers.insert((at, Task::Pool(id.clone())));
            return None;
        }
        let uid = pool.meta.uid.clone();
        let act = if book.chore.unsure { Some(self.look(id)) } else { self.chore(id, now) }?;
        self.books.get_mut(id)?.chore.in_flight = true;
        Some(Step { subject: id.clone(), uid, act })
    }

    /// The next write of a pool's own: let it go, make it ours, or tell its status.
    fn chore(&mut self, id: &Id, now: Now) -> Option<Act> {
        let book = self.books.get(id)?;
        let pool = book.pool.as_ref()?;
        let is_paused = self.is_paused(id);
        let meta = &pool.meta;
        if let Some(at) = meta.finalizers.ours.filter(|_| meta.deleting && !book.in_use() && !is_paused) {
            return Some(Act::Strip { object: id.clone(), uid: meta.uid.clone(), at });
        }
        let dress = if is_paused { None } else { self.dress(pool) };
        let dress = dress.map(|dress| Act::Dress(Box::new(dress)));
        // Where it cannot be made ours, its status says so between the tries.
        if dress.is_some() && book.chore.refused().is_none() { dress } else { self.tell(id, now).or(dress) }
    }

    /// The write of the pool's status, if that is due.
    fn tell(&mut self, id: &Id, now: Now) -> Option<Act> {
        let book = self.books.get(id)?;
        if !book.chore.stale {
            return None;
        }
        if now.elapsed < book.chore.next_status {
            self.timers.insert((book.chore.next_status, Task::Pool(id.clone())));
            return None;
        }
        // What it takes to find that nothing has changed is bounded as well, where it is much.
        let is_large = book.addresses.len() > LARGE;
        let due = self.due_status(id, now);
        let stale = self.books.values().filter(|book| book.pool.is_some() && book.chore.stale).count();
        let shortest = self.config.status_interval;
        let chore = &mut self.books.get_mut(id)?.chore;
        chore.stale = false;
        let size = due.as_ref().map_or(0, |due| due.size);
        if due.is_some() || is_large {
            chore.next_status = now.elapsed + status::interval(shortest, size, stale);
        }
        let due = due?;
        let version = self.books.get(id)?.pool.as_ref()?.meta.version;
        Some(Act::PoolStatus { version, status: Box::new(due.status) })
    }

    /// What the pool lacks to be ours, if anything.
    fn dress(&self, pool: &Pool) -> Option<Dress> {
        let finalizers = pool.meta.finalizers;
        let mut dress = Dress { has_labels: pool.has.labels, ..Dress::default() };
        if finalizers.ours.is_none() && !pool.meta.deleting {
            dress.finalizer = Some(finalizers.total > 0);
        }
        if let Some(name) = pool.cluster.as_ref().filter(|_| !pool.labelled) {
            dress.labels = BTreeMap::from([
                (CLUSTER_NAME_LABEL, name.to_string()),
                (PROVIDER_LABEL, PROVIDER.to_owned()),
            ]);
        }
        dress.owner = self.cluster_of(pool).and_then(|cluster| owner(pool, cluster));
        let lacks = dress.finalizer.is_some() || !dress.labels.is_empty() || dress.owner.is_some();
        lacks.then_some(dress)
    }

    pub(super) fn pool_landed(&mut self, write: &Write, outcome: &Outcome, now: Now, rng: &mut impl Rng) {
        let Some(book) = self.books.get_mut(&write.subject) else { return };
        let chore = &mut book.chore;
        chore.in_flight = false;
        let is_status = matches!(write.act, Act::PoolStatus { .. });
        let was_refused = chore.refused().is_some();
        if let Act::Dress(_) = write.act {
            chore.refusal = match outcome {
                // A lost race is over after another look; what goes on is a refusal in the words of one.
                Outcome::Refused(why) | Outcome::GuardFailed(why) => Some(why.as_str().into()),
                _ => None,
            };
        }
        match outcome {
            Outcome::Seen(_) if matches!(write.act, Act::Look { .. }) => chore.unsure = false,
            // A status between two tries to make the pool ours is no success of these.
            Outcome::Seen(_) if is_status && was_refused => {}
            Outcome::Seen(_) | Outcome::Names { .. } => chore.retry.succeeded(),
            Outcome::Gone => chore.unsure = false,
            Outcome::NotNow(wish) => chore.retry.failed(now.elapsed, *wish, rng),
            Outcome::Exists | Outcome::GuardFailed(_) | Outcome::Refused(_) | Outcome::Unknown(_) => {
                chore.unsure = true;
                chore.retry.failed(now.elapsed, None, rng);
            }
        }
        chore.stale |= is_status && !matches!(outcome, Outcome::Seen(_));
        if !was_refused && chore.refused().is_some() {
            chore.stale = true;
            self.wake_claims_of(&write.subject, false);
        }
    }
}

/// The owner reference to `cluster` that the pool should have, if it has not.
fn owner(pool: &Pool, cluster: &Cluster) -> Option<NewOwner> {
    let place = match &pool.owner {
        Some(owner) if owner.uid == cluster.meta.uid && owner.api_version == cluster.api_version => {
            return None;
        }
        Some(owner) => Place::At(owner.at),
        None if pool.has.owners => Place::End,
        None => Place::First,
    };
    let (api_version, name, uid): (Text, Text, _) =
        (cluster.api_version.clone(), cluster.id.name.clone(), cluster.meta.uid.clone());
    Some(NewOwner { api_version, name, uid, place })
}
