//! What a pool wears, when it is let go, and when it hands out nothing.

use std::time::Duration;

use super::scene::Scene;
use super::*;
use crate::ledger::{Act, ClusterOwner, NewOwner, Outcome, Place};

fn of_cluster(range: &str) -> Pool {
    Pool { cluster: Some("k".into()), ..pool(range) }
}

/// A pool that has all it needs of its Cluster.
fn dressed() -> Scene {
    let mut scene = Scene::with(of_cluster("10.0.0.1-10.0.0.2"));
    scene.after(cluster());
    scene
}

#[test]
fn a_pool_gets_our_finalizer_before_it_hands_out_anything() {
    let mut scene = Scene::unlisted();
    scene.add(Pool { meta: meta(Finalizers::default()), ..pool("10.0.0.1") });
    scene.add(claim("a"));
    scene.list_all();
    assert_eq!(scene.due(), ["dress pool p: finalizer"]);
    scene.done();
    assert_eq!(scene.due(), ["status of pool p", "take 10.0.0.1 for claim a"]);
}

#[test]
fn a_pool_of_a_cluster_gets_labels_and_an_owner_reference() {
    let mut scene = Scene::unlisted();
    scene.add(Pool { meta: meta(Finalizers::default()), ..of_cluster("10.0.0.1") });
    let uid = scene.add(cluster());
    scene.list_all();
    assert_eq!(scene.due(), ["dress pool p: finalizer, labels, owner"]);
    let Act::Dress(dress) = &scene.sent[0].act else { panic!() };
    let labels = [("cluster.x-k8s.io/cluster-name", "k"), ("cluster.x-k8s.io/provider", "ipam-metal3")];
    assert_eq!(dress.labels, labels.map(|(key, value)| (key, value.to_owned())).into());
    let owner = NewOwner {
        api_version: "cluster.x-k8s.io/v1beta2".into(),
        name: "k".into(),
        uid,
        place: Place::First,
    };
    assert_eq!(dress.owner, Some(owner));
}

#[test]
fn a_pool_without_a_cluster_gets_neither_labels_nor_owner() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    assert_eq!(scene.after(cluster()), NOTHING);
}

#[test]
fn a_pool_gets_its_labels_before_its_cluster_is_there() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let due = scene.after(Pool { id: pool_id("q"), ..of_cluster("10.1.0.1") });
    assert_eq!(due, ["dress pool q: labels", "status of pool q"]);
}

fn owner_of(uid: &str, api_version: &str) -> ClusterOwner {
    ClusterOwner { at: 1, uid: Uid::new(uid), api_version: api_version.into() }
}

#[test]
fn a_stale_owner_reference_is_refreshed_where_it_stands() {
    for (uid, api_version) in [("old", "cluster.x-k8s.io/v1beta2"), ("new", "cluster.x-k8s.io/v1beta1")] {
        let mut scene = dressed();
        scene.tear_away(&cluster_id());
        scene.run();
        scene.change_pool("p", |pool| pool.owner = Some(owner_of(uid, api_version)));
        scene
            .add(Cluster { meta: Meta { uid: Uid::new("new"), ..meta(Finalizers::default()) }, ..cluster() });
        assert_eq!(scene.due(), ["dress pool p: owner"]);
        let Act::Dress(dress) = &scene.sent[0].act else { panic!() };
        assert_eq!(dress.owner.as_ref().map(|owner| owner.place), Some(Place::At(1)));
    }
}

#[test]
fn a_cluster_made_anew_is_the_owner_from_then_on() {
    let mut scene = dressed();
    scene.tear_away(&cluster_id());
    scene.add(cluster());
    assert_eq!(scene.run(), ["dress pool p: owner"]);
}

#[test]
fn s14_an_update_of_a_cluster_that_changes_nothing_for_its_pools_wakes_nobody() {
    let mut scene = dressed();
    scene.after(claim("a"));
    scene.run_for(Duration::from_secs(5));
    assert_eq!(scene.ledger.next_wake(), None);
    scene.change(&cluster_id(), |_| {});
    assert_eq!(scene.ledger.next_wake(), None);
}

#[test]
fn s6_a_cluster_that_goes_closes_its_pool_and_what_is_handed_out_stays() {
    let mut scene = dressed();
    scene.after(claim("a"));
    scene.tear_away(&cluster_id());
    let told = "tell claim b: PoolNotReady: The pool \"p\" waits for its Cluster \"k\"";
    assert_eq!(scene.after(claim("b")), [told]);
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
}

#[test]
fn a_claim_is_released_though_the_cluster_of_its_pool_is_gone() {
    let mut scene = dressed();
    scene.after(claim("a"));
    scene.tear_away(&cluster_id());
    scene.delete(&claim_id("a"));
    assert_eq!(scene.run(), ["delete address p-10-0-0-1", "strip address p-10-0-0-1", "strip claim a"]);
}

/// Pauses and resumes in each of the ways there are; between the two the claims `a`, which is deleted, and `b`, which is
/// new, must wait.
fn waits_while_paused(pause: impl Fn(&mut Scene, bool)) {
    let mut scene = dressed();
    scene.after(claim("a"));
    scene.run_for(Duration::from_secs(5));
    pause(&mut scene, true);
    scene.delete(&claim_id("a"));
    scene.add(claim("b"));
    let due = scene.run();
    let writes = |act: &&String| !act.starts_with("tell claim b") && !act.starts_with("status");
    assert_eq!(due.iter().filter(writes).collect::<Vec<_>>(), NOTHING);
    pause(&mut scene, false);
    scene.run();
    assert_eq!(scene.bound(), [("b", "p-10-0-0-2")]);
    assert!(!scene.server.objects.contains_key(&address_id("p-10-0-0-1")));
}

#[test]
fn a_paused_pool_neither_allocates_nor_releases_and_goes_on_at_once() {
    waits_while_paused(|scene, paused| scene.change_pool("p", |pool| pool.paused = paused));
}

#[test]
fn a_pool_of_a_paused_cluster_neither_allocates_nor_releases_and_goes_on_at_once() {
    waits_while_paused(|scene, paused| {
        scene.change(&cluster_id(), |seen| {
            let Seen::Cluster(cluster) = seen else { return };
            cluster.paused = paused;
        });
    });
}

#[test]
fn a_paused_claim_is_not_served_and_goes_on_at_once() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    let told = "tell claim a: PoolNotReady: The claim is paused";
    assert_eq!(scene.after(Claim { paused: true, ..claim("a") }), [told]);
    scene.change_claim("a", |claim| claim.paused = false);
    assert_eq!(scene.run(), ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_paused_pool_is_not_dressed_and_its_status_says_why() {
    let mut scene = Scene::unlisted();
    scene.add(Pool { paused: true, meta: meta(Finalizers::default()), ..pool("10.0.0.1") });
    scene.list_all();
    assert_eq!(scene.run(), ["status of pool p"]);
}

#[test]
fn a_deleted_pool_is_let_go_when_it_has_no_addresses() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.delete(&pool_id("p"));
    assert_eq!(scene.run(), ["strip pool p"]);
}

#[test]
fn l5_a_deleted_pool_stays_until_no_address_of_either_kind_is_left() {
    let mut scene = Scene::with(pool("10.0.0.1-10.0.0.9"));
    scene.after(claim("a"));
    scene.after(capi_claim("b"));
    scene.run_for(Duration::from_secs(5));
    scene.delete(&pool_id("p"));
    assert_eq!(scene.run(), ["status of pool p"]);
    scene.delete(&claim_id("a"));
    assert!(!scene.run().contains(&"strip pool p".to_owned()));
    scene.delete(&capi_claim_id("b"));
    assert!(scene.run().contains(&"strip pool p".to_owned()));
}

#[test]
fn l5_a_deleted_pool_stays_while_a_take_is_under_way() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    assert_eq!(scene.due(), ["take 10.0.0.1 for claim a"]);
    scene.delete(&pool_id("p"));
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.due(), ["status of pool p"]);
}

#[test]
fn l5_a_deleted_pool_stays_while_it_is_not_known_whether_a_take_has_landed() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.add(claim("a"));
    scene.due();
    scene.delete(&pool_id("p"));
    scene.lose_reply();
    assert_eq!(scene.run(), ["read address p-10-0-0-1", ADOPT, "bind claim a to p-10-0-0-1"]);
}

#[test]
fn a_deleted_pool_that_somebody_else_holds_is_stripped_of_ours_only() {
    let mut scene = Scene::with(Pool { meta: meta(OURS_AND_FOREIGN), ..pool("10.0.0.1") });
    scene.delete(&pool_id("p"));
    assert_eq!(scene.run_for(Duration::from_secs(1)), ["strip pool p", "status of pool p"]);
}

#[test]
fn a_pool_that_lost_our_finalizer_gets_it_back() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.change_pool("p", |pool| pool.meta.finalizers = FOREIGN);
    assert_eq!(scene.run(), ["dress pool p: finalizer"]);
}

#[test]
fn a_pool_whose_dressing_goes_unanswered_is_read_before_the_next_try() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.change_pool("p", |pool| pool.meta.finalizers = Finalizers::default());
    scene.due();
    scene.lose_reply();
    assert_eq!(scene.run(), ["read pool p"]);
}

#[test]
fn a_pool_made_anew_while_a_write_for_the_old_one_is_under_way_is_served() {
    let mut scene = Scene::with(pool("10.0.0.1"));
    scene.change_pool("p", |pool| pool.meta.finalizers = Finalizers::default());
    scene.due();
    scene.tear_away(&pool_id("p"));
    scene.add(pool("10.0.0.1"));
    scene.reply(Outcome::GuardFailed("the UID is another".into()));
    assert_eq!(scene.after(claim("a"))[1..], ["take 10.0.0.1 for claim a", "bind claim a to p-10-0-0-1"]);
}

#[test]
fn s2_a_pool_that_cannot_be_made_ours_and_its_claims_say_so() {
    cannot_be_made_ours(&Outcome::Refused("a policy forbids it".into()));
}

#[test]
fn s2_so_does_one_for_which_the_refusal_looks_like_a_guard_that_fails_again_and_again() {
    cannot_be_made_ours(&Outcome::GuardFailed("a policy forbids it".into()));
}

fn cannot_be_made_ours(refusal: &Outcome) {
    let mut scene = Scene::unlisted();
    scene.add(Pool { meta: meta(Finalizers::default()), ..pool("10.0.0.1") });
    scene.add(claim("a"));
    scene.list_all();
    let mut said = Vec::new();
    for _ in 0..40 {
        said.extend(scene.due());
        while let Some(write) = scene.sent.first() {
            match &write.act {
                Act::Dress(_) => scene.reply(refusal.clone()),
                _ => scene.succeed(),
            }
        }
        scene.pass(Duration::from_secs(5));
    }
    let tries = said.iter().filter(|act| act.starts_with("dress")).count();
    assert!((5..20).contains(&tries), "{said:?}");
    let why = "The pool \"p\" cannot be made ours: a policy forbids it";
    assert_eq!(said.iter().filter(|act| **act == format!("tell claim a: PoolNotReady: {why}")).count(), 1);
    let status = &scene.server.statuses[&pool_id("p")];
    assert_eq!(status.conditions[0].reason, "WriteRefused");
    assert_eq!(status.conditions[0].message, "The pool cannot be made ours: a policy forbids it");
    // The policy goes.
    scene.run_for(Duration::from_mins(1));
    assert_eq!(scene.bound(), [("a", "p-10-0-0-1")]);
    assert_eq!(scene.server.statuses[&pool_id("p")].conditions[0].reason, "Exhausted");
}

/// Pool `p` of Cluster `k` as the API server shows it, with these labels and the owner references of these kinds.
fn shown_pool(labels: &[(&str, &str)], owners: &[&str]) -> Pool {
    let owners = owners.iter().map(|group| {
        serde_json::json!({"apiVersion": format!("{group}/v1beta2"), "kind": "Cluster", "name": "k", "uid": *group})
    });
    let metadata = serde_json::json!({
        "name": "p", "namespace": NAMESPACE, "finalizers": ["ippool.ipam.metal3.io"],
        "labels": labels.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "ownerReferences": owners.collect::<Vec<_>>(),
    });
    let pool = serde_json::json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": metadata,
        "spec": {"clusterName": "k", "namePrefix": "p", "pools": []},
    });
    Pool::of(&serde_json::from_value(pool).unwrap())
}

#[test]
fn a_cluster_of_another_group_is_no_owner_of_ours() {
    assert_eq!(shown_pool(&[], &["other.example"]).owner, None);
    let owner = shown_pool(&[], &["other.example", "cluster.x-k8s.io"]).owner.unwrap();
    assert_eq!((owner.at, owner.uid), (1, Uid::new("cluster.x-k8s.io")));
}

#[test]
fn a_pool_is_labelled_once_it_has_both_labels() {
    let (cluster, provider) =
        (("cluster.x-k8s.io/cluster-name", "k"), ("cluster.x-k8s.io/provider", "ipam-metal3"));
    for labels in [&[][..], &[cluster], &[provider], &[cluster, (provider.0, "another")]] {
        assert!(!shown_pool(labels, &[]).labelled, "{labels:?}");
    }
    assert!(shown_pool(&[cluster, provider], &[]).labelled);
}
