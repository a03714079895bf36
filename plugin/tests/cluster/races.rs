//! What two people do at the same time, and readers that stop reading.

use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use testbed::proxy::{Action, Match, Proxy, Rule, Verb};

use crate::scene::{Scene, binary, objects};

/// `kubectl-ipam …` through the proxy, under way.
fn begun(scene: &Scene, proxy: &Proxy, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary("kubectl-ipam"));
    command
        .args(arguments)
        .args(["-n", &scene.namespace])
        .env("KUBECONFIG", proxy.kubeconfig(scene.plane.admin_token()).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    scene.plane.spawn(&mut command).unwrap()
}

fn ended(process: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = process.wait_with_output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_reservations_at_once_none_is_lost() {
    for stored in [None, Some(json!({}))] {
        let scene = Scene::new("reserve-at-once").await;
        let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.9");
        if let Some(stored) = stored {
            pool["spec"]["preAllocations"] = stored;
        }
        scene.create(&[pool]);
        let proxy = Proxy::start(&scene.plane).await.unwrap();
        let patch = Match::verb(Verb::Patch).resource("ippools");
        let parked = proxy.add(Rule::new(patch, Action::HoldBefore).once());
        let first = begun(&scene, &proxy, &["preallocate", "p", "a=10.0.0.1"]);
        parked.parked(1).await.unwrap();
        scene.done(&["preallocate", "p", "b=10.0.0.2"]);
        parked.release();
        let (code, said) = ended(first);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("somebody changed it meanwhile"), "{said}");
        let kept = scene.kubectl(&["get", "ippools", "p", "-o", "jsonpath={.spec.preAllocations}"]);
        assert_eq!(kept, r#"{"b":"10.0.0.2"}"#);
        scene.done(&["preallocate", "p", "a=10.0.0.1"]);
        let both = scene.kubectl(&["get", "ippools", "p", "-o", "jsonpath={.spec.preAllocations}"]);
        assert_eq!(both, r#"{"a":"10.0.0.1","b":"10.0.0.2"}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_somebody_takes_up_while_it_is_repaired_keeps_its_finalizer() {
    let scene = Scene::new("repair-overtaken").await;
    let leaked =
        objects::address("p-10-0-0-1", "10.0.0.1", "p", "gone", "11111111-1111-4111-8111-111111111111");
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), leaked]);
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let addresses = "ipaddresses.ipam.metal3.io";
    let parked =
        proxy.add(Rule::new(Match::verb(Verb::Delete).resource(addresses), Action::HoldBefore).once());
    let repair = begun(&scene, &proxy, &["repair", "--yes"]);
    parked.parked(1).await.unwrap();
    scene.kubectl(&["label", addresses, "p-10-0-0-1", "rack=1"]);
    parked.release();
    let (code, said) = ended(repair);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("p-10-0-0-1 left alone: it changed meanwhile"), "{said}");
    let held = scene.kubectl(&["get", addresses, "p-10-0-0-1", "-o", "jsonpath={.metadata.finalizers}"]);
    assert_eq!(held, r#"["ipaddress.ipam.metal3.io"]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_stays_that_gets_a_claim_while_its_others_are_released() {
    let scene = Scene::new("delete-pool-claimed").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), objects::claim("c", "p", None)]);
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let deletion = Match::verb(Verb::Delete).resource("ipclaims");
    let parked = proxy.add(Rule::new(deletion, Action::HoldBefore).once());
    let deleting = begun(&scene, &proxy, &["delete-pool", "p", "--release-claims", "--yes", "--wait=false"]);
    parked.parked(1).await.unwrap();
    scene.create(&[objects::claim("d", "p", None)]);
    parked.release();
    let (code, said) = ended(deleting);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: pool p came into use meanwhile\n  because: claim d\n"), "{said}");
    assert!(said.contains("hint: the claims are released, and the pools stay"), "{said}");
    let deleted = scene.kubectl(&["get", "ippools", "p", "-o", "jsonpath={.metadata.deletionTimestamp}"]);
    assert_eq!(deleted, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_comes_to_its_end_whoever_stops_reading() {
    let scene = Scene::new("pipe").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.99")]);
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let post = Match::verb(Verb::Post).resource("ipclaims");
    let parked = proxy.add(Rule::new(post, Action::HoldBefore).once());
    let arguments = ["claim", "c", "--count", "5", "--pool", "p", "--wait=false"];
    let mut process = begun(&scene, &proxy, &arguments);
    parked.parked(1).await.unwrap();
    drop((process.stdout.take(), process.stderr.take()));
    parked.release();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    let made = scene.kubectl(&["get", "ipclaims", "-o", "name"]);
    assert_eq!(made.lines().count(), 5, "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_names_a_pool_of_its_name_elsewhere_is_none_of_the_pool() {
    let scene = Scene::new("elsewhere").await;
    let mut claim = objects::claim("c", "p", None);
    claim["spec"]["pool"]["namespace"] = json!("another");
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), claim]);
    let deleted = scene.done(&["delete-pool", "p", "--release-claims", "--yes", "--wait=false"]);
    assert_eq!(deleted, "ippool.ipam.metal3.io/p deletion asked for\n");
    assert_eq!(scene.kubectl(&["get", "ipclaims", "-o", "name"]), "ipclaim.ipam.metal3.io/c\n");
}
