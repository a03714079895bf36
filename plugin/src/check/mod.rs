//! What is wrong with a world: pure functions from objects to findings, live or from a dump alike. Each defect class
//! that leaves a trace has an id; the mends are values, which `repair` turns into guarded writes.

mod addresses;
mod claims;
mod mend;
mod pauses;
mod pools;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use ipam::api::{IPPool, Kind};
use jiff::Timestamp;
use serde::Serialize;

pub use mend::{Action, Mend};
use pauses::Pauses;
pub use report::{junit, text, verdict};

use crate::output::named;
use crate::why::Reasons;
use crate::world::{Address, Joined, Key, Meta, World, key};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is wrong now.
    Error,
    /// Something may go wrong, or somebody is being waited for.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub id: &'static str,
    pub severity: Severity,
    pub object: Object,
    /// One sentence.
    pub message: String,
    /// The command that helps.
    pub command: String,
    #[serde(skip)]
    pub mends: Vec<Mend>,
}

/// The object that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    #[serde(serialize_with = "kind_name")]
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn kind_name<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{}.{}", kind.name(), kind.group()))
}

impl Object {
    /// The object of these metadata.
    pub fn of(kind: Kind, meta: &Meta) -> Self {
        Self { kind, namespace: meta.namespace.owned(), name: meta.name.owned(), uid: meta.uid.owned() }
    }

    /// `kind.group/name`.
    pub fn shown(&self) -> String {
        named(self.kind, &self.name)
    }
}

/// Every check, and what it means that it finds something.
pub const CHECKS: [(&str, &str); 22] = [
    ("duplicate-address", "two IPAddress objects have the same address"),
    ("extra-address", "a claim has more than one IPAddress object"),
    ("leaked-address", "an address is held for a claim that is gone"),
    ("stale-owner", "an address names an earlier claim of the same name"),
    ("orphaned-address", "an address is of a pool that is gone"),
    ("invalid-address", "an IPAddress object holds no address"),
    ("out-of-range", "an address is in no entry of its pool"),
    ("excluded-address", "an address is held although its pool excludes it"),
    ("drifted-values", "prefix or gateway of an address are not what its pool says"),
    ("unprotected-address", "an address lacks the finalizer that keeps it"),
    ("dangling-reference", "a claim publishes an IPAddress that is gone"),
    ("foreign-reference", "a claim publishes the IPAddress of another claim"),
    ("unprotected-claim", "a claim with an address lacks the finalizer that releases it"),
    ("missing-pool", "a claim names a pool that is not there"),
    ("unserved-claim", "a claim waits although nothing stands in its way"),
    ("stuck-deletion", "a deletion does not come to its end"),
    ("invalid-pool", "a pool's spec is not valid"),
    ("overlapping-pools", "two pools hold the same addresses"),
    ("name-collision", "two pools need the same names for their addresses"),
    ("held-reservation", "a reserved address is held by another claim"),
    ("drifted-indexes", "the indexes in a pool's status are not what is held"),
    ("unprotected-pool", "a pool with addresses lacks the finalizer that keeps it"),
];

/// How long something may take until it counts as stuck.
const PATIENCE: i64 = 300;
/// How long a claim may wait for a controller's turn.
const TURN: i64 = 60;

/// What all checks look at.
struct Scene<'a> {
    world: &'a World,
    joined: Joined<'a>,
    reasons: Reasons<'a>,
    /// The addresses of each pool, whether the pool is there or not.
    of_pool: HashMap<Key, Vec<&'a Address>>,
    now: Timestamp,
    findings: Vec<Finding>,
}

impl<'a> Scene<'a> {
    fn addresses_of(&self, pool: &IPPool) -> &[&'a Address] {
        self.of_pool.get(&key(pool)).map(Vec::as_slice).unwrap_or_default()
    }

    fn find(
        &mut self,
        severity: Severity,
        id: &'static str,
        object: Object,
        message: String,
        command: String,
        mends: Vec<Mend>,
    ) {
        debug_assert!(CHECKS.iter().any(|(known, _)| *known == id), "{id}");
        self.findings.push(Finding { id, severity, object, message, command, mends });
    }

    fn error(&mut self, id: &'static str, object: Object, message: String, mends: Vec<Mend>) {
        let command = next(&object, &mends);
        self.find(Severity::Error, id, object, message, command, mends);
    }

    fn warning(&mut self, id: &'static str, object: Object, message: String, mends: Vec<Mend>) {
        let command = next(&object, &mends);
        self.find(Severity::Warning, id, object, message, command, mends);
    }
}

/// What mends it; where nothing does, what shows the object to who has to decide.
fn next(object: &Object, mends: &[Mend]) -> String {
    if mends.is_empty() {
        return format!("kubectl get {} -n {} -o yaml", object.shown(), object.namespace);
    }
    format!("kubectl ipam repair -n {}", object.namespace)
}

/// Everything that is wrong, the worst first.
pub fn check(world: &World, now: Timestamp) -> Vec<Finding> {
    let mut of_pool: HashMap<Key, Vec<&Address>> = HashMap::new();
    for address in &world.addresses {
        of_pool.entry((address.meta.namespace, address.pool)).or_default().push(address);
    }
    let (joined, reasons) = (Joined::new(world), Reasons::new(world));
    let mut scene = Scene { world, joined, reasons, of_pool, now, findings: Vec::new() };
    let pauses = Pauses::of(world, &scene.joined);
    addresses::check(&mut scene);
    claims::check(&mut scene);
    // What a pool should say depends on which addresses are going to be deleted.
    pauses.withhold(&mut scene.findings);
    pools::check(&mut scene);
    let mut findings = scene.findings;
    pauses.withhold(&mut findings);
    let order = |finding: &Finding| {
        let check = CHECKS.iter().position(|(id, _)| *id == finding.id);
        (finding.severity, check, finding.object.namespace.clone(), finding.object.name.clone())
    };
    findings.sort_by_key(order);
    findings
}

/// The findings of a look that a later look still has: what was just under way is none.
pub fn confirmed(earlier: &[Finding], later: Vec<Finding>) -> Vec<Finding> {
    let earlier: HashSet<(&str, &Object)> =
        earlier.iter().map(|finding| (finding.id, &finding.object)).collect();
    later.into_iter().filter(|finding| earlier.contains(&(finding.id, &finding.object))).collect()
}

/// The writes that mend the findings, in the order in which they are safe, none twice.
pub fn mends(findings: &[Finding]) -> Vec<Mend> {
    let mut mends: Vec<Mend> = Vec::new();
    let mut planned: HashMap<&Object, Vec<&Action>> = HashMap::new();
    for mend in findings.iter().flat_map(|finding| &finding.mends) {
        let of_object = planned.entry(&mend.object).or_default();
        if !of_object.contains(&&mend.action) {
            of_object.push(&mend.action);
            mends.push(mend.clone());
        }
    }
    mends.sort_by_key(|mend| mend.rank);
    mends
}
