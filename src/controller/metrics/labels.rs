//! The labels, and the words in them.

use prometheus_client::encoding::EncodeLabelSet;

use crate::ledger::{Act, Outcome};

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

/// A lease, or a queue.
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
        Act::PoolStatus(_) => "pool_status",
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
