//! Defects that claims show.

use super::{Mend, Object, PATIENCE, Scene, Severity, TURN};
use crate::output::ago;
use crate::why::Why;
use crate::world::{Address, Claim};

pub(super) fn check(scene: &mut Scene) {
    let world = scene.world;
    for claim in &world.claims {
        if claim.meta.deleting() {
            stuck(scene, claim);
        } else {
            reference(scene, claim);
            pool(scene, claim);
            unserved(scene, claim);
        }
    }
}

fn object(claim: &Claim) -> Object {
    Object::of(claim.kind(), &claim.meta)
}

/// What the claim publishes.
fn reference(scene: &mut Scene, claim: &Claim) {
    let Some(name) = claim.address else { return };
    match scene.joined.address_of(claim) {
        None => {
            let message = format!("it publishes the IPAddress {name}, which is gone");
            let mend = Mend::clear_reference(claim, "its IPAddress is gone");
            scene.error("dangling-reference", object(claim), message, mend.into_iter().collect());
        }
        Some(address) if address.claim != claim.meta.name => {
            let message =
                format!("it publishes {}, which the claim {} holds", address.shown(), address.claim);
            let mend = Mend::clear_reference(claim, "the address is another claim's");
            scene.error("foreign-reference", object(claim), message, mend.into_iter().collect());
        }
        Some(_) if !claim.meta.held_by_us(claim.kind()) => {
            let message =
                "it has an address and lacks the finalizer: its deletion would leak the address".to_owned();
            let mend = Mend::protect(object(claim), &claim.meta, "it lacks its finalizer");
            scene.error("unprotected-claim", object(claim), message, mend.into_iter().collect());
        }
        Some(_) => {}
    }
}

/// The pool is not there, or in another namespace.
fn pool(scene: &mut Scene, claim: &Claim) {
    if scene.reasons.knows_pool_of(claim) && claim.elsewhere.is_none() {
        return;
    }
    let reason = scene.reasons.why(claim);
    // A bound claim whose pool went away is seen by its address.
    if matches!(reason, Why::NoPool { .. } | Why::PoolElsewhere { .. }) {
        let (message, command) = (reason.sentence(), reason.command(claim));
        scene.find(Severity::Warning, "missing-pool", object(claim), message, command, Vec::new());
    }
}

/// It waits, and nothing stands in its way.
fn unserved(scene: &mut Scene, claim: &Claim) {
    let age = claim.meta.age(scene.now).unwrap_or_default();
    if claim.bound().is_some() || age < TURN || !matches!(scene.reasons.why(claim), Why::Servable { .. }) {
        return;
    }
    let said = claim.why().map_or(String::new(), |said| format!("; it says `{said}`, which is not true now"));
    let message = format!("it waits for {} although nothing stands in its way{said}", ago(age));
    let mends: Vec<Mend> = Mend::clear_error(claim, "what it says is not true now").into_iter().collect();
    if mends.is_empty() {
        let command = "kubectl ipam version".to_owned();
        return scene.find(Severity::Error, "unserved-claim", object(claim), message, command, mends);
    }
    scene.error("unserved-claim", object(claim), message, mends);
}

/// The deletion does not come to its end: other controllers hold the claim, or nobody lets it go.
fn stuck(scene: &mut Scene, claim: &Claim) {
    let Some(since) = claim.meta.dying_for(scene.now).filter(|since| *since >= PATIENCE) else { return };
    let reason = scene.reasons.why(claim);
    let message = format!("{} (for {})", reason.sentence(), ago(since));
    if let Why::HeldByOthers { .. } = reason {
        let command = reason.command(claim);
        return scene.find(Severity::Warning, "stuck-deletion", object(claim), message, command, Vec::new());
    }
    if claim.meta.paused() {
        let command = Why::ClaimPaused.command(claim);
        return scene.find(Severity::Warning, "stuck-deletion", object(claim), message, command, Vec::new());
    }
    let why = "its claim is being deleted, and nobody releases it";
    let its: Vec<&Address> =
        scene.world.addresses.iter().filter(|address| is_of(scene, address, claim)).collect();
    let mut mends = Vec::new();
    for address in its {
        let object = Object::of(address.kind(), &address.meta);
        mends.extend((!address.meta.deleting()).then(|| Mend::delete(object.clone(), &address.meta, why)));
        mends.extend(Mend::let_go(object, &address.meta, why));
    }
    mends.extend(Mend::let_go(
        object(claim),
        &claim.meta,
        "its deletion was asked for, and nobody lets it go",
    ));
    scene.error("stuck-deletion", object(claim), message, mends);
}

fn is_of(scene: &Scene, address: &Address, claim: &Claim) -> bool {
    scene.joined.claim_of(address).is_some_and(|of| of.meta.uid == claim.meta.uid)
}
