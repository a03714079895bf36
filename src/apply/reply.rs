//! What became of a request, by what it means for the next step.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::Target;

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It took effect (or was read); this is the object now, without its `managedFields`.
    Object(Box<Value>),
    /// The deletion took effect at once; nothing is left.
    Deleted,
    /// There is no such object.
    NotFound,
    /// There is no such kind, or not in this version: that says nothing of any object.
    NotServed,
    /// An object of that name exists already.
    AlreadyExists,
    /// The guard did not hold: the object is not what the change was meant for. Nothing was done.
    GuardFailed {
        /// The API server's words.
        message: String,
    },
    /// The API server will not do this. Nothing was done.
    Refused {
        /// HTTP status; 0 where the request could not be made at all.
        code: u16,
        /// The API server's words.
        message: String,
    },
    /// The API server asks to come back later. Nothing was done.
    NotNow {
        /// How long it asks to wait.
        after: Option<Duration>,
        /// The API server's words.
        message: String,
    },
    /// It may have taken effect, or may still: only a read can tell.
    Unknown {
        /// What went wrong.
        message: String,
    },
}

impl Reply {
    /// Reads an HTTP answer to a request about `target`.
    ///
    /// A body that is no JSON never turns an error into a success, and a success into [`Reply::Unknown`]: it took
    /// effect, but what the object is now has to be read.
    pub(super) fn read(code: u16, headers: &HeaderMap, body: &[u8], target: &Target) -> Self {
        let value: Option<Value> = super::lean::value(body).ok();
        let text = |key: &str| value.as_ref().and_then(|v| v[key].as_str()).unwrap_or_default();
        let message = match text("message") {
            "" => format!("HTTP status {code}"),
            message => message.to_owned(),
        };
        match code {
            200..=299 if text("kind") == "Status" => Self::Deleted,
            200..=299 => match value {
                Some(value) if value.is_object() => Self::Object(Box::new(value)),
                _ => Self::Unknown { message: "the answer is no JSON object".into() },
            },
            404 => match value.as_ref().map(|value| &value["details"]) {
                // Only that of an object names what was not found.
                Some(details) if !details["name"].is_string() => Self::NotServed,
                Some(details) if is_of(target, details) => Self::NotFound,
                // A webhook that was asked may answer with what it has not found itself.
                Some(_) => Self::Unknown { message },
                None => Self::NotServed,
            },
            409 if text("reason") == "AlreadyExists" => Self::AlreadyExists,
            409 | 422 => Self::GuardFailed { message },
            429 => Self::NotNow { after: retry_after(headers), message },
            400..=499 => Self::Refused { code, message },
            _ => Self::Unknown { message },
        }
    }
}

/// Whether what was not found is what was asked for, or the namespace that it should be in.
fn is_of(target: &Target, details: &Value) -> bool {
    let is = |kind: &str, name: &str| details["kind"] == kind && details["name"] == name;
    is(target.resource.plural, &target.name) || is("namespaces", &target.namespace)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    // A server that asks for hours is answered within a minute: the wish is an estimate, and claims are waiting.
    Some(Duration::from_secs(seconds).min(Duration::from_mins(1)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Family, Kind};

    /// The answer to a request about IPAddress `a` in namespace `ns`.
    fn answer(code: u16, headers: &HeaderMap, body: &[u8]) -> Reply {
        let resource = Kind::Address(Family::Metal3).resource();
        Reply::read(code, headers, body, &Target { resource, namespace: "ns".into(), name: "a".into() })
    }

    fn read(code: u16, body: &Value) -> Reply {
        answer(code, &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn an_object_is_a_success_and_a_status_a_finished_deletion() {
        let object = json!({"kind": "IPAddress"});
        assert_eq!(read(201, &object), Reply::Object(Box::new(object)));
        assert_eq!(read(200, &json!({"kind": "Status", "status": "Success"})), Reply::Deleted);
    }

    #[test]
    fn a_taken_name_is_told_from_a_failed_guard() {
        assert_eq!(read(409, &json!({"reason": "AlreadyExists"})), Reply::AlreadyExists);
        let guard = |message: &str| Reply::GuardFailed { message: message.into() };
        assert_eq!(read(409, &json!({"reason": "Conflict", "message": "uid"})), guard("uid"));
        assert_eq!(read(422, &json!({"message": "test failed"})), guard("test failed"));
    }

    #[test]
    fn an_object_that_is_not_there_is_told_from_a_kind_that_is_not_served() {
        let missing = |kind: &str, name: &str| {
            read(
                404,
                &json!({"reason": "NotFound", "message": "no", "details": {"name": name, "kind": kind}}),
            )
        };
        assert_eq!(missing("ipaddresses", "a"), Reply::NotFound);
        assert_eq!(missing("namespaces", "ns"), Reply::NotFound);
        // What somebody else has not found on the way says nothing of the object.
        for (kind, name) in [("ipaddresses", "b"), ("clusters", "a"), ("namespaces", "a")] {
            assert_eq!(missing(kind, name), Reply::Unknown { message: "no".into() }, "{kind} {name}");
        }
        assert_eq!(
            read(404, &json!({"kind": "Status", "reason": "NotFound", "details": {}})),
            Reply::NotServed
        );
        assert_eq!(answer(404, &HeaderMap::new(), b"404 page not found"), Reply::NotServed);
    }

    #[test]
    fn server_errors_leave_it_open_whether_the_change_took_effect() {
        for code in [500, 502, 503, 504] {
            assert!(matches!(read(code, &json!({})), Reply::Unknown { .. }), "{code}");
        }
        assert!(matches!(answer(201, &HeaderMap::new(), b"<html>"), Reply::Unknown { .. }));
    }

    #[test]
    fn a_throttled_request_says_when_to_come_back_within_reason() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let Reply::NotNow { after, .. } = answer(429, &headers, b"") else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(7)));
        headers.insert("retry-after", "86400".parse().unwrap());
        let Reply::NotNow { after, .. } = answer(429, &headers, b"") else { panic!() };
        assert_eq!(after, Some(Duration::from_mins(1)));
    }
}
