//! What the judge lets pass, and what not.

use ipam::api::{Family, Kind};
use serde_json::{Value, json};

use super::judge::{Verdict, judge};
use super::{BY_HAND, Revision, Writers};

const CLAIM: Kind = Kind::Claim(Family::Metal3);
const ADDRESS: Kind = Kind::Address(Family::Metal3);

fn object(kind: Kind, uid: &str, spec: &Value) -> Value {
    let annotations = json!({"ipam.metal3.io/claim-uid": "c"});
    json!({"metadata": {"uid": uid, "finalizers": [kind.finalizer()], "annotations": annotations}, "spec": spec})
}

fn pool() -> Value {
    object(Kind::Pool, "p", &json!({"clusterName": "k", "pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}))
}

fn claim() -> Value {
    object(CLAIM, "c", &json!({"pool": {"name": "p"}}))
}

fn bound() -> Value {
    let mut claim = claim();
    claim["status"]["address"]["name"] = json!("p-10-0-0-1");
    claim
}

fn address() -> Value {
    object(ADDRESS, "a", &json!({"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}}))
}

fn going(mut object: Value) -> Value {
    object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    object
}

fn in_hand(mut object: Value) -> Value {
    object["metadata"]["annotations"][BY_HAND] = json!("1");
    object
}

/// A claim `c` is bound to its address, and then this happens.
fn after(then: impl IntoIterator<Item = (Kind, Option<Value>)>) -> Verdict {
    let first = [(Kind::Pool, pool()), (CLAIM, claim()), (ADDRESS, address()), (CLAIM, bound())];
    let all = first.map(|(kind, object)| (kind, Some(object))).into_iter().chain(then);
    let revision = |(version, (kind, object))| {
        let name = match kind {
            Kind::Pool => "p",
            CLAIM => "c",
            _ => "p-10-0-0-1",
        };
        Revision { version, kind, name: name.to_owned(), object }
    };
    judge(&(1..).zip(all).map(revision).collect::<Vec<_>>(), Writers::One)
}

#[test]
fn an_address_may_not_go_while_a_claim_publishes_it() {
    let why = "at revision 5: p-10-0-0-1 was deleted, and c publishes it and lives";
    assert_eq!(after([(ADDRESS, Some(going(address())))]), Err(why.to_owned()));
    assert_eq!(after([(ADDRESS, None)]), Err(why.to_owned()));
    let claim = going(bound());
    assert_eq!(after([(CLAIM, Some(claim)), (ADDRESS, Some(going(address()))), (ADDRESS, None)]), Ok(()));
    assert_eq!(after([(CLAIM, None), (ADDRESS, Some(going(address()))), (ADDRESS, None)]), Ok(()));
    assert_eq!(after([(ADDRESS, Some(in_hand(going(address())))), (ADDRESS, None)]), Ok(()));
}

#[test]
fn an_owner_or_a_label_that_is_not_ours_may_not_be_lost() {
    let owner = |group: &str, kind: Kind, name: &str| json!({"apiVersion": format!("{group}/v1"), "kind": kind.name(), "name": name, "uid": "x"});
    let with_owner = |mut object: Value, owner: Value| {
        object["metadata"]["ownerReferences"] = json!([owner]);
        object
    };
    let cluster = Kind::Cluster.group();
    for (kind, object, owner, is_ours) in [
        (Kind::Pool, pool(), owner(cluster, Kind::Cluster, "k"), true),
        (Kind::Pool, pool(), owner(cluster, Kind::Cluster, "other"), false),
        (Kind::Pool, pool(), owner("other.example", Kind::Cluster, "k"), false),
        (ADDRESS, address(), owner(CLAIM.group(), CLAIM, "c"), true),
        (ADDRESS, address(), owner("other.example", CLAIM, "c"), false),
        (CLAIM, bound(), owner(cluster, Kind::Cluster, "k"), false),
    ] {
        let with = with_owner(object.clone(), owner.clone());
        // It comes by a person's hand, and a controller takes it away.
        let verdict = after([(kind, Some(in_hand(with))), (kind, Some(in_hand(object)))]);
        assert_eq!(verdict.is_ok(), is_ours, "{owner}: {verdict:?}");
    }
    for (label, is_ours) in [
        ("cluster.x-k8s.io/cluster-name", true),
        ("cluster.x-k8s.io/provider", true),
        ("cluster.x-k8s.io/watch-filter", false),
    ] {
        let mut labelled = pool();
        labelled["metadata"]["labels"][label] = json!("x");
        let verdict = after([(Kind::Pool, Some(in_hand(labelled))), (Kind::Pool, Some(in_hand(pool())))]);
        assert_eq!(verdict.is_ok(), is_ours, "{label}: {verdict:?}");
    }
}
