//! The floor: the writes that an allocation and a release cannot do without, and nothing else.
//!
//! They are the very requests that the controller sends, made by the same code and known in advance: nothing is watched,
//! and nothing has to be found out before the next one.

use std::net::{IpAddr, Ipv4Addr};

use futures::StreamExt;
use ipam::api::{CapiVersion, Kind};
use ipam::apply::{Applier, Reply, change};
use ipam::ledger::{Act, Id, NewAddress, Ready, Shown, Uid, Write};
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::AT_ONCE;
use crate::scene::Scene;

/// An address object that was made: which one, and in which version.
pub struct Taken {
    id: Id,
    uid: Uid,
    version: u64,
}

/// Takes an address for each claim and publishes it.
pub async fn allocate(scene: &Scene<'_>, claims: &[DynamicObject]) -> Vec<Taken> {
    let pool_uid = &scene.pool_uid;
    let work = futures::stream::iter(claims.iter().enumerate()).map(|(n, claim)| async move {
        let subject = scene.claim_id(claim);
        let ip = Ipv4Addr::from_bits(0x0a00_0002 + u32::try_from(n).expect("fewer claims"));
        let name = format!("p-{}", ip.to_string().replace('.', "-"));
        let new = NewAddress {
            id: subject.beside(Kind::Address(scene.family), &name.as_str().into()),
            ip: IpAddr::V4(ip),
            prefix: Some(8),
            gateway: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            dns: Vec::new(),
            claim: subject.clone(),
            claim_uid: uid(claim),
            pool: subject.beside(Kind::Pool, &"p".into()),
            pool_uid: pool_uid.clone(),
            labels: std::sync::Arc::default(),
        };
        let id = new.id.clone();
        let made = must(&scene.applier, claim, subject.clone(), Act::Take(Box::new(new))).await;
        let made: DynamicObject = serde_json::from_value(made.expect("an answer")).expect("an address");
        let status = Shown {
            address: Some(name.as_str().into()),
            ready: Some(Ready {
                is: true,
                reason: "AddressAllocated".into(),
                message: "The address is allocated".into(),
                since: 1_800_000_000,
            }),
            ..Shown::default()
        };
        must(&scene.applier, claim, subject, Act::Publish { version: version(claim), status }).await;
        Taken { id, uid: uid(&made), version: version(&made) }
    });
    work.buffered(AT_ONCE).collect().await
}

/// Gives the addresses of claims back whose deletion was asked for.
pub async fn release(scene: &Scene<'_>, claims: &[DynamicObject], taken: &[Taken]) {
    let work =
        futures::stream::iter(claims.iter().zip(taken)).map(|(claim, Taken { id, uid: of, version })| {
            let (subject, object) = (scene.claim_id(claim), id.clone());
            async move {
                let delete = Act::Delete { address: object.clone(), uid: of.clone(), version: *version };
                must(&scene.applier, claim, subject.clone(), delete).await;
                let strip = Act::Strip { object, uid: of.clone(), at: 0 };
                must(&scene.applier, claim, subject.clone(), strip).await;
                let strip = Act::Strip { object: subject.clone(), uid: uid(claim), at: 0 };
                must(&scene.applier, claim, subject, strip).await;
            }
        });
    work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

fn uid(object: &DynamicObject) -> Uid {
    Uid::new(&object.uid().unwrap_or_default())
}

fn version(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).expect("a version is a number")
}

#[expect(clippy::panic, reason = "a floor that did not do its writes measures nothing")]
async fn must(applier: &Applier, claim: &DynamicObject, subject: Id, act: Act) -> Option<serde_json::Value> {
    let write = Write { number: 0, subject, uid: uid(claim), act };
    match applier.carry_out(&change(&write, CapiVersion::V1Beta2)).await {
        Reply::Object(object) => Some(*object),
        Reply::Deleted => None,
        other => panic!("{write:?}: {other:?}"),
    }
}
