//! Whatever comes in, an answer goes out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Endpoint, Request, Scope, admit, question};
use crate::api::{Family, Kind};

const PATHS: [&str; 7] = [
    "/mutate-ipam-metal3-io-v1alpha1-ippool",
    "/mutate-ipam-metal3-io-v1alpha1-ipclaim",
    "/mutate-ipam-metal3-io-v1alpha1-ipaddress",
    "/validate-ipam-metal3-io-v1alpha1-ippool",
    "/validate-ipam-metal3-io-v1alpha1-ipclaim",
    "/validate-ipam-metal3-io-v1alpha1-ipaddress",
    "/mutate-ipam-cluster-x-k8s-io-ipaddressclaim",
];

/// All that happens to a body on its way, but for the question to the loop.
fn answer(endpoint: Endpoint, body: &[u8]) -> Value {
    match Request::read(endpoint, body) {
        Err(malformed) => malformed.answer(),
        Ok(request) => {
            let held: Vec<_> = question(endpoint, &request)
                .and_then(|(_, lost)| lost.ranges().next())
                .map(|range| range.first())
                .into_iter()
                .collect();
            admit(endpoint, &request, &Scope::default(), &held).answer(endpoint.kind, &request)
        }
    }
}

fn assert_is_answer(answer: &Value, uid: &str) {
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], uid);
    let allowed = answer["response"]["allowed"].as_bool().unwrap();
    assert_eq!(allowed, answer["response"]["status"].is_null());
}

/// Values that a field may be replaced by.
fn oddity() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!([null, {"start": "::", "end": "ffff::"}])),
        Just(json!({"c": "10.0.0.7", "d": "10.0.0.07"})),
        "[ -~]{0,12}".prop_map(|text| json!(text)),
        "[0-9a-f:./%-]{0,20}".prop_map(|text| json!(text)),
        (0..300_u16, 0..140_u16).prop_map(|(n, p)| json!(format!("10.0.{n}.0/{p}"))),
    ]
}

fn sent(operation: &str, endpoint: Endpoint) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": operation, "name": "p", "namespace": "ns",
            "kind": {"group": "ipam.metal3.io", "version": "v1alpha1", "kind": endpoint.kind.name()},
            "object": object(), "oldObject": object(),
        },
    })
}

fn object() -> Value {
    json!({
        "metadata": {"name": "p", "finalizers": ["a/b"], "annotations": {"ipAddress": "10.0.0.1"}},
        "spec": {
            "namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.9", "subnet": "10.0.0.0/24"}],
            "preAllocations": {"c": "10.0.0.5"}, "gateway": "10.0.0.1", "prefix": 24,
            "pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1",
            "poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"},
        },
    })
}

const FIELDS: [&str; 19] = [
    "/request/operation",
    "/request/object",
    "/request/oldObject",
    "/request/name",
    "/request/kind",
    "/request/namespace",
    "/request/object/metadata",
    "/request/object/metadata/finalizers",
    "/request/object/metadata/annotations",
    "/request/object/metadata/annotations/ipAddress",
    "/request/object/spec",
    "/request/object/spec/pools",
    "/request/object/spec/pools/0",
    "/request/object/spec/pools/0/start",
    "/request/object/spec/pools/0/subnet",
    "/request/object/spec/preAllocations",
    "/request/object/spec/pool",
    "/request/oldObject/spec",
    "/request/oldObject/spec/pools/0/end",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn any_bytes_get_an_answer(path in 0..PATHS.len(), body in prop::collection::vec(any::<u8>(), 0..48)) {
        let answer = answer(Endpoint::at(PATHS[path]).unwrap(), &body);
        prop_assert!(answer["response"]["allowed"].is_boolean());
    }

    #[test]
    fn a_review_with_anything_in_it_gets_an_answer_with_its_uid(
        path in 0..PATHS.len(),
        update: bool,
        oddities in prop::collection::vec((0..FIELDS.len(), oddity()), 0..4),
    ) {
        let endpoint = Endpoint::at(PATHS[path]).unwrap();
        let mut review = sent(if update { "UPDATE" } else { "CREATE" }, endpoint);
        for (field, value) in oddities {
            if let Some(part) = review.pointer_mut(FIELDS[field]) {
                *part = value;
            }
        }
        assert_is_answer(&answer(endpoint, review.to_string().as_bytes()), "u-1");
    }
}

#[test]
fn a_review_of_each_kind_with_nothing_odd_is_let_through() {
    for path in PATHS {
        let endpoint = Endpoint::at(path).unwrap();
        for operation in ["CREATE", "UPDATE", "DELETE", "CONNECT"] {
            let review = sent(operation, endpoint);
            let answer = answer(endpoint, review.to_string().as_bytes());
            assert_eq!(answer["response"]["allowed"], true, "{path} {operation} {answer}");
        }
    }
    assert_eq!(Endpoint::at(PATHS[6]).unwrap().kind, Kind::Claim(Family::Capi));
}
