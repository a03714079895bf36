//! Replies that are lost, refusals, and a controller that dies between any two writes.

use ipam::api::Family;
use testbed::proxy::{Action, Match, Reply, Rule, Verb};

use crate::scene::{Scene, for_both_families};

for_both_families!(
    l3_a_lost_reply_to_any_write_loses_nothing,
    l7_s2_no_refusal_of_any_write_is_final,
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
        ("strip the address", Match::verb(Verb::Patch).resource(addresses)),
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
    scene.in_order().await;
}

async fn l3_a_lost_reply_to_any_write_loses_nothing(family: Family) {
    let scene = Scene::with_pool(family, "l3", "10.0.0.1", "10.0.0.1").await;
    comes_and_goes(&scene, "warm-up").await;
    for (n, (step, write)) in steps(&scene).into_iter().enumerate() {
        let lost = scene.proxy.add(Rule::new(write, Action::CutAfter).once());
        comes_and_goes(&scene, &format!("lost{n}")).await;
        assert_eq!(lost.count(), 1, "the reply to `{step}` was not lost");
    }
}

async fn l7_s2_no_refusal_of_any_write_is_final(family: Family) {
    let scene = Scene::with_pool(family, "l7", "10.0.0.1", "10.0.0.1").await;
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
            scene.in_order().await;
        }
    }
}
