//! The envelope: an `AdmissionReview` as the API server sends it, and the answer in the same form.
//!
//! It is read by hand, and only as far as it is needed: a typed reader would answer an object of the wrong form with an
//! error of its own, which the API server takes for a failure of the webhook.

use std::borrow::Cow;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::admit::Endpoint;
use super::lean::{self, Wanted};
use crate::api::{Kind, Violation};

/// What the API server wants to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Identifies the review; the answer repeats it.
    pub uid: String,
    /// What is done to the object.
    pub operation: Operation,
    /// The object's name; empty while it has none yet.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The object as it is, in the parts that are judged; `null` for a creation.
    pub old: Value,
    /// The object as it is to be, in the same parts.
    pub new: Value,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted or connected to: nothing to judge.
    Other,
}

/// What is read of a review.
const REVIEW: Wanted =
    Wanted::Fields(&[("apiVersion", Wanted::All), ("kind", Wanted::All), ("request", REQUEST)]);
const REQUEST: Wanted = Wanted::Fields(&[
    ("uid", Wanted::All),
    ("operation", Wanted::All),
    ("name", Wanted::All),
    ("namespace", Wanted::All),
    ("kind", Wanted::Fields(&[("kind", Wanted::All)])),
    ("object", OBJECT),
    ("oldObject", OBJECT),
]);
const OBJECT: Wanted = Wanted::Fields(&[("metadata", METADATA), ("spec", Wanted::All)]);
const METADATA: Wanted = Wanted::Fields(&[
    ("name", Wanted::All),
    ("generateName", Wanted::All),
    ("labels", Wanted::All),
    ("annotations", Wanted::Fields(&[("ipAddress", Wanted::All)])),
    ("finalizers", Wanted::All),
    ("deletionTimestamp", Wanted::All),
]);

/// What arrived is not a review that can be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the admission review cannot be judged: {why}")]
pub struct Malformed {
    /// Identifies the review, where that much can be read.
    pub uid: String,
    /// What is wrong with it.
    pub why: String,
}

impl Request {
    /// Reads the review that arrived at an endpoint.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything that the API server would not send there.
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Malformed> {
        let mut review = lean::read(body, &REVIEW)
            .map_err(|error| Malformed { uid: String::new(), why: unreadable(&error) })?;
        let request = &review["request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let uid = text(&request["uid"]);
        let is_long = |value: &Value| value.as_str().is_some_and(|text| text.len() > LONGEST_NAME);
        let metadata = &request["object"]["metadata"];
        let names = [&request["name"], &metadata["name"], &metadata["generateName"]];
        if names.into_iter().chain([&request["uid"], &request["namespace"]]).any(is_long) {
            let why = format!("a name or uid in it has more than {LONGEST_NAME} bytes");
            return Err(Malformed { uid: String::new(), why });
        }
        let malformed = |why: &str| Malformed { uid: uid.clone(), why: why.to_owned() };
        if review["apiVersion"] != "admission.k8s.io/v1" || review["kind"] != "AdmissionReview" {
            return Err(malformed("it is no AdmissionReview of admission.k8s.io/v1"));
        }
        if uid.is_empty() {
            return Err(malformed("it has no request with a uid"));
        }
        if request["kind"]["kind"] != endpoint.kind.name() {
            return Err(malformed(&format!("this path judges objects of the kind {}", endpoint.kind.name())));
        }
        let operation = match request["operation"].as_str() {
            Some("CREATE") => Operation::Create,
            Some("UPDATE") => Operation::Update,
            Some(_) => Operation::Other,
            None => return Err(malformed("it names no operation")),
        };
        if operation != Operation::Other && !request["object"].is_object() {
            return Err(malformed("it has no object"));
        }
        if operation == Operation::Update && !request["oldObject"].is_object() {
            return Err(malformed("it has no old object"));
        }
        let name = names.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or_default();
        let namespace = text(&request["namespace"]);
        let (old, new) = (review["request"]["oldObject"].take(), review["request"]["object"].take());
        Ok(Self { uid, operation, name, namespace, old, new })
    }
}

fn unreadable(error: &serde_json::Error) -> String {
    // The reader's own errors are of category data.
    if error.is_data() { error.to_string() } else { format!("it is no JSON: {error}") }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The object may be stored as it is.
    Allowed,
    /// The object may be stored with these operations of a JSON patch applied.
    Patched(Vec<Value>),
    /// The object may not be stored.
    Invalid(Vec<Violation>),
    /// It cannot be said now who holds which address.
    NotYet,
}

impl Verdict {
    /// The verdict in one word, for those who count.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched(_) => "patched",
            Self::Invalid(_) => "refused",
            Self::NotYet => "not_yet",
        }
    }

    /// The review that answers a request.
    pub fn answer(&self, kind: Kind, request: &Request) -> Value {
        let uid = &request.uid;
        match self {
            Self::Allowed => review(&json!({"uid": uid, "allowed": true})),
            Self::Patched(ops) => {
                let patch = ByteString(json!(ops).to_string().into_bytes());
                review(&json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch}))
            }
            Self::Invalid(violations) => review(
                &json!({"uid": uid, "allowed": false, "status": invalid(kind, &request.name, violations)}),
            ),
            Self::NotYet => refusal(
                uid,
                503,
                "ServiceUnavailable",
                "who holds which address is not known yet, as the controller is reading its lists; try again in a few seconds",
            ),
        }
    }
}

impl Malformed {
    /// In place of a verdict, as [`Verdict::word`].
    pub const WORD: &str = "malformed";

    /// The review that says so.
    pub fn answer(&self) -> Value {
        refusal(&self.uid, 400, "BadRequest", &self.to_string())
    }
}

fn review(response: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn refusal(uid: &str, code: u16, reason: &str, message: &str) -> Value {
    let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
    review(&json!({"uid": uid, "allowed": false, "status": status}))
}

/// As many violations are named; the others are counted.
const NAMED: usize = 100;

/// No name that the API server lets through is longer, nor is its own uid.
const LONGEST_NAME: usize = 300;

/// As much of a text is repeated, in bytes: what is sent may be seven megabytes of one.
const REPEATED: usize = 1024;

/// The violations that are named, as far as they are repeated.
fn named(violations: &[Violation]) -> impl Iterator<Item = Violation> {
    violations.iter().take(NAMED).map(|violation| {
        let value = match &violation.value {
            Value::String(text) => json!(shortened(text)),
            Value::Array(_) | Value::Object(_) => {
                let text = violation.value.to_string();
                if text.len() > REPEATED { json!(shortened(&text)) } else { violation.value.clone() }
            }
            value => value.clone(),
        };
        Violation::new(shortened(&violation.field), value, shortened(&violation.detail))
    })
}

/// As much of a text as is repeated.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= REPEATED {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(REPEATED)]))
}

/// The status by which the API server itself refuses an invalid object, so that clients find the fields in it.
fn invalid(kind: Kind, name: &str, violations: &[Violation]) -> Value {
    let (group, kind) = (kind.group(), kind.name());
    let each = said(violations);
    let all = if let [one] = each.as_slice() { one.clone() } else { format!("[{}]", each.join(", ")) };
    let cause = |violation: Violation| {
        let message = format!("Invalid value: {}: {}", violation.value, violation.detail);
        json!({"reason": "FieldValueInvalid", "field": violation.field, "message": message})
    };
    let causes: Vec<Value> = named(violations).map(cause).collect();
    json!({
        "status": "Failure", "code": 422, "reason": "Invalid",
        "message": format!("{kind}.{group} \"{name}\" is invalid: {all}"),
        "details": {"name": name, "group": group, "kind": kind, "causes": causes},
    })
}

/// The violations in words.
pub(super) fn said(violations: &[Violation]) -> Vec<String> {
    let more = violations.len().saturating_sub(NAMED);
    named(violations)
        .map(|violation| violation.to_string())
        .chain((more > 0).then(|| format!("and {more} more")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Scope, Task, admit};

    fn endpoint() -> Endpoint {
        Endpoint { task: Task::Validate, kind: Kind::Pool }
    }

    fn sent(operation: &str, old: &Value, new: &Value) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1", "operation": operation, "name": "p", "namespace": "ns",
                "kind": {"group": "ipam.metal3.io", "version": "v1alpha1", "kind": "IPPool"},
                "object": new, "oldObject": old,
            },
        })
    }

    fn read(review: &Value) -> Result<Request, Malformed> {
        Request::read(endpoint(), review.to_string().as_bytes())
    }

    #[test]
    fn a_refusal_reads_as_the_contract_says() {
        let request = read(&sent("CREATE", &Value::Null, &json!({"metadata": {"name": "p"}}))).unwrap();
        let one = Violation::new("spec.namePrefix", "q", "cannot be modified");
        let other = Violation::new("spec.pools", "10.0.0.1", "is in use");
        let answer = Verdict::Invalid(vec![one.clone()]).answer(Kind::Pool, &request);
        let status = &answer["response"]["status"];
        assert_eq!(
            status["message"],
            "IPPool.ipam.metal3.io \"p\" is invalid: spec.namePrefix: Invalid value: \"q\": cannot be modified"
        );
        assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
        assert_eq!(status["details"]["causes"][0]["field"], "spec.namePrefix");
        assert_eq!(answer["response"]["uid"], "u-1");
        assert_eq!(answer["response"]["allowed"], false);
        let answer = Verdict::Invalid(vec![one, other]).answer(Kind::Pool, &request);
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(message.ends_with(
            "invalid: [spec.namePrefix: Invalid value: \"q\": cannot be modified, spec.pools: Invalid value: \"10.0.0.1\": is in use]"
        ), "{message}");
    }

    #[test]
    fn a_refusal_names_the_first_of_many_violations_and_counts_the_others() {
        let request = read(&sent("CREATE", &Value::Null, &json!({}))).unwrap();
        let many = (0..NAMED + 7).map(|n| Violation::new(format!("spec.pools[{n}]"), "x", "is wrong"));
        let answer = Verdict::Invalid(many.collect()).answer(Kind::Pool, &request);
        let status = &answer["response"]["status"];
        let message = status["message"].as_str().unwrap();
        assert!(
            message.ends_with("spec.pools[99]: Invalid value: \"x\": is wrong, and 7 more]"),
            "{message}"
        );
        assert_eq!(status["details"]["causes"].as_array().unwrap().len(), NAMED);
    }

    #[test]
    fn of_a_long_text_the_beginning_is_repeated() {
        let request = read(&sent("CREATE", &Value::Null, &json!({}))).unwrap();
        // The second of its bytes is the last that there is room for.
        let long = format!("{}ü{}", "x".repeat(REPEATED - 1), "y".repeat(9000));
        let wrong = Violation::new(format!("spec.{long}"), json!({"a": long}), long.clone());
        let answer = Verdict::Invalid(vec![wrong.clone()]).answer(Kind::Pool, &request).to_string();
        assert!(answer.len() < 8 * REPEATED && !answer.contains('y'), "{answer}");
        let said = said(&[wrong]).concat();
        assert!(said.ends_with(&format!("{}…", "x".repeat(REPEATED - 1))), "{said}");
        let mut review = sent("CREATE", &Value::Null, &json!({}));
        review["request"]["uid"] = json!("u".repeat(LONGEST_NAME + 1));
        let malformed = read(&review).unwrap_err();
        assert!(malformed.uid.is_empty() && malformed.why.contains("more than 300 bytes"), "{malformed}");
    }

    #[test]
    fn a_patch_travels_in_base64() {
        let request = read(&sent("CREATE", &Value::Null, &json!({}))).unwrap();
        let answer = Verdict::Patched(vec![json!({"op": "add"})]).answer(Kind::Pool, &request);
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        assert_eq!(answer["response"]["patch"], "W3sib3AiOiJhZGQifV0=");
    }

    #[test]
    fn what_is_no_review_is_told_so_with_the_uid_that_can_be_found() {
        for (broken, uid, why) in [
            (json!([1, 2]), "", "no AdmissionReview"),
            (json!({"request": {"uid": "u-1"}}), "u-1", "no AdmissionReview"),
            (sent("", &Value::Null, &Value::Null), "u-1", ""),
            (sent("CREATE", &Value::Null, &json!("x")), "u-1", "no object"),
            (sent("UPDATE", &Value::Null, &json!({})), "u-1", "no old object"),
        ] {
            match read(&broken) {
                Err(malformed) => {
                    assert_eq!(malformed.uid, uid, "{broken}");
                    assert!(malformed.why.contains(why), "{}", malformed.why);
                    let answer = malformed.answer();
                    assert_eq!(answer["response"]["status"]["code"], 400);
                    assert_eq!(answer["response"]["uid"], uid);
                }
                Ok(request) => assert_eq!((request.operation, why), (Operation::Other, "")),
            }
        }
        let pod = json!({"group": "", "version": "v1", "kind": "Pod"});
        let mut misled = sent("CREATE", &Value::Null, &json!({}));
        misled["request"]["kind"] = pod;
        assert!(read(&misled).unwrap_err().why.contains("kind IPPool"));
        assert!(Request::read(endpoint(), b"\xff{").unwrap_err().why.contains("no JSON"));
    }

    #[test]
    fn what_nobody_looks_at_is_not_read() {
        let object = json!({
            "metadata": {"name": "p", "managedFields": [{}], "annotations": {"a": "b", "ipAddress": "10.0.0.1"}},
            "spec": {"pools": []}, "status": {"indexes": {}},
        });
        let kept = json!({
            "metadata": {"name": "p", "annotations": {"ipAddress": "10.0.0.1"}}, "spec": {"pools": []},
        });
        let request = read(&sent("UPDATE", &object, &object)).unwrap();
        assert_eq!((&request.old, &request.new), (&kept, &kept));
    }

    #[test]
    fn the_name_that_a_creation_is_still_without_is_its_beginning() {
        let mut review = sent("CREATE", &Value::Null, &json!({"metadata": {"generateName": "p-"}}));
        review["request"]["name"] = json!("");
        assert_eq!(read(&review).unwrap().name, "p-");
    }

    #[test]
    fn what_is_deleted_passes() {
        let request = read(&sent("DELETE", &json!({}), &Value::Null)).unwrap();
        assert_eq!(admit(endpoint(), &request, &Scope::default(), &[]), Verdict::Allowed);
    }
}
