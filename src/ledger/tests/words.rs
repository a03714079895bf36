//! Writes in words.

use super::server::called;
use crate::api::Family;
use crate::ledger::{Act, Adoption, Dress, Id, Shown, Write};

/// A write in words, all of it that a sentence is about.
pub fn words(write: &Write) -> String {
    let subject = called(&write.subject);
    match &write.act {
        Act::Protect { append: false } => format!("protect {subject}"),
        Act::Protect { append: true } => format!("protect {subject} beside others"),
        Act::Take(new) => format!("take {} for {}", new.ip, called(&new.claim)),
        Act::Adopt(adoption) => {
            format!("adopt {} for {subject}: {}", called(&adoption.address), lacks(adoption))
        }
        Act::Publish { status, .. } => publication(&write.subject, status),
        Act::Delete { address, .. } => format!("delete {}", called(address)),
        Act::Strip { object, .. } => format!("strip {}", called(object)),
        Act::Dress(dress) => format!("dress {subject}: {}", wears(dress)),
        Act::PoolStatus { .. } => format!("status of {subject}"),
        Act::Survey { .. } => format!("survey for {subject}"),
        Act::Look { object, .. } => format!("read {}", called(object)),
    }
}

fn publication(id: &Id, status: &Shown) -> String {
    let (claim, ready) = (called(id), status.ready.as_ref().unwrap());
    if ready.is {
        assert_eq!(status.error, None, "a claim that is served has no error");
        assert_eq!(&*ready.reason, "AddressAllocated");
        return format!("bind {claim} to {}", status.address.as_ref().unwrap());
    }
    let still = status.address.as_ref().map_or(String::new(), |name| format!(" (still {name})"));
    let how = match &status.error {
        None => "tell",
        Some(error) => {
            assert_eq!(id.family(), Family::Metal3, "Cluster API's kind has no such field");
            assert_eq!(error, &ready.message, "both say the same");
            "fail"
        }
    };
    format!("{how} {claim}: {}: {}{still}", ready.reason, ready.message)
}

fn lacks(adoption: &Adoption) -> String {
    let parts = [
        adoption.finalizer.map(|_| "finalizer"),
        adoption.annotations.map(|_| "annotations"),
        adoption.owner.map(|_| "owner"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn wears(dress: &Dress) -> String {
    let parts = [
        dress.finalizer.map(|_| "finalizer"),
        (!dress.labels.is_empty()).then_some("labels"),
        dress.owner.as_ref().map(|_| "owner"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
