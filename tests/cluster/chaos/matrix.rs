//! Every kind of write × every answer, all at once: each claim, and each pool, meets one fault in its life.

use std::collections::BTreeMap;

use futures::StreamExt;
use ipam::api::{Family, Kind};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use testbed::proxy::{Handle, Rule};

use super::faults::{CLAIM_WRITES, FAULTS, POOL_WRITES, action, claim_write, pool_write};
use super::tally::Tally;
use crate::history::{History, Writers};
use crate::scene::{Scene, published};

/// How many claims and pools are made at a time.
const AT_ONCE: usize = 16;

/// One claim or pool, and the fault that it will meet.
struct Case {
    family: Option<Family>,
    write: &'static str,
    fault: usize,
    name: String,
    met: Handle,
}

/// The address that a claim asks for: no name of one address object is a part of another's.
fn ip(write: usize, fault: usize, family: Family) -> String {
    let block = if family == Family::Metal3 { 100 } else { 200 };
    format!("10.{block}.{}.{}", 100 + write, 100 + fault)
}

fn claim_cases(scene: &Scene) -> Vec<(Case, String)> {
    let mut cases = Vec::new();
    for family in Family::ALL {
        for (w, write) in CLAIM_WRITES.into_iter().enumerate() {
            for fault in 0..FAULTS.len() {
                let (name, ip) = (format!("w{w:02}-f{fault:02}"), ip(w, fault, family));
                let object = format!("p-{}", ip.replace('.', "-"));
                let on_address = matches!(write, "take" | "delete" | "strip address" | "adopt");
                let on = claim_write(write, family).name(if on_address { &object } else { &name });
                let met = scene.proxy.add(Rule::new(on, action(fault)).once());
                cases.push((Case { family: Some(family), write, fault, name, met }, ip));
            }
        }
    }
    cases
}

fn pool_cases(scene: &Scene) -> Vec<Case> {
    let all = POOL_WRITES.into_iter().flat_map(|write| (0..FAULTS.len()).map(move |fault| (write, fault)));
    all.map(|(write, fault)| {
        let name = format!("{}-f{fault:02}", write.replace(' ', "-"));
        let met = scene.proxy.add(Rule::new(pool_write(write).name(&name), action(fault)).once());
        Case { family: None, write, fault, name, met }
    })
    .collect()
}

async fn make_claim(scene: &Scene, case: &Case, ip: &str) {
    let family = case.family.unwrap();
    let asked = if case.write == "refuse" { "10.9.9.9" } else { ip };
    let metadata = json!({"annotations": {"ipAddress": asked}});
    if case.write == "adopt" {
        // Somebody has made the object by hand.
        make_address(scene, family, &case.name, ip).await;
    }
    scene.create_claim_of(family, &case.name, "p", metadata).await;
}

/// An address object for a claim that is to come.
async fn make_address(scene: &Scene, family: Family, claim: &str, ip: &str) {
    let metadata = json!({"name": format!("p-{}", ip.replace('.', "-"))});
    let spec = match family {
        Family::Metal3 => json!({"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}}),
        Family::Capi => json!({
            "address": ip, "prefix": 8, "claimRef": {"name": claim},
            "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"},
        }),
    };
    scene.create(Kind::Address(family), &metadata, &spec, &Value::Null).await;
}

async fn make_pool(scene: &Scene, case: &Case) {
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]});
    scene.create_pool(&case.name, &spec).await;
}

/// Waits until each claim has what it asked for, or is refused where that is not to be had.
async fn all_served(scene: &Scene, cases: &[(Case, String)]) {
    for family in Family::ALL {
        let look = || async {
            let all = scene.of_kind(Kind::Claim(family)).list(&ListParams::default()).await.unwrap();
            let by_name: BTreeMap<_, _> =
                all.items.into_iter().map(|claim| (claim.metadata.name.clone().unwrap(), claim)).collect();
            let mut of_family = cases.iter().filter(|(case, _)| case.family == Some(family));
            let served = of_family.all(|(case, ip)| {
                let claim = &by_name[&case.name];
                let wanted = format!("p-{}", ip.replace('.', "-"));
                match case.write {
                    "refuse" => crate::scene::ready(claim)
                        .is_some_and(|ready| ready["message"] == "Requested IP out of bounds"),
                    _ => published(claim).is_some_and(|name| name == wanted),
                }
            });
            served.then_some(())
        };
        scene.until("every claim is served", look).await;
    }
}

async fn all_deleted(scene: &Scene, cases: &[(Case, String)], pools: &[Case]) {
    let delete = |(case, _): &(Case, String)| {
        let claims = scene.of_kind(Kind::Claim(case.family.unwrap()));
        let name = case.name.clone();
        async move { drop(claims.delete(&name, &DeleteParams::default()).await.unwrap()) }
    };
    let deletions: Vec<_> = cases.iter().map(delete).collect();
    futures::stream::iter(deletions).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    for pool in pools {
        drop(scene.pools.delete(&pool.name, &DeleteParams::default()).await.unwrap());
    }
    for kind in Family::ALL.into_iter().flat_map(|f| [Kind::Claim(f), Kind::Address(f)]) {
        let objects = scene.of_kind(kind);
        let look =
            || async { objects.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(()) };
        scene.until(&format!("nothing of {kind:?} is left"), look).await;
    }
    let look =
        || async { (scene.pools.list(&ListParams::default()).await.unwrap().items.len() == 1).then_some(()) };
    scene.until("one pool is left", look).await;
}

#[tokio::test]
async fn l3_l7_s2_no_answer_to_any_write_is_final() {
    let mut scene = Scene::new("matrix").await;
    let history = History::begin(&scene).await;
    let (claims, pools) = (claim_cases(&scene), pool_cases(&scene));
    scene.start_controller();
    let spec = json!({"pools": [{"start": "10.100.0.0", "end": "10.200.255.255"}]});
    scene.create_pool("p", &spec).await;
    let making: Vec<_> = pools.iter().map(|case| make_pool(&scene, case)).collect();
    futures::stream::iter(making).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let making: Vec<_> = claims.iter().map(|(case, ip)| make_claim(&scene, case, ip)).collect();
    futures::stream::iter(making).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    all_served(&scene, &claims).await;
    for pool in &pools {
        scene.pool_is(&pool.name, "Available").await;
    }
    scene.in_order().await;
    all_deleted(&scene, &claims, &pools).await;
    scene.in_order().await;

    let tally = Tally::default();
    for case in claims.iter().map(|(case, _)| case).chain(&pools) {
        assert_eq!(
            case.met.count(),
            1,
            "`{}` of {} did not meet `{}`",
            case.write,
            case.name,
            FAULTS[case.fault]
        );
        tally.fault(case.write, case.fault, case.met.count());
    }
    let revisions = history.judge(&scene, Writers::One).await;
    println!("{tally}{} lives, judged at {revisions} revisions", claims.len() + pools.len());
}
