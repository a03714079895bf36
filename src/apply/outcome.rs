//! The API server's replies as outcomes of the ledger's writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::Reply;
use crate::api::{Family, IPAddress, IPClaim, IPPool, Kind};
use crate::ledger::{Act, Address, Claim, Outcome, Pool, Seen, Text, Write};

/// What became of a write, by the reply to its change.
pub fn outcome(write: &Write, reply: Reply) -> Outcome {
    match reply {
        Reply::Object(list) if matches!(write.act, Act::Survey { .. }) => names(&list),
        Reply::Object(object) => match seen(write.kind(), *object) {
            Ok(Some(seen)) if seen.id() == write.object() => Outcome::Seen(seen),
            Ok(Some(seen)) => Outcome::Unknown(format!(
                "the answer is about {} and not about {}",
                seen.id(),
                write.object()
            )),
            // There is one, and it is none of ours.
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Unknown(format!("the object in the answer cannot be read: {error}")),
        },
        Reply::Deleted | Reply::NotFound => Outcome::Gone,
        Reply::NotServed => Outcome::Unknown("its kind is not served".into()),
        Reply::AlreadyExists => Outcome::Exists,
        Reply::GuardFailed { message } => Outcome::GuardFailed(message),
        Reply::Refused { message, .. } => Outcome::Refused(message),
        Reply::NotNow { after, .. } => Outcome::NotNow(after),
        Reply::Unknown { message } => Outcome::Unknown(message),
    }
}

/// The names in a list. An empty one may have no items at all; only its kind tells it from something else.
fn names(list: &Value) -> Outcome {
    if !list["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) {
        return Outcome::Unknown("the answer is no list".into());
    }
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(Text::from)).collect();
    let complete = list["metadata"]["continue"].as_str().is_none_or(str::is_empty);
    Outcome::Names { names, complete }
}

/// An object as the ledger sees it; none if it is another provider's claim.
fn seen(kind: Kind, object: Value) -> serde_json::Result<Option<Seen>> {
    Ok(match kind {
        Kind::Pool => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Some(Seen::Pool(Box::new(Pool::of(&IPPool { metadata, spec, status }))))
        }
        Kind::Claim(Family::Metal3) => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Some(Seen::Claim(Box::new(Claim::of_metal3(&IPClaim { metadata, spec, status }))))
        }
        Kind::Claim(Family::Capi) => {
            let Parts { metadata, spec, status } = serde_json::from_value(object)?;
            Claim::of_capi(&metadata, &spec, status.as_ref()).map(|claim| Seen::Claim(Box::new(claim)))
        }
        Kind::Address(Family::Metal3) => {
            let Parts::<_, Value> { metadata, spec, .. } = serde_json::from_value(object)?;
            Some(Seen::Address(Box::new(Address::of_metal3(&IPAddress { metadata, spec }))))
        }
        Kind::Address(Family::Capi) => {
            let Parts::<_, Value> { metadata, spec, .. } = serde_json::from_value(object)?;
            Some(Seen::Address(Box::new(Address::of_capi(&metadata, &spec))))
        }
        Kind::Cluster => return Err(serde::de::Error::custom("nothing is written to that kind")),
    })
}

/// An object as far as it is read. One that is stored without a spec is read as one with an empty one.
#[derive(Deserialize)]
struct Parts<S: Default, T> {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: S,
    #[serde(default = "Option::default")]
    status: Option<T>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::{Id, Uid};

    #[test]
    fn an_answer_about_another_object_says_nothing_of_the_one_that_was_asked_for() {
        let kind = Kind::Address(Family::Metal3);
        let (claim, object) = (Id::new(Kind::Claim(Family::Metal3), "ns", "c"), Id::new(kind, "ns", "a"));
        let write =
            Write { number: 1, subject: claim, uid: Uid::new("u"), act: Act::Look { object, known: None } };
        let answer = |name: &str| {
            let spec = json!({"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1"});
            let object =
                json!({"kind": "IPAddress", "metadata": {"name": name, "namespace": "ns"}, "spec": spec});
            outcome(&write, Reply::Object(Box::new(object)))
        };
        assert!(matches!(answer("a"), Outcome::Seen(_)));
        assert!(matches!(answer("b"), Outcome::Unknown(_)));
        // A list has no name, and no spec either.
        let list = json!({"kind": "IPAddressList", "metadata": {"resourceVersion": "7"}, "items": []});
        assert!(matches!(outcome(&write, Reply::Object(Box::new(list))), Outcome::Unknown(_)));
    }

    #[test]
    fn an_empty_list_has_no_names_and_what_is_no_list_says_nothing() {
        let list = |items: Value, more: &str| {
            names(
                &json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": more}, "items": items}),
            )
        };
        let some = |of: &[&str], complete| {
            let names = of.iter().map(|&name| Text::from(name)).collect();
            Outcome::Names { names, complete }
        };
        assert_eq!(list(Value::Null, ""), some(&[], true));
        assert_eq!(list(json!([{"metadata": {"name": "a"}}]), ""), some(&["a"], true));
        assert_eq!(list(json!([{"metadata": {"name": "a"}}]), "more"), some(&["a"], false));
        assert!(matches!(names(&json!({"kind": "IPAddress"})), Outcome::Unknown(_)));
    }
}
