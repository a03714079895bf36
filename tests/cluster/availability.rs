//! Leaders that die or stand still, upgrades, and a control plane that goes away, with claims of both kinds coming in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipam::api::Family;
use rustix::process::Signal;
use serde_json::json;
use testbed::Component;
use testbed::proxy::{Entry, Match};

use crate::capi::own_plane_with_all;
use crate::history::{History, Writers};
use crate::load::Load;
use crate::replica::{Replica, grant_lease};
use crate::scene::Scene;

/// The lease of the candidates.
const LEASE: Duration = Duration::from_secs(5);
/// Between two claims of the load.
const PAUSE: Duration = Duration::from_millis(50);

/// A pool, and the history from its beginning.
async fn prepare(scene: &Scene) -> History {
    let history = History::begin(scene).await;
    grant_lease(scene).await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.9.250"}]})).await;
    history
}

/// Changes that count: not those of the lease.
fn is_change(entry: &Entry) -> bool {
    entry.call.verb.is_write() && entry.call.resource != "leases"
}

fn first_change(replica: &Replica) -> Instant {
    replica.proxy.log().iter().find(|entry| is_change(entry)).unwrap().started
}

/// Waits until so many claims are bound, and says how long the slowest took: that is what this machine can do now.
async fn pace(scene: &Scene, load: &Load, claims: usize) -> Duration {
    let since = Instant::now();
    let start = load.bound();
    let look = || async { (load.bound() >= start + claims).then_some(()) };
    scene.until("claims are bound", look).await;
    since.elapsed() / u32::try_from(claims).unwrap()
}

/// The second that a new leader has for its lists: on a machine that binds as fast as claims come. On a busy one all of
/// it takes longer, by as much as claims do.
pub fn leeway(pace: Duration) -> Duration {
    Duration::from_secs(1).max(pace * 20)
}

#[tokio::test]
async fn s13_under_load_the_standby_serves_within_the_lease_when_the_leader_is_killed() {
    let scene = Arc::new(Scene::new("ha-kill").await);
    let history = prepare(&scene).await;
    let leader = Replica::candidate(&scene, "first").await;
    leader.leads().await;
    let standby = Replica::candidate(&scene, "second").await;
    standby.stands_by().await;
    let mut load = Load::start(scene.clone(), PAUSE);
    let before = pace(&scene, &load, 20).await;
    leader.signal(Signal::KILL);
    let killed = Instant::now();
    scene.create_claim("next").await;
    scene.bound("next").await;
    let waited = killed.elapsed();
    // The machine may have become busy only meanwhile.
    let pace = before.max(pace(&scene, &load, 20).await);
    let claims = load.stop(&scene).await;
    println!("{claims} claims; the next was bound {waited:.1?} after the kill; a claim a {pace:.0?}");
    assert!(waited < LEASE + leeway(pace), "{waited:?}");
    scene.in_order().await;
    history.judge(&scene, Writers::One).await;
}

#[tokio::test]
async fn s13_under_load_a_leader_that_stood_still_past_its_lease_writes_nothing_after_its_successor() {
    let scene = Arc::new(Scene::new("ha-stop").await);
    let history = prepare(&scene).await;
    let mut leader = Replica::candidate(&scene, "first").await;
    leader.leads().await;
    let standby = Replica::candidate(&scene, "second").await;
    standby.stands_by().await;
    let mut load = Load::start(scene.clone(), PAUSE);
    pace(&scene, &load, 20).await;
    leader.signal(Signal::STOP);
    standby.proxy.until("the successor's first change", |log| log.iter().any(is_change)).await.unwrap();
    // It wakes up with its writes of then, and with claims that nobody has served yet.
    leader.signal(Signal::CONT);
    assert!(!leader.ended().await.success());
    load.stop(&scene).await;
    let first = first_change(&standby);
    let late: Vec<Entry> =
        leader.proxy.log().into_iter().filter(|entry| is_change(entry) && entry.started > first).collect();
    assert!(late.is_empty(), "{late:?}\n{}", leader.log());
    scene.in_order().await;
    history.judge(&scene, Writers::One).await;
}

#[tokio::test]
async fn in_a_rolling_upgrade_no_claim_fails_and_none_waits_longer_than_the_hand_over() {
    let scene = Arc::new(Scene::new("ha-roll").await);
    let history = prepare(&scene).await;
    let mut old = [Replica::candidate(&scene, "old0").await, Replica::candidate(&scene, "old1").await];
    let mut load = Load::start(scene.clone(), PAUSE);
    let before = pace(&scene, &load, 20).await;
    let (since, mut hand_over, mut new) = (Instant::now(), Duration::ZERO, Vec::new());
    let mut leaders = 0;
    for (n, replica) in old.iter_mut().enumerate() {
        let next = Replica::candidate(&scene, &format!("new{n}")).await;
        next.said("ready: all kinds are listed").await;
        new.push(next);
        let bound = load.bound();
        replica.signal(Signal::TERM);
        let asked = Instant::now();
        assert!(replica.ended().await.success(), "{}", replica.log());
        let log = replica.log();
        let (led, gave_back) = (log.contains("claims are served"), log.contains("the lease is given back"));
        assert!(gave_back || !led, "{log}");
        leaders += usize::from(led);
        // Whoever leads now serves: the lease was given back, or was another's all the time.
        let look = || async { (load.bound() > bound + 4).then_some(()) };
        scene.until("claims are bound again", look).await;
        hand_over = hand_over.max(asked.elapsed());
    }
    assert!(leaders > 0, "nobody led who was replaced");
    let pace = before.max(pace(&scene, &load, 20).await);
    let claims = load.stop(&scene).await;
    let longest = load.longest_since(since);
    println!("{claims} claims; hand-over {hand_over:.1?}, longest wait {longest:.1?}, a claim a {pace:.0?}");
    assert!(longest < hand_over + leeway(pace), "{longest:?} {hand_over:?}");
    // The lease was given back: nobody waited until it was over.
    assert!(hand_over < LEASE + leeway(pace), "{hand_over:?}");
    scene.in_order().await;
    history.judge(&scene, Writers::One).await;
}

/// What is true of one that has listed all kinds, whether or not there is an API server.
async fn is_well(replica: &Replica) {
    assert_eq!(replica.health("/healthz").await, (200, "ok".to_owned()));
    assert_eq!(replica.health("/readyz").await, (200, "ok".to_owned()));
}

/// A claim of each kind is bound.
async fn serves(scene: &Scene, name: &str) {
    for family in Family::ALL {
        // The kinds are served a moment after the API server says that it is ready.
        let made = || async { scene.try_create_claim(family, name, "p", json!({})).await.ok() };
        scene.until("a claim can be made", made).await;
        scene.bound_of(family, name).await;
    }
}

#[tokio::test]
async fn work_goes_on_by_itself_when_the_api_server_or_etcd_was_away() {
    let plane = own_plane_with_all().await;
    let pair = Scene::on(plane.clone(), Family::Metal3, "away-pair").await;
    let single = Scene::on(plane.clone(), Family::Metal3, "away-single").await;
    let (of_pair, of_single) = (prepare(&pair).await, prepare(&single).await);
    // A restart on a busy machine takes longer than the shortest term.
    let terms = ["--leader-elect", "--leader-elect-lease-duration=30s", "--leader-elect-renew-deadline=20s"];
    let mut leader = Replica::start(&pair, "first", &terms).await;
    leader.leads().await;
    let mut standby = Replica::start(&pair, "second", &terms).await;
    standby.stands_by().await;
    let mut alone = Replica::start(&single, "alone", &["--ignore-leader"]).await;
    alone.leads().await;
    for (n, component) in [Component::ApiServer, Component::Etcd].into_iter().enumerate() {
        plane.restart(component).await.unwrap();
        for scene in [&pair, &single] {
            serves(scene, &format!("restart{n}")).await;
        }
        for replica in [&mut leader, &mut standby, &mut alone] {
            assert!(replica.end().is_none(), "{component:?}: {}", replica.log());
            is_well(replica).await;
        }
    }

    plane.kill(Component::ApiServer);
    let killed = Instant::now();
    // One that starts meanwhile waits, and says that it is not ready.
    let mut late = Replica::start(&pair, "late", &["--leader-elect"]).await;
    assert_eq!(late.health("/healthz").await.0, 200);
    let (code, text) = late.health("/readyz").await;
    assert!(code == 503 && text.contains("not all kinds are listed yet"), "{code} {text}");
    // The leader may not write any longer once its time is over, and ends; the others wait.
    assert!(!leader.ended().await.success());
    assert!(leader.log().contains("the lease is lost"), "{}", leader.log());
    assert!(killed.elapsed() > Duration::from_secs(7), "{:?}", killed.elapsed());
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(killed.elapsed())).await;
    for replica in [&standby, &alone] {
        is_well(replica).await;
    }
    assert_eq!(late.health("/readyz").await.0, 503);
    plane.restart(Component::ApiServer).await.unwrap();
    for scene in [&pair, &single] {
        serves(scene, "long").await;
        scene.in_order().await;
    }
    late.said("ready: all kinds are listed").await;
    for replica in [&mut standby, &mut alone, &mut late] {
        assert!(replica.end().is_none(), "{}", replica.log());
        is_well(replica).await;
    }
    assert!(leader.proxy.count(&Match::writes()) > 0);
    of_pair.judge(&pair, Writers::One).await;
    of_single.judge(&single, Writers::One).await;
}
