//! Replies that are lost, refusals, and a controller that dies between any two writes.

use ipam::api::{Family, Kind};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use testbed::proxy::{Action, Match, Reply, Rule, Verb};

use crate::scene::{Scene, for_both_families};

for_both_families!(
    l3_a_lost_reply_to_any_write_loses_nothing,
    l7_s2_no_refusal_of_any_write_is_final,
    s2_a_refused_write_is_told_in_an_event_about_the_claim,
    d9_a_controller_that_dies_at_any_write_leaves_nothing_undone,
);

/// The writes of an allocation and of a release, in order.
fn steps(scene: &Scene) -> Vec<(&'static str, Match)> {
    let (claims, addresses) = (scene.claims_resource(), &scene.addresses_resource());
    vec![
        ("protect", Match::verb(Verb::Patch).resource(claims).body("finalizers")),
        ("take", Match::verb(Verb::Post).resource(addresses)),
        ("publish", Match::verb(Verb::Patch).resource(claims).subresource("status")),
        ("delete", Match::verb(Verb::Delete).resource(addresses)),
        ("strip the address", Match::verb(Verb::Patch).resource(addresses).body("remove")),
        ("let the claim go", Match::verb(Verb::Patch).resource(claims).body("remove")),
    ]
}

/// One claim comes and goes; afterwards nothing is left, and the address can be had again.
async fn comes_and_goes(scene: &Scene, name: &str) {
    scene.create_claim(name).await;
    assert_eq!(scene.bound(name).await, "10.0.0.1");
    scene.delete_claim(name).await;
    scene.claim_gone(name).await;
    scene.address_gone("p-10-0-0-1").await;
    scene.comes_in_order().await;
}

async fn l3_a_lost_reply_to_any_write_loses_nothing(family: Family) {
    let scene = Scene::that_keeps_leaks(family, "l3", "10.0.0.1", "10.0.0.1").await;
    comes_and_goes(&scene, "warm-up").await;
    for (n, (step, write)) in steps(&scene).into_iter().enumerate() {
        let lost = scene.proxy.add(Rule::new(write, Action::CutAfter).once());
        comes_and_goes(&scene, &format!("lost{n}")).await;
        assert_eq!(lost.count(), 1, "the reply to `{step}` was not lost");
    }
    scene.in_order().await;
}

async fn l7_s2_no_refusal_of_any_write_is_final(family: Family) {
    let scene = Scene::that_keeps_leaks(family, "l7", "10.0.0.1", "10.0.0.1").await;
    comes_and_goes(&scene, "warm-up").await;
    for (n, (step, write)) in steps(&scene).into_iter().enumerate() {
        for (m, reply) in [
            Reply::conflict(),
            Reply::invalid(),
            Reply::too_many_requests(1),
            Reply::internal_error(),
            Reply::unavailable(),
            Reply::timeout(),
        ]
        .into_iter()
        .enumerate()
        {
            let refused = scene.proxy.add(Rule::new(write.clone(), Action::AnswerBefore(reply)).once());
            comes_and_goes(&scene, &format!("refused{n}-{m}")).await;
            assert_eq!(refused.count(), 1, "`{step}` was not refused");
        }
    }
    scene.in_order().await;
}

async fn d9_a_controller_that_dies_at_any_write_leaves_nothing_undone(family: Family) {
    let mut scene = Scene::with_pool(family, "d9", "10.0.0.1", "10.0.0.1").await;
    comes_and_goes(&scene, "warm-up").await;
    for (n, (_, write)) in steps(&scene).into_iter().enumerate() {
        for (m, action) in [Action::HoldBefore, Action::HoldAfter].into_iter().enumerate() {
            let name = format!("dies{n}-{m}");
            let parked = scene.proxy.add(Rule::new(write.clone(), action).once());
            scene.create_claim(&name).await;
            if n >= 3 {
                scene.bound(&name).await;
                scene.delete_claim(&name).await;
            }
            parked.parked(1).await.unwrap();
            scene.kill_controller();
            // What was on its way arrives now, after the death of who sent it.
            parked.release();
            scene.start_controller();
            if n < 3 {
                assert_eq!(scene.bound(&name).await, "10.0.0.1");
                scene.delete_claim(&name).await;
            }
            scene.claim_gone(&name).await;
            scene.address_gone("p-10-0-0-1").await;
            scene.comes_in_order().await;
        }
    }
    scene.in_order().await;
}

async fn s2_a_refused_write_is_told_in_an_event_about_the_claim(family: Family) {
    let scene = Scene::with_pool(family, "event", "10.0.0.1", "10.0.0.1").await;
    let take = Match::verb(Verb::Post).resource(&scene.addresses_resource());
    let refusal = Reply::new(400, "BadRequest", "no address on a Sunday");
    scene.proxy.add(Rule::new(take, Action::AnswerBefore(refusal)).once());
    scene.create_claim("c").await;
    assert_eq!(scene.bound("c").await, "10.0.0.1");
    let events: Api<Event> = Api::namespaced(scene.plane.client(), &scene.namespace);
    let look = || async { events.list(&ListParams::default()).await.unwrap().items.pop() };
    let event = scene.until("the refusal is told", look).await;
    let (kind, claim) = (Kind::Claim(family), scene.claims.get("c").await.unwrap());
    let about = event.regarding.unwrap();
    let is = (about.api_version, about.kind, about.namespace, about.name, about.uid);
    let group = kind.resource().api_version();
    let claimed = (group, kind.name().to_owned(), scene.namespace.clone(), "c".to_owned());
    assert_eq!(is, (Some(claimed.0), Some(claimed.1), Some(claimed.2), Some(claimed.3), claim.uid()));
    assert_eq!((event.reason.as_deref(), event.type_.as_deref()), (Some("WriteRefused"), Some("Warning")));
    let note = event.note.unwrap();
    assert!(
        note.starts_with("the API server refused to ") && note.contains("no address on a Sunday"),
        "{note}"
    );
    assert_eq!(event.reporting_controller.as_deref(), Some("ipam-controller"));
    // It happened once, and nothing more is told.
    scene.in_order().await;
    assert_eq!(events.list(&ListParams::default()).await.unwrap().items.len(), 1);
}
