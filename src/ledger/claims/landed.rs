//! What became of the writes of a claim.

use std::time::Duration;

use rand::Rng;

use super::super::{Act, Ledger, Now, Outcome, Write};
use super::End;
use super::fence::Fence;
use crate::api::Kind;

impl Ledger {
    pub(in crate::ledger) fn claim_landed(
        &mut self,
        write: &Write,
        outcome: &Outcome,
        now: Now,
        rng: &mut impl Rng,
    ) {
        let id = &write.subject;
        let Some(entry) = self.claims.get_mut(id) else { return };
        entry.in_flight = false;
        let (is_take, is_look) = (matches!(write.act, Act::Take(_)), matches!(write.act, Act::Look { .. }));
        if is_take {
            entry.refusal = match outcome {
                // A creation has no guard: what that says is that the object is not valid.
                Outcome::Refused(why) | Outcome::GuardFailed(why) => Some(why.as_str().into()),
                _ => None,
            };
        }
        match outcome {
            Outcome::Seen(_) | Outcome::Gone if is_look => {
                if !self.looked(write, outcome)
                    && let Some(entry) = self.claims.get_mut(id)
                {
                    entry.retry.failed(now.elapsed, None, rng);
                }
            }
            Outcome::Seen(seen) if is_take || matches!(write.act, Act::Adopt(_)) => {
                let uid = &seen.meta().uid;
                let touched = entry.reserve.as_ref().and_then(|reserve| reserve.touched.as_ref());
                if is_take || touched.is_none_or(|(object, _)| object != uid) {
                    // What was marked already is marked anew as its publication fails.
                    entry.retry.succeeded();
                }
                if let Some(reserve) = &mut entry.reserve {
                    if reserve.touched.as_ref().is_some_and(|(former, _)| former != uid) {
                        // What was read of the other family was read for the object that was there before.
                        reserve.fence = Fence::Due;
                        self.surveys.forget(id);
                    }
                    reserve.touched = Some((uid.clone(), reserve.asked));
                    if is_take {
                        reserve.made = Some(uid.clone());
                    }
                }
            }
            Outcome::Seen(_) | Outcome::Names { .. } => {
                // That it can be said why a claim has no address is no success of what fails.
                let says_why = matches!(&write.act, Act::Publish { status, .. } if status.address.is_none());
                if !says_why || entry.refusal.is_none() {
                    entry.retry.succeeded();
                }
            }
            Outcome::NotNow(wish) => {
                entry.retry.failed(now.elapsed, *wish, rng);
                if let Some(reserve) = entry.reserve.as_mut().filter(|_| is_take) {
                    // Nothing was done.
                    reserve.asked = Duration::ZERO;
                }
            }
            Outcome::Exists | Outcome::Unknown(_) if is_take => {
                entry.retry.failed(now.elapsed, None, rng);
                if let Some(reserve) = &mut entry.reserve {
                    reserve.unsure = true;
                }
            }
            Outcome::Gone if !is_take => entry.retry.succeeded(),
            Outcome::Gone | Outcome::Exists | Outcome::Refused(_) | Outcome::GuardFailed(_) => {
                entry.retry.failed(now.elapsed, None, rng);
                entry.unsure = true;
                if is_take {
                    self.drop_reserve(id);
                }
                self.doubt_target(write);
            }
            Outcome::Unknown(_) => {
                entry.retry.failed(now.elapsed, None, rng);
                entry.unsure = true;
                // A publication may come late: from now on the object is as if another controller had made it.
                if let Some(reserve) = &mut entry.reserve {
                    reserve.made = None;
                }
                self.doubt_target(write);
            }
        }
        // A claim that cannot be protected keeps no address from others.
        if matches!(write.act, Act::Protect { .. }) && !matches!(outcome, Outcome::Seen(_)) {
            self.drop_reserve(id);
        }
    }

    /// A write that concerned an address object and went wrong leaves that object in doubt, not only the claim.
    fn doubt_target(&mut self, write: &Write) {
        if let Some((target, _)) = write.missing().filter(|(target, _)| *target != write.subject) {
            self.doubt(&target);
        }
    }

    /// What a read showed: of the claim itself, of the other family's address object, or of the one that a take needs. False
    /// if it has to be read once more.
    fn looked(&mut self, write: &Write, outcome: &Outcome) -> bool {
        let Some(entry) = self.claims.get_mut(&write.subject) else { return true };
        let Act::Look { object, .. } = &write.act else { return true };
        if *object == write.subject {
            entry.unsure = false;
            entry.prove_heirloom();
            return true;
        }
        if object.kind == Kind::Address(write.subject.family().other()) {
            // What there is of it is taken in now; whether it stands in the way is seen from who holds the address. One that was
            // shown and counts as gone is not taken in: it is read once more.
            let uid = if let Outcome::Seen(seen) = outcome { Some(&seen.meta().uid) } else { None };
            let counts_as_gone = uid.is_some_and(|uid| self.graveyard.holds(object.kind, uid));
            if !counts_as_gone && self.twin(&write.subject).as_ref() == Some(object) {
                self.set_fence(&write.subject, Fence::Passed);
            }
            return !counts_as_gone;
        }
        let stays = matches!(outcome, Outcome::Seen(seen) if !seen.meta().deleting);
        if entry.end == End::Sought {
            entry.end = if stays { End::Unknown } else { End::Seen };
        }
        match outcome {
            // Not there: a take that went unanswered is sent again under the same name, so that if the first takes
            // effect after all, the second finds it.
            Outcome::Gone => {
                if let Some(reserve) = &mut entry.reserve {
                    reserve.unsure = false;
                }
            }
            _ => self.drop_reserve(&write.subject),
        }
        true
    }
}
