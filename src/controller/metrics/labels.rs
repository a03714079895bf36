//! The labels, and the words in them.

use prometheus_client::encoding::EncodeLabelSet;

use crate::api::Kind;
use crate::ledger::{Act, Fate, Outcome};

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reconciled {
    pub controller: &'static str,
    pub result: &'static str,
}

/// A kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kinds {
    pub controller: &'static str,
}

/// A kind whose objects are watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Watched {
    pub group: &'static str,
    pub kind: &'static str,
}

/// Claims of a kind that fare alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Fates {
    pub group: &'static str,
    pub kind: &'static str,
    pub state: &'static str,
}

/// What writes are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Acts {
    pub act: &'static str,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Written {
    pub act: &'static str,
    pub outcome: &'static str,
}

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Requested {
    pub code: String,
    pub method: String,
    pub host: String,
}

/// An admission webhook, by its path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Webhook {
    pub webhook: String,
}

/// A review that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    pub webhook: String,
    pub code: u16,
}

/// A review that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Judged {
    pub webhook: String,
    pub verdict: &'static str,
}

/// A lease, a queue, or what a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Name {
    pub name: &'static str,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PoolName {
    pub namespace: String,
    pub pool: String,
}

impl Watched {
    /// The kind with its group, as two families have addresses of one name.
    pub fn of(kind: Kind) -> Self {
        Self { group: kind.group(), kind: kind.name() }
    }
}

/// How claims fare, in words.
pub(super) fn state(fate: Fate) -> &'static str {
    match fate {
        Fate::Bound => "bound",
        Fate::Waiting => "waiting",
        Fate::Refused => "refused",
        Fate::HeldUp => "held_up",
        Fate::New => "new",
        Fate::Releasing => "releasing",
    }
}

/// What is done by a write, in one word.
pub(super) fn act(act: &Act) -> &'static str {
    match act {
        Act::Protect { .. } => "protect",
        Act::Take(_) => "take",
        Act::Adopt(_) => "adopt",
        Act::Publish { .. } => "publish",
        Act::Delete { .. } => "delete",
        Act::Strip { .. } => "strip",
        Act::Dress(_) => "dress",
        Act::PoolStatus { .. } => "pool_status",
        Act::Survey { .. } => "survey",
        Act::Look { .. } => "look",
    }
}

/// What became of a write, in one word.
pub(super) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Seen(_) | Outcome::Names { .. } => "done",
        Outcome::Gone => "gone",
        Outcome::Exists => "name_taken",
        Outcome::GuardFailed(_) => "guard_failed",
        Outcome::Refused(_) => "refused",
        Outcome::NotNow(_) => "not_now",
        Outcome::Unknown(_) => "unknown",
    }
}

/// A step that did not succeed.
pub(super) const ERROR: &str = "error";

/// What became of a write, in controller-runtime's words.
pub(super) fn result(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Seen(_) | Outcome::Names { .. } | Outcome::Gone => "success",
        Outcome::NotNow(_) => "requeue_after",
        Outcome::Exists | Outcome::GuardFailed(_) | Outcome::Refused(_) | Outcome::Unknown(_) => ERROR,
    }
}
