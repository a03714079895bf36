//! The shipped roles: all that they grant is used, and nothing else is needed.

use std::collections::BTreeSet;
use std::path::Path;

use ipam::api::{Family, Kind};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use testbed::proxy::{Action, Entry, Match, Proxy, Reply, Rule, Verb};

use crate::capi::own_plane_with_all;
use crate::replica::Replica;
use crate::scene::{Scene, resource};

/// API group, kind with subresource, verb, and the one name that it is restricted to, if it is.
type Right = (String, String, &'static str, Option<String>);

const ROLES: [&str; 3] = ["role", "certificates_role", "leader_election_role"];

fn granted() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for file in ROLES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/rbac/{file}.yaml"));
        let role: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for rule in role["rules"].as_array().unwrap() {
            let texts = |member: &str| -> Vec<String> {
                let texts = rule[member].as_array().into_iter().flatten();
                texts.map(|text| text.as_str().unwrap().to_owned()).collect()
            };
            let names: Vec<Option<String>> = match texts("resourceNames") {
                names if names.is_empty() => vec![None],
                names => names.into_iter().map(Some).collect(),
            };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    for verb in texts("verbs") {
                        let verb = VERBS.iter().find(|(_, name)| *name == verb).unwrap().1;
                        let right =
                            |name: &Option<String>| (group.clone(), resource.clone(), verb, name.clone());
                        rights.extend(names.iter().map(right));
                    }
                }
            }
        }
    }
    rights
}

const VERBS: [(Verb, &str); 7] = [
    (Verb::Get, "get"),
    (Verb::List, "list"),
    (Verb::Watch, "watch"),
    (Verb::Post, "create"),
    (Verb::Put, "update"),
    (Verb::Patch, "patch"),
    (Verb::Delete, "delete"),
];

/// Kinds of which any object may concern the controller; of all others it may touch those that it knows by name.
const OPEN_GROUPS: [&str; 3] = ["ipam.metal3.io", "ipam.cluster.x-k8s.io", "events.k8s.io"];

/// What went through and was granted; a request that was forbidden ends the test.
fn used(proxy: &Proxy) -> BTreeSet<Right> {
    let resources = proxy.log().into_iter().filter(|entry| !entry.call.resource.is_empty());
    resources
        .filter_map(|entry| {
            let call = &entry.call;
            assert_ne!(entry.server_status, Some(403), "{call:?}");
            // What never reached the API server needed no right.
            entry.server_status?;
            let sub =
                if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
            let verb = VERBS.iter().find(|(verb, _)| *verb == call.verb).unwrap().1;
            // A list of one name is granted as such.
            let is_of_one = matches!(verb, "get" | "update" | "patch" | "delete")
                || (verb != "create" && !call.name.is_empty());
            let is_open = OPEN_GROUPS.contains(&call.group.as_str());
            let name = (is_of_one && !is_open).then(|| call.name.clone());
            Some((call.group.clone(), format!("{}{sub}", call.resource), verb, name))
        })
        .collect()
}

fn is_answered(entry: &Entry, verb: Verb, resource: &str) -> bool {
    entry.call.verb == verb
        && entry.call.resource == resource
        && entry.server_status.is_some_and(|code| code < 300)
}

#[tokio::test]
async fn every_right_that_is_granted_is_used_and_no_other_is_needed() {
    let scene = Scene::on(own_plane_with_all().await, Family::Metal3, "rights").await;
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.99"}], "clusterName": "k"});
    scene.create_pool("p", &spec).await;
    let endpoint = json!({"spec": {"controlPlaneEndpoint": {"host": "10.9.9.9", "port": 6443}}});
    let cluster = DynamicObject::new("k", &resource(Kind::Cluster)).data(endpoint);
    scene.of_kind(Kind::Cluster).create(&PostParams::default(), &cluster).await.unwrap();
    for file in ["mutating", "validating"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/webhook/{file}.yaml"));
        scene.plane.apply_path(&path).await.unwrap();
    }

    // One that stands alone: it looks whether somebody leads, and makes the first certificate.
    let port = crate::process::free_port();
    let admission = [format!("--webhook-port={port}"), "--webhook-host=127.0.0.1".to_owned()];
    let admission: Vec<&str> = admission.iter().map(String::as_str).collect();
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    // It reads in pages, as from an API server that lists only so.
    proxy.add(Rule::new(Match::first_list(), Action::AnswerBefore(Reply::invalid())));
    let mut alone = Replica::shipped(proxy, &scene, "alone", &admission);
    alone.said("admission is served").await;
    alone.leads().await;
    alone.signal(Signal::TERM);
    assert!(alone.ended().await.success());
    let mut rights = used(&alone.proxy);

    // One that leads, finds the certificate broken, and meets every fault that is followed by a read or told by an event.
    let secrets =
        Api::<k8s_openapi::api::core::v1::Secret>::namespaced(scene.plane.client(), "metal3-ipam-system");
    let broken = json!({"data": {"tls.crt": "bm9uc2Vuc2U=", "tls.key": "bm9uc2Vuc2U="}});
    secrets.patch("ipam-webhook-certificate", &PatchParams::default(), &Patch::Merge(broken)).await.unwrap();
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    proxy.add(
        Rule::new(Match::verb(Verb::Patch).resource("ippools"), Action::AnswerBefore(Reply::conflict()))
            .once(),
    );
    for family in Family::ALL {
        let (claims, addresses) = (Kind::Claim(family).resource(), Kind::Address(family).resource());
        let addresses = format!("{}.{}", addresses.plural, addresses.group);
        proxy.add(Rule::new(Match::verb(Verb::Post).resource(&addresses), Action::CutAfter).once());
        let publish = Match::verb(Verb::Patch).resource(claims.plural).subresource("status");
        proxy.add(Rule::new(publish, Action::CutAfter).once());
    }
    let refused = |message| Action::AnswerBefore(Reply::new(400, "BadRequest", message));
    // Two events of one object: the second is told by changing the first.
    let claim = Match::verb(Verb::Patch).resource("ipclaims").subresource("");
    proxy.add(Rule::new(claim.clone(), refused("once")).once());
    proxy.add(Rule::new(claim.body("remove"), refused("and once more")).once());
    let leader = Replica::shipped(proxy, &scene, "leader", &[&admission[..], &["--leader-elect"]].concat());
    leader.leads().await;
    leader.said("admission is served").await;
    for family in Family::ALL {
        scene.create_claim_of(family, "c", "p", json!({})).await;
        scene.bound_of(family, "c").await;
        let told = |log: &[Entry]| log.iter().any(|entry| is_answered(entry, Verb::Post, "events"));
        leader.proxy.until("the first event is there", told).await.unwrap();
        let claims = scene.of_kind(Kind::Claim(family));
        claims.delete("c", &DeleteParams::default()).await.unwrap();
        let gone = || async { claims.get_opt("c").await.unwrap().is_none().then_some(()) };
        scene.until("the claim is gone", gone).await;
    }
    assert_eq!(leader.metrics(Some(&scene.token)).await.0, 403);
    for resource in ["events", "leases"] {
        let answered = |log: &[Entry]| log.iter().any(|entry| is_answered(entry, Verb::Patch, resource));
        leader.proxy.until(&format!("{resource} are patched"), answered).await.unwrap();
    }
    rights.extend(used(&leader.proxy));

    // No pool is deleted, but the API server asks for this right when a pool gets an owner.
    rights.insert(("ipam.metal3.io".into(), "ippools".into(), "delete", None));
    assert_eq!(rights, granted());
}
