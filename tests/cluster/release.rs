//! What happens when claims and pools go.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use ipam::api::{Family, Kind};
use testbed::proxy::{Action, Match, Rule, Verb};

use crate::scene::{Scene, for_both_families};

for_both_families!(
    l1_claims_that_are_deleted_at_once_leave_nothing,
    l1_no_address_is_made_before_its_claim_is_protected,
    s12_a_claim_that_somebody_else_holds_keeps_its_address_and_their_finalizer,
    s12_our_finalizer_is_nobody_elses_though_two_controllers_have_added_it,
    s11_a_claim_is_let_go_though_its_pool_does_not_exist,
    l5_d11_a_pool_that_is_deleted_hands_out_nothing_and_stays_until_its_last_address_is_gone,
    s12_a_finalizer_that_comes_just_when_ours_does_stays,
    d8_a_publication_that_comes_late_does_not_count_for_a_claim_that_was_made_again_under_its_name,
    l6_a_release_that_comes_late_does_not_count_for_an_address_that_was_made_again_under_its_name,
    d8_l6_a_claim_made_again_under_its_name_is_another_claim,
    pausing_stops_allocation_and_release_and_resuming_acts_at_once,
    an_annotation_on_the_cluster_or_the_claim_pauses_too,
);

async fn l1_claims_that_are_deleted_at_once_leave_nothing(family: Family) {
    // The API server may delete a claim just when it gets our finalizer, and answer both with success. What was made for such a
    // claim is left over, whatever its controller does, and is swept up.
    let scene = Scene::with_pool(family, "l1", "10.0.0.1", "10.0.255.255").await;
    let (scene, mut batch) = (&scene, Vec::new());
    for n in 0..1000 {
        batch.push(async move {
            let name = format!("c{n}");
            scene.create_claim(&name).await;
            // Deleted in the middle of whatever is done for it: how long that is is what this is about.
            tokio::time::sleep(Duration::from_millis(n % 50)).await;
            scene.delete_claim(&name).await;
        });
        if batch.len() == 20 {
            futures::future::join_all(batch.drain(..)).await;
        }
    }
    futures::future::join_all(batch).await;
    let look =
        || async { scene.claims.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(()) };
    scene.until("all claims are gone", look).await;
    let left = || async {
        scene.addresses.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    };
    scene.until("no address is left", left).await;
    let made = scene.proxy.count(&Match::verb(Verb::Post).resource(&scene.addresses_resource()));
    assert!(made > 0, "no claim has had an address: this would prove nothing");
    scene.in_order().await;
}

async fn l1_no_address_is_made_before_its_claim_is_protected(family: Family) {
    let scene = Scene::with_pool(family, "l1-order", "10.0.0.1", "10.0.0.9").await;
    let protect = Match::verb(Verb::Patch).resource(scene.claims_resource()).body("finalizers");
    let parked = scene.proxy.add(Rule::new(protect, Action::HoldBefore).once());
    scene.create_claim("c").await;
    parked.parked(1).await.unwrap();
    // One that is protected already is served meanwhile.
    let ours = Kind::Claim(family).finalizer().unwrap();
    scene.create_claim_with("next", "p", json!({ "finalizers": [ours] })).await;
    scene.bound("next").await;
    let made = || scene.proxy.count(&Match::verb(Verb::Post).resource(&scene.addresses_resource()));
    assert_eq!(made(), 1);
    parked.release();
    scene.bound("c").await;
    assert_eq!(made(), 2);
    scene.in_order().await;
}

async fn s12_our_finalizer_is_nobody_elses_though_two_controllers_have_added_it(family: Family) {
    let scene = Scene::with_pool(family, "s12-twice", "10.0.0.1", "10.0.0.9").await;
    let ours = Kind::Claim(family).finalizer().unwrap();
    scene.create_claim_with("c", "p", json!({ "finalizers": [ours, ours] })).await;
    scene.bound("c").await;
    assert_eq!(scene.claims.get("c").await.unwrap().finalizers(), [ours, ours]);
    scene.delete_claim("c").await;
    scene.claim_gone("c").await;
    scene.in_order().await;
}

async fn s12_a_claim_that_somebody_else_holds_keeps_its_address_and_their_finalizer(family: Family) {
    let scene = Scene::with_pool(family, "s12", "10.0.0.1", "10.0.0.9").await;
    let theirs = "metal3data.infrastructure.cluster.x-k8s.io";
    scene.create_claim_with("c", "p", json!({ "finalizers": [theirs] })).await;
    scene.bound("c").await;
    let ours = Kind::Claim(family).finalizer().unwrap();
    assert_eq!(scene.claims.get("c").await.unwrap().finalizers(), [theirs, ours]);
    scene.delete_claim("c").await;
    // The next claim is served after the deletion was seen, and the first still has its address.
    scene.create_claim("next").await;
    assert_eq!(scene.bound("next").await, "10.0.0.2");
    assert!(scene.addresses.get_opt("p-10-0-0-1").await.unwrap().is_some());
    scene.patch_claim("c", json!({"metadata": {"finalizers": [ours]}})).await;
    scene.claim_gone("c").await;
    scene.in_order().await;
}

async fn s11_a_claim_is_let_go_though_its_pool_does_not_exist(family: Family) {
    let mut scene = Scene::of(family, "s11").await;
    let ours = Kind::Claim(family).finalizer().unwrap();
    scene.create_claim_with("c", "nowhere", json!({ "finalizers": [ours] })).await;
    scene.delete_claim("c").await;
    scene.start_controller();
    scene.claim_gone("c").await;
}

async fn l5_d11_a_pool_that_is_deleted_hands_out_nothing_and_stays_until_its_last_address_is_gone(
    family: Family,
) {
    let scene = Scene::with_pool(family, "l5", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("c").await;
    scene.bound("c").await;
    scene.pools.delete("p", &DeleteParams::default()).await.unwrap();
    scene.pool_is("p", "Deleting").await;
    scene.create_claim("late").await;
    assert_eq!(scene.refused("late", "PoolNotReady").await, "The pool \"p\" is being deleted");
    scene.delete_claim("late").await;
    scene.claim_gone("late").await;
    assert!(scene.pools.get_opt("p").await.unwrap().is_some());
    scene.delete_claim("c").await;
    let look = || async { scene.pools.get_opt("p").await.unwrap().is_none().then_some(()) };
    scene.until("the pool is gone", look).await;
    scene.claim_gone("c").await;
}

async fn s12_a_finalizer_that_comes_just_when_ours_does_stays(family: Family) {
    let scene = Scene::with_pool(family, "s12-at-once", "10.0.0.1", "10.0.0.9").await;
    let (theirs, ours) = ("somebody.example.com/else", Kind::Claim(family).finalizer().unwrap());
    let of_finalizers = || Match::verb(Verb::Patch).resource(scene.claims_resource()).body("finalizers");
    // There was no list of finalizers when it was seen, and there is one when the write arrives.
    let protect = scene.proxy.add(Rule::new(of_finalizers(), Action::HoldBefore).once());
    scene.create_claim("c").await;
    protect.parked(1).await.unwrap();
    scene.patch_claim("c", json!({"metadata": {"finalizers": [theirs]}})).await;
    protect.release();
    scene.bound("c").await;
    assert_eq!(scene.claims.get("c").await.unwrap().finalizers(), [theirs, ours]);
    // The place of ours has changed when it is taken off.
    scene.patch_claim("c", json!({"metadata": {"finalizers": [ours]}})).await;
    let let_go = scene.proxy.add(Rule::new(of_finalizers().body("remove"), Action::HoldBefore).once());
    scene.delete_claim("c").await;
    let_go.parked(1).await.unwrap();
    scene.patch_claim("c", json!({"metadata": {"labels": {"rack": "1"}}})).await;
    let_go.release();
    scene.claim_gone("c").await;
    scene.in_order().await;
}

async fn d8_a_publication_that_comes_late_does_not_count_for_a_claim_that_was_made_again_under_its_name(
    family: Family,
) {
    let scene = Scene::with_pool(family, "d8-late", "10.0.0.1", "10.0.0.9").await;
    let publish = Match::verb(Verb::Patch).resource(scene.claims_resource()).subresource("status");
    let late = scene.proxy.add(Rule::new(publish, Action::HoldBefore).once());
    scene.create_claim("c").await;
    late.parked(1).await.unwrap();
    scene.tear_away(Kind::Claim(family), "c").await;
    // It asks for another address, so that what is not its own would be seen.
    scene.create_claim_with("c", "p", json!({"annotations": {"ipAddress": "10.0.0.7"}})).await;
    late.release();
    late.done(1).await.unwrap();
    assert_eq!(scene.bound("c").await, "10.0.0.7");
    scene.comes_in_order().await;
    assert_eq!(scene.bound("c").await, "10.0.0.7");
}

async fn l6_a_release_that_comes_late_does_not_count_for_an_address_that_was_made_again_under_its_name(
    family: Family,
) {
    let scene = Scene::with_pool(family, "l6-late", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    let object = scene.addresses.get("p-10-0-0-1").await.unwrap();
    let delete = Match::verb(Verb::Delete).resource(&scene.addresses_resource());
    let late = scene.proxy.add(Rule::new(delete, Action::HoldBefore).once());
    scene.delete_claim("c").await;
    late.parked(1).await.unwrap();
    scene.tear_away(Kind::Address(family), "p-10-0-0-1").await;
    // A person makes one of that name for a claim to come.
    let mut by_hand = object.clone();
    by_hand.metadata = kube::api::ObjectMeta { name: object.metadata.name.clone(), ..Default::default() };
    by_hand.data["spec"][if family == Family::Capi { "claimRef" } else { "claim" }]["name"] = json!("later");
    let uid = scene.addresses.create(&PostParams::default(), &by_hand).await.unwrap().uid();
    late.release();
    late.done(1).await.unwrap();
    scene.claim_gone("c").await;
    let now = scene.addresses.get("p-10-0-0-1").await.unwrap();
    assert_eq!((now.uid(), now.metadata.deletion_timestamp), (uid, None));
}

async fn d8_l6_a_claim_made_again_under_its_name_is_another_claim(family: Family) {
    let scene = Scene::with_pool(family, "d8", "10.0.0.1", "10.0.255.255").await;
    for _ in 0..20 {
        scene.create_claim("c").await;
        scene.delete_claim("c").await;
        scene.claim_gone("c").await;
    }
    scene.create_claim("c").await;
    scene.bound("c").await;
    scene.in_order().await;
}

async fn an_annotation_on_the_cluster_or_the_claim_pauses_too(family: Family) {
    let mut scene = Scene::of(family, "annotated").await;
    let annotations = |value: serde_json::Value| json!({"annotations": {"cluster.x-k8s.io/paused": value}});
    let patch = |value| Patch::Merge(json!({ "metadata": annotations(value) }));
    scene.create_cluster(false).await;
    let clusters = scene.of_kind(Kind::Cluster);
    clusters.patch("k", &PatchParams::default(), &patch(json!(""))).await.unwrap();
    scene.start_controller();
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}], "clusterName": "k"});
    scene.create_pool("p", &spec).await;
    scene.create_claim("a").await;
    scene.create_claim_with("b", "p", annotations(json!("true"))).await;
    scene.refused("a", "PoolNotReady").await;
    scene.refused("b", "PoolNotReady").await;
    clusters.patch("k", &PatchParams::default(), &patch(json!(null))).await.unwrap();
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    scene.create_claim("c").await;
    scene.bound("c").await;
    assert_eq!(scene.refused("b", "PoolNotReady").await, "The claim is paused");
    scene.claims.patch("b", &PatchParams::default(), &patch(json!(null))).await.unwrap();
    scene.bound("b").await;
    scene.in_order().await;
}

async fn pausing_stops_allocation_and_release_and_resuming_acts_at_once(family: Family) {
    let scene = Scene::with_pool(family, "pause", "10.0.0.1", "10.0.0.9").await;
    scene.create_claim("before").await;
    scene.bound("before").await;
    let paused =
        |value: serde_json::Value| json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": value}}});
    scene.patch_pool("p", paused(json!(""))).await;
    scene.pool_is("p", "Paused").await;
    scene.create_claim("during").await;
    assert_eq!(scene.refused("during", "PoolNotReady").await, "The pool \"p\" is paused");
    scene.delete_claim("before").await;
    // A claim that is made and refused afterwards shows that the deletion was seen and left alone.
    scene.create_claim("after").await;
    scene.refused("after", "PoolNotReady").await;
    assert!(scene.addresses.get_opt("p-10-0-0-1").await.unwrap().is_some());
    let resume = Patch::Merge(paused(json!(null)));
    scene.pools.patch("p", &PatchParams::default(), &resume).await.unwrap();
    scene.bound("during").await;
    scene.bound("after").await;
    scene.claim_gone("before").await;
    scene.in_order().await;
}
