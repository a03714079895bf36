//! What a pool's status has to say.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::book::Book;
use super::collisions::Collisions;
use super::{Id, Ledger, Now, Pool};
use crate::api::{Family, IPPoolStatus};

/// A pool's status is written with at most so many bytes a second: each write of a large status costs the API server more than a second of
/// processor time a mebibyte, mostly for `managedFields`, and is kept whole in etcd's history.
const BYTES_PER_SECOND: usize = 64 << 10;
/// All pools together write so many statuses a second, about: a burst on many pools is a burst of claims, which come
/// first.
const STATUSES_PER_SECOND: u32 = 10;
/// `"":"",` around a name and an address.
const QUOTES: usize = 6;
/// No object that etcd takes is larger, in bytes.
const LARGEST: usize = 3 << 19;
/// What a pool may have besides its reservations and `indexes`.
const REST: usize = 128 << 10;

/// A status that is due, and its size in bytes, about.
pub(super) struct DueStatus {
    pub status: IPPoolStatus,
    pub size: usize,
}

/// How long after a status of this size the pool may write the next, while so many pools have one to write; `shortest` at
/// least.
pub(super) fn interval(shortest: Duration, size: usize, pools: usize) -> Duration {
    let millis = size.saturating_mul(1000) / BYTES_PER_SECOND;
    let share = Duration::from_secs(1) / STATUSES_PER_SECOND * u32::try_from(pools).unwrap_or(u32::MAX);
    shortest.max(share).max(Duration::from_millis(millis.try_into().unwrap_or(u64::MAX)))
}

/// Identifies the contents of `status.indexes` well enough to tell whether they changed.
///
/// ```
/// # use ipam::ledger::fingerprint;
/// assert_eq!(fingerprint([("a", "10.0.0.1")].into_iter()), fingerprint([("a", "10.0.0.1")].into_iter()));
/// assert_ne!(fingerprint([("a", "10.0.0.1")].into_iter()), fingerprint([("a", "10.0.0.2")].into_iter()));
/// ```
pub fn fingerprint<'a>(indexes: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    indexes.for_each(|entry| entry.hash(&mut hasher));
    hasher.finish()
}

impl Ledger {
    /// The status that the pool should have, if it has another.
    pub(super) fn due_status(&self, id: &Id, now: Now) -> Option<DueStatus> {
        let book = self.books.get(id)?;
        let pool = book.pool.as_ref()?;
        let limit = self.room(pool);
        let (indexes, size, truncated) = self.indexes(book, limit);
        let print = fingerprint(indexes.iter().map(|(claim, ip)| (claim.as_str(), ip.as_str())));
        let collisions = self.collisions(book, pool);
        let free = collisions.free;
        let conditions = [
            Some(self.ready(book, pool, free)),
            truncated.then(|| cut_off(limit)),
            name_conflict(&collisions),
        ];
        let conditions = conditions_of(pool, conditions.into_iter().flatten(), now);
        let (capacity, available) = (count(book.space.capacity()), count(free));
        let seen = &pool.status;
        let same_indexes = seen.indexes == print && seen.last_updated.is_some();
        if same_indexes
            && seen.capacity == capacity
            && seen.available == available
            && seen.conditions == conditions
        {
            return None;
        }
        let updated = if same_indexes { seen.last_updated.unwrap_or(now.wall) } else { now.wall };
        let status = IPPoolStatus {
            indexes,
            last_updated: Some(time(updated)),
            capacity,
            available_ip_count: available,
            conditions,
        };
        let is_in_vain = book.chore.unkept.is_some_and(|unkept| unkept.is_in_vain(&status, seen));
        (!is_in_vain).then_some(DueStatus { status, size })
    }

    /// The most bytes that `status.indexes` may have beside what the pool reserves: a larger object is not stored, with any
    /// status.
    fn room(&self, pool: &Pool) -> usize {
        let longest = |ip: &IpAddr| if ip.is_ipv4() { 15 } else { 39 };
        let reserved = pool.rules.pre_allocations.iter().map(|(name, ip)| name.len() + longest(ip) + QUOTES);
        self.config.indexes_limit.min((LARGEST - REST).saturating_sub(reserved.sum()))
    }

    /// `status.indexes` as it should be, its size, and whether it had to be cut off.
    fn indexes(&self, book: &Book, limit: usize) -> (BTreeMap<String, String>, usize, bool) {
        let (mut indexes, mut size) = (BTreeMap::new(), 0);
        for id in &book.addresses {
            let Some((address, ip)) = self.address(id).and_then(|address| Some((address, address.ip?)))
            else {
                continue;
            };
            let ip = ip.to_string();
            let more = address.claim.len() + ip.len() + QUOTES;
            if size + more > limit {
                return (indexes, size, true);
            }
            // Where claims of both families share a name, readers of this map mean the IPClaim.
            if id.family() == Family::Metal3 || !indexes.contains_key(&*address.claim) {
                indexes.insert(address.claim.to_string(), ip);
                size += more;
            }
        }
        (indexes, size, false)
    }

    fn ready(&self, book: &Book, pool: &Pool, free: u128) -> Wanted {
        let not = |reason, message| Wanted { type_: READY, is: false, reason, message };
        if let Some(why) = self.closed(&pool.id) {
            return not(if pool.meta.deleting { "Deleting" } else { "WaitingForCluster" }, why);
        }
        if let Some(why) = self.pool_paused(&pool.id) {
            return not("Paused", why);
        }
        if pool.meta.finalizers.ours.is_none()
            && let Some(why) = book.chore.refused()
        {
            return not("WriteRefused", format!("The pool cannot be made ours: {why}"));
        }
        let ignored = violations(pool);
        if book.space.capacity() == 0 {
            let why = if ignored.is_empty() { "The pool holds no address".to_owned() } else { ignored };
            return not("InvalidSpec", why);
        }
        if free == 0 {
            return not("Exhausted", "All addresses are held or reserved".into());
        }
        let message = if ignored.is_empty() {
            "The pool hands out addresses".to_owned()
        } else {
            format!("The pool hands out addresses; ignored: {ignored}")
        };
        Wanted { type_: READY, is: true, reason: "Available", message }
    }
}

fn cut_off(limit: usize) -> Wanted {
    let message =
        format!("status.indexes is cut off at {limit} bytes; the IPAddress objects of the pool are complete");
    Wanted { type_: TRUNCATED, is: true, reason: "SizeLimit", message }
}

/// Blames another pool only for what that has made: a name that is about to be used is nobody's yet, and one that an
/// object of this pool has, with another address in it, is no matter of the `namePrefix`.
fn name_conflict(collisions: &Collisions) -> Option<Wanted> {
    let (ip, other) = collisions.first()?;
    let whose = if other.pool.is_empty() {
        format!("the IPAddress \"{}\" of another provider", other.id.name)
    } else {
        format!(
            "the IPAddress \"{}\" of pool \"{}\", which uses the same namePrefix,",
            other.id.name, other.pool
        )
    };
    let message = format!(
        "{} of this pool's addresses cannot be handed out, {ip} for one: {whose} has the name that is needed",
        collisions.count()
    );
    Some(Wanted { type_: NAME_CONFLICT, is: true, reason: "SharedNamePrefix", message })
}

/// The conditions of a pool: ours as they should be, everybody else's as they are.
fn conditions_of(pool: &Pool, ours: impl Iterator<Item = Wanted>, now: Now) -> Vec<Condition> {
    let ours = ours.map(|wanted| wanted.dated(&pool.status.conditions, now));
    let foreign = pool.status.conditions.iter().filter(|seen| !OURS.contains(&seen.type_.as_str()));
    let mut conditions: Vec<Condition> = foreign.cloned().chain(ours).collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

const READY: &str = "Ready";
const TRUNCATED: &str = "IndexesTruncated";
const NAME_CONFLICT: &str = "NameConflict";
const OURS: [&str; 3] = [READY, TRUNCATED, NAME_CONFLICT];

/// A condition without its time.
struct Wanted {
    type_: &'static str,
    is: bool,
    reason: &'static str,
    message: String,
}

impl Wanted {
    /// The condition, dated as the one in `seen` if that has the same status, else now.
    fn dated(self, seen: &[Condition], now: Now) -> Condition {
        let status = if self.is { "True" } else { "False" };
        // One whose time could not be read has been so since the epoch.
        let is_dated = |seen: &&Condition| seen.last_transition_time.0 != Timestamp::UNIX_EPOCH;
        let before =
            seen.iter().find(|seen| seen.type_ == self.type_ && seen.status == status).filter(is_dated);
        Condition {
            type_: self.type_.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            last_transition_time: before
                .map_or_else(|| time(now.wall), |before| before.last_transition_time.clone()),
            observed_generation: None,
        }
    }
}

/// What is not valid in a pool's spec: the first few, as a status has to stay small.
fn violations(pool: &Pool) -> String {
    const SHOWN: usize = 5;
    let all = &pool.rules.violations;
    let more = all.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).chain(more).collect();
    shown.join("; ")
}

/// A number as the API shows it: absent where it exceeds 63 bits.
fn count(n: u128) -> Option<i64> {
    i64::try_from(n).ok()
}

/// A time stamp of the API. Seconds outside of what it can say cannot come from it, nor from a clock.
pub fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}
