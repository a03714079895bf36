//! The fence between a take and its publication.
//!
//! Names keep two claims of one family apart, and not an `IPClaim` from an `IPAddressClaim`: their addresses are of two
//! kinds. One ledger never gives one address to both, but a second controller might: a leader that was asleep, or the
//! controller that this one replaces. So each first makes its own object and then reads whether the other family has
//! one of that name. Of two that do so, at least one sees the other and withdraws. One list of names covers every take
//! that came before it. It is asked for even where the other kinds are not known to be installed: what a controller
//! knows of that may be as old as the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use rand::Rng;

use super::super::retry::Retry;
use super::super::{Act, Id, Ledger, Now, Outcome, Text, Write};
use crate::api::Kind;

/// With more objects of the other family than this in the namespace, reading one by name costs the API server less than
/// listing the names of all.
const MANY: usize = 100;

/// Lists of names follow each other at this distance at least, where claims come one after the other. A claim that comes
/// alone waits for nothing.
const PACE: Duration = Duration::from_millis(20);

/// What is known of the other family's object of the name that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Fence {
    /// Nothing since the take.
    #[default]
    Due,
    /// There may be one, and it has to be read.
    Doubtful,
    /// There was none after the take, or what there was has been taken in.
    Passed,
}

/// What a claim that is about to publish an address has to do first.
pub(super) enum Gate {
    /// Nothing.
    Open,
    /// This.
    Step(Act),
    /// Wait for a list that is under way.
    Wait,
}

/// The lists of names that are under way, by namespace and kind.
#[derive(Clone, Default)]
pub(in crate::ledger) struct Surveys(BTreeMap<(Text, Kind), Survey>);

#[derive(Clone, Default)]
struct Survey {
    under_way: bool,
    /// Claims whose take came before the list that is under way.
    covered: BTreeSet<Id>,
    /// Claims that need the one after that.
    next: BTreeSet<Id>,
    /// That one is not asked for before, so that it covers more than a few takes, and after a failure.
    not_before: Duration,
    retry: Retry,
}

impl Surveys {
    /// Feeds what they will do from `now` on into a hasher.
    pub fn digest(&self, now: Duration, into: &mut impl Hasher) {
        for (key, Survey { under_way, covered, next, not_before, retry }) in &self.0 {
            (key, under_way, covered, next, not_before.saturating_sub(now), retry.left(now)).hash(into);
        }
    }

    /// No list covers what this claim takes from now on.
    pub fn forget(&mut self, claim: &Id) {
        if let Some(survey) = self.0.get_mut(&key(claim)) {
            survey.covered.remove(claim);
            survey.next.remove(claim);
        }
    }
}

/// The list that a claim has to wait for: the names of the other family's addresses in its namespace.
fn key(claim: &Id) -> (Text, Kind) {
    (claim.namespace.clone(), Kind::Address(claim.family().other()))
}

impl Ledger {
    /// What has to be known before the claim may publish the address that it has reserved.
    pub(super) fn gate(&mut self, id: &Id, now: Now) -> Gate {
        let (namespace, kind) = key(id);
        let Some(reserve) = self.claims.get(id).and_then(|entry| entry.reserve.as_ref()) else {
            return Gate::Open;
        };
        let fence = reserve.fence;
        let Some(twin) = self.twin(id).filter(|_| fence != Fence::Passed) else { return Gate::Open };
        if fence == Fence::Doubtful || self.has_many(kind, &namespace) {
            return Gate::Step(self.look(&twin));
        }
        let survey = self.surveys.0.entry((namespace, kind)).or_default();
        if survey.under_way || now.elapsed < survey.not_before {
            if !survey.covered.contains(id) {
                survey.next.insert(id.clone());
            }
            if let Some(task) = self.claims.get(id).map(|entry| entry.task()).filter(|_| !survey.under_way) {
                self.timers.insert((survey.not_before, task));
            }
            return Gate::Wait;
        }
        survey.under_way = true;
        survey.not_before = now.elapsed + PACE;
        survey.covered = std::mem::take(&mut survey.next);
        survey.covered.insert(id.clone());
        Gate::Step(Act::Survey { kind })
    }

    /// Takes in what became of a list of names, for all claims that it covers.
    pub(in crate::ledger) fn surveyed(
        &mut self,
        write: &Write,
        outcome: &Outcome,
        now: Now,
        rng: &mut impl Rng,
    ) {
        let Act::Survey { kind } = write.act else { return };
        let key = (write.subject.namespace.clone(), kind);
        let Some(survey) = self.surveys.0.get_mut(&key) else { return };
        survey.under_way = false;
        let covered = std::mem::take(&mut survey.covered);
        let none = BTreeSet::new();
        let (names, complete) = match outcome {
            Outcome::Names { names, complete } => (names, *complete),
            // The kind is not served any more: it has no objects.
            Outcome::Gone => (&none, true),
            Outcome::NotNow(wish) => return self.survey_again(&key, covered, *wish, now, rng),
            _ => return self.survey_again(&key, covered, None, now, rng),
        };
        survey.retry.succeeded();
        let next: Vec<Id> = survey.next.iter().cloned().collect();
        if next.is_empty() {
            self.surveys.0.remove(&key);
        }
        for claim in &covered {
            self.compare(claim, names, complete);
        }
        covered.iter().chain(&next).for_each(|claim| self.wake(claim));
    }

    /// A list that failed is asked for again after a while, whoever asks for it: all wait for the same.
    fn survey_again(
        &mut self,
        key: &(Text, Kind),
        covered: BTreeSet<Id>,
        wish: Option<Duration>,
        now: Now,
        rng: &mut impl Rng,
    ) {
        let Some(survey) = self.surveys.0.get_mut(key) else { return };
        survey.retry.failed(now.elapsed, wish, rng);
        survey.not_before = survey.retry.due_after(now.elapsed).unwrap_or(survey.not_before);
        survey.next.extend(covered);
        if survey.next.is_empty() {
            self.surveys.0.remove(key);
            return;
        }
        let turns = survey.next.iter().filter_map(|claim| Some(self.claims.get(claim)?.task()));
        self.timers.extend(turns.map(|task| (survey.not_before, task)));
    }

    /// Whether the other family has an object of the name that a claim has taken, as far as these names say.
    fn compare(&mut self, claim: &Id, names: &BTreeSet<Text>, complete: bool) {
        let Some(twin) = self.twin(claim) else { return };
        // A name says nothing of which object has it: that the ledger knows one of it may be the knowledge of an earlier one.
        let is_clear = complete && !names.contains(&twin.name);
        self.set_fence(claim, if is_clear { Fence::Passed } else { Fence::Doubtful });
    }

    pub(super) fn set_fence(&mut self, claim: &Id, fence: Fence) {
        if let Some(reserve) = self.claims.get_mut(claim).and_then(|entry| entry.reserve.as_mut()) {
            reserve.fence = fence;
        }
    }

    /// The object that the other family would have for the address that a claim has reserved. Of a pool that does not
    /// exist (any more) it is not known what its objects are called; another controller may not know yet that it went.
    pub(super) fn twin(&self, claim: &Id) -> Option<Id> {
        let entry = self.claims.get(claim)?;
        let reserve = entry.reserve.as_ref()?;
        let book = self.books.get(&entry.claim.pool_id());
        let name = book.and_then(|book| book.name_for(reserve.ip)).unwrap_or_else(|| reserve.name.clone());
        Some(entry.claim.address_id(&name).twin())
    }

    fn has_many(&self, kind: Kind, namespace: &Text) -> bool {
        let first = Id { kind, namespace: namespace.clone(), name: "".into() };
        let objects = self.addresses.range(first..).map(|(id, _)| id);
        objects.take_while(|id| id.kind == kind && id.namespace == *namespace).take(MANY + 1).count() > MANY
    }
}
