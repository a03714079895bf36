//! Every write of a lease × every answer: who leads goes on leading, and who follows takes over.

use futures::StreamExt;
use ipam::api::Family;
use rustix::process::Signal;
use testbed::proxy::{Match, Proxy, Rule, Verb};

use super::faults::{FAULTS, action};
use crate::replica::Replica;
use crate::scene::{Scene, plane};

#[tokio::test]
async fn no_answer_to_any_write_of_a_lease_keeps_a_controller_from_leading() {
    let cases: Vec<_> = (0..FAULTS.len()).map(changes_hands).collect();
    futures::stream::iter(cases).buffer_unordered(4).collect::<Vec<()>>().await;
}

/// A machine that stands still for as long as a lease may take to be given back makes that late, but not each time.
const TRIES: usize = 3;

async fn changes_hands(fault: usize) {
    for _ in 0..TRIES {
        if is_in_time(fault).await {
            return;
        }
    }
    panic!("`{}` keeps the lease from being given back in time", FAULTS[fault]);
}

/// A lease is made, renewed, given back and taken, and each of these writes meets the fault; false if it was not given
/// back in time.
async fn is_in_time(fault: usize) -> bool {
    let mut scene = Scene::on(plane().await, Family::Metal3, "lease").await;
    // The shipped role is for the shipped namespace.
    scene.token = scene.plane.admin_token().to_owned();
    let patch = || Match::verb(Verb::Patch).resource("leases");
    let meets =
        |proxy: &Proxy, on: Match, skip: u64| proxy.add(Rule::new(on, action(fault)).skip(skip).once());

    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let made = meets(&proxy, Match::verb(Verb::Post).resource("leases"), 0);
    let released = meets(&proxy, patch().body("\"value\":\"\""), 0);
    let renewed = meets(&proxy, patch(), 2);
    let mut first = Replica::candidate_behind(proxy, &scene, "first");
    first.leads().await;
    renewed.done(1).await.unwrap();
    let renewals = first.proxy.count(&patch());
    first.proxy.seen(&patch(), renewals + 2).await.unwrap();

    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let taken = meets(&proxy, patch().body("leaseTransitions"), 0);
    let second = Replica::candidate_behind(proxy, &scene, "second");
    second.stands_by().await;
    first.signal(Signal::TERM);
    assert!(first.ended().await.success(), "{}: {}", FAULTS[fault], first.log());
    if first.log().contains("could not be given back in time") {
        return false;
    }
    second.leads().await;
    for (write, met) in [("make", &made), ("renew", &renewed), ("give back", &released), ("take", &taken)] {
        assert_eq!(met.count(), 1, "to {write} the lease did not meet `{}`", FAULTS[fault]);
    }
    true
}
