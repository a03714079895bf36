//! What a claim that cannot be served shows, each text once.

use super::seen::Text;

/// What a claim's status has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has its address: the address object's name.
    Bound(Text),
    /// The requested address is none: the annotation's text.
    InvalidRequest(Text),
    /// The pool reserves one address for it and it asks for another.
    Conflicting,
    /// The address it asks for is held, or reserved for another claim.
    RequestTaken,
    /// The address it asks for is not the pool's to hand out.
    RequestOutOfBounds,
    /// The address reserved for it is held by another claim.
    PreAllocationTaken,
    /// The address reserved for it is not the pool's to hand out.
    PreAllocationOutOfBounds,
    /// No address is free.
    Exhausted,
    /// It is not the claim that is at fault, and waiting may help: why, as a sentence.
    NotReady(String),
}

/// So many characters of a text that somebody else wrote are quoted.
const QUOTED: usize = 128;

impl Verdict {
    /// The reason of a claim that has its address.
    pub const ALLOCATED: &str = "AddressAllocated";
    /// The reason of one that waits for an address to become free.
    pub const EXHAUSTED: &str = "PoolExhausted";
    /// The reason of one whose pool serves nobody now.
    pub const NOT_READY: &str = "PoolNotReady";
    /// The reason of one that cannot be served as it is, or as its pool reserves for it.
    pub const FAILED: &str = "AllocationFailed";

    /// Reason of the `Ready` condition; never empty.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bound(_) => Self::ALLOCATED,
            Self::Exhausted => Self::EXHAUSTED,
            Self::NotReady(_) => Self::NOT_READY,
            Self::InvalidRequest(_)
            | Self::Conflicting
            | Self::RequestTaken
            | Self::RequestOutOfBounds
            | Self::PreAllocationTaken
            | Self::PreAllocationOutOfBounds => Self::FAILED,
        }
    }

    /// Message of the `Ready` condition.
    pub fn message(&self) -> String {
        match self {
            Self::Bound(_) => "The address is allocated".into(),
            Self::InvalidRequest(text) => {
                // An annotation can be larger than a condition's message may be.
                let text: String = text.chars().take(QUOTED).collect();
                format!("Invalid ipAddress annotation \"{text}\": not a valid IP address")
            }
            Self::Conflicting => "PreAllocation and requested ip address are conflicting".into(),
            Self::RequestTaken => "Requested IP not available".into(),
            Self::RequestOutOfBounds => "Requested IP out of bounds".into(),
            Self::PreAllocationTaken => "Pre-allocated IP not available".into(),
            Self::PreAllocationOutOfBounds => "Pre-allocated IP out of bounds".into(),
            Self::Exhausted => "Exhausted IP Pools".into(),
            Self::NotReady(why) => why.clone(),
        }
    }

    /// `status.errorMessage`: only what will not pass by itself, as consumers take any text there for final.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Bound(_) | Self::NotReady(_) => None,
            _ => Some(self.message()),
        }
    }

    /// The claim has its address.
    pub fn is_bound(&self) -> bool {
        matches!(self, Self::Bound(_))
    }
}
