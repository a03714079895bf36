//! Claims of both kinds on one pool, with watches that lag, and with two controllers at once.

use std::time::Duration;

use futures::StreamExt;
use ipam::api::{Family, Kind};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use testbed::proxy::{Match, Verb, WatchHold};

use crate::history::{History, Writers};
use crate::process::ALONE;
use crate::replica::Replica;
use crate::scene::{Scene, published};

/// The fixed share of every test run. `make mixed` sets more.
const SEEDS: u64 = 1;
const CLAIMS: u32 = 120;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Holds back the events of some kind, now and then, until it is dropped.
async fn lag(scene: &Scene, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    loop {
        let family = Family::ALL[rng.random_range(0..2)];
        let kind = if rng.random_bool(0.5) { Kind::Claim(family) } else { Kind::Address(family) }.resource();
        let hold = scene.proxy.hold_watch(&format!("{}.{}", kind.plural, kind.group));
        // How long is what this is about; what comes of it is waited for by its condition.
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..5000))).await;
        hold.release();
    }
}

/// So many claims, half of each kind, made in parallel.
async fn make(scene: &Scene, claims: u32) {
    let make = |n: u32| async move {
        let family = Family::ALL[n as usize % 2];
        scene.create_claim_of(family, &format!("c{n}"), "p", json!({})).await;
    };
    futures::stream::iter(0..claims).map(make).buffer_unordered(32).collect::<Vec<()>>().await;
}

async fn all_bound(scene: &Scene) {
    for family in Family::ALL {
        let bound = || async {
            let all =
                scene.of_kind(Kind::Claim(family)).list(&kube::api::ListParams::default()).await.unwrap();
            all.items.iter().all(|claim| published(claim).is_some()).then_some(())
        };
        scene.until("all claims are bound", bound).await;
    }
}

#[tokio::test]
async fn d1_d3_d7_claims_of_both_kinds_under_lagging_watches_double_nothing() {
    let claims = u32::try_from(setting("MIXED_CLAIMS", u64::from(CLAIMS))).unwrap();
    for seed in 0..setting("MIXED_SEEDS", SEEDS) {
        let mut scene = Scene::new("mixed").await;
        let history = History::begin(&scene).await;
        scene.start_controller();
        let strategy = if seed % 2 == 0 { "random" } else { "sequential" };
        let spec = json!({"pools": [{"subnet": "10.0.0.0/23"}], "allocationStrategy": strategy});
        scene.create_pool("p", &spec).await;
        tokio::select! {
            () = async { make(&scene, claims).await; all_bound(&scene).await } => {}
            () = lag(&scene, seed) => {}
        }
        scene.in_order().await;
        history.judge(&scene, Writers::One).await;
    }
}

#[tokio::test]
async fn d1_two_controllers_at_once_double_nothing() {
    let scene = Scene::new("two").await;
    let history = History::begin(&scene).await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.60"}]})).await;
    let first = Replica::start(&scene, "first", &ALONE).await;
    let second = Replica::start(&scene, "second", &ALONE).await;
    first.leads().await;
    second.leads().await;
    scene.pool_is("p", "Available").await;
    // Each sees the claims of one kind late, and so hands out the lowest addresses to those of the other; neither sees what the
    // other has made before all has been taken.
    let addresses = [&first, &second].map(|of| of.proxy.hold_watch("ipaddresses"));
    let claims = [(&first, Family::Capi), (&second, Family::Metal3)]
        .map(|(of, family)| of.proxy.hold_watch(Kind::Claim(family).resource().plural));
    make(&scene, 40).await;
    for held in &claims {
        held.buffered(20).await.unwrap();
    }
    for of in [&first, &second] {
        of.proxy.seen(&Match::verb(Verb::Post).resource("ipaddresses"), 20).await.unwrap();
    }
    addresses.into_iter().chain(claims).for_each(WatchHold::release);
    all_bound(&scene).await;
    scene.in_order().await;
    history.judge(&scene, Writers::Several).await;
    // Both did take the same addresses: else this would prove nothing.
    let withdrawn = Match::verb(Verb::Delete).resource("ipaddresses");
    assert!(first.proxy.count(&withdrawn) + second.proxy.count(&withdrawn) > 0);
}
