//! The floor: the writes that an allocation and a release cannot do without, and nothing else.
//!
//! They are the very requests that the controller sends, made by the same code and known in advance: nothing is watched,
//! and nothing has to be found out before the next one.

use futures::StreamExt;
use ipam::api::{CapiVersion, Kind, address_name};
use ipam::apply::{Applier, Reply, change};
use ipam::ledger::{Act, Id, NewAddress, Ready, Shown, Uid, Verdict, Write};
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::AT_ONCE;
use crate::scene::Scene;

/// An address object that was made: which one, and in which version.
#[derive(Clone)]
pub struct Taken {
    id: Id,
    uid: Uid,
    version: u64,
    /// Which address of the layout it has.
    n: usize,
}

/// Takes the addresses from the `first` on, one for each claim, and publishes them.
pub async fn allocate(scene: &Scene<'_>, claims: &[DynamicObject], first: usize) -> Vec<Taken> {
    let work = futures::stream::iter(claims.iter().enumerate());
    let work = work.map(|(n, claim)| take(scene, claim, first + n));
    // Unordered, or each that takes long would keep its successors from being begun.
    let mut taken: Vec<Taken> = work.buffer_unordered(AT_ONCE).collect().await;
    taken.sort_by_key(|taken| taken.n);
    taken
}

async fn take(scene: &Scene<'_>, claim: &DynamicObject, n: usize) -> Taken {
    let subject = scene.claim_id(claim);
    let (ip, (pool, pool_uid)) = (scene.layout.address(n), scene.pool_of(n));
    let name = address_name(pool, ip);
    let new = NewAddress {
        id: subject.beside(Kind::Address(scene.family), &name.as_str().into()),
        ip,
        prefix: Some(scene.layout.prefix()),
        gateway: None,
        dns: Vec::new(),
        claim: subject.clone(),
        claim_uid: uid(claim),
        pool: subject.beside(Kind::Pool, &pool.as_str().into()),
        pool_uid: pool_uid.clone(),
        labels: std::sync::Arc::default(),
    };
    let id = new.id.clone();
    let made = must(&scene.applier, claim, subject.clone(), Act::Take(Box::new(new))).await;
    let made: DynamicObject = serde_json::from_value(made.expect("an answer")).expect("an address");
    let bound = Verdict::Bound(name.as_str().into());
    let (reason, message) = (bound.reason().into(), bound.message().into());
    let ready = Ready { is: true, reason, message, since: 1_800_000_000 };
    let status = Shown { address: Some(name.as_str().into()), ready: Some(ready), ..Shown::default() };
    must(&scene.applier, claim, subject, Act::Publish { version: version(claim), status }).await;
    Taken { id, uid: uid(&made), version: version(&made), n }
}

/// Asks for the deletion of claims, and gives the address of each back at once.
pub async fn release(scene: &Scene<'_>, claims: &[DynamicObject], taken: &[Taken]) {
    let work = futures::stream::iter(claims.iter().zip(taken));
    let work = work.map(|(claim, taken)| async move {
        scene.delete_one(claim).await;
        give_back(scene, claim, taken).await;
    });
    work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Gives each address back, and at once to the next claim that waits.
pub async fn hand_on(
    scene: &Scene<'_>,
    claims: &[DynamicObject],
    taken: &[Taken],
    waiting: &[DynamicObject],
) {
    let work = futures::stream::iter(claims.iter().zip(taken).zip(waiting));
    let work = work.map(|((claim, taken), heir)| async move {
        scene.delete_one(claim).await;
        give_back(scene, claim, taken).await;
        take(scene, heir, taken.n).await;
    });
    work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn give_back(scene: &Scene<'_>, claim: &DynamicObject, taken: &Taken) {
    let Taken { id, uid: of, version, n: _ } = taken;
    let (subject, object) = (scene.claim_id(claim), id.clone());
    let delete = Act::Delete { address: object.clone(), uid: of.clone(), version: *version };
    must(&scene.applier, claim, subject.clone(), delete).await;
    let strip = Act::Strip { object, uid: of.clone(), at: 0 };
    must(&scene.applier, claim, subject.clone(), strip).await;
    let strip = Act::Strip { object: subject.clone(), uid: uid(claim), at: 0 };
    must(&scene.applier, claim, subject, strip).await;
}

fn uid(object: &DynamicObject) -> Uid {
    Uid::new(&object.uid().unwrap_or_default())
}

fn version(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).expect("a version is a number")
}

#[expect(clippy::panic, reason = "a floor that is refused measures nothing")]
async fn must(applier: &Applier, claim: &DynamicObject, subject: Id, act: Act) -> Option<serde_json::Value> {
    let write = Write { number: 0, subject, uid: uid(claim), act };
    match applier.carry_out(&change(&write, CapiVersion::V1Beta2)).await {
        Reply::Object(object) => Some(*object),
        Reply::Deleted => None,
        other => panic!("{write:?}: {other:?}"),
    }
}
