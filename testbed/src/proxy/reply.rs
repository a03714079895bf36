//! Answers that the proxy gives in the API server's place.

use hyper::{Response, StatusCode, body::Bytes, header};
use serde_json::json;

/// An answer with a `Status` body, as the API server would give it.
#[derive(Clone, Debug)]
pub struct Reply {
    code: StatusCode,
    retry_after: Option<u32>,
    body: Bytes,
}

impl Reply {
    /// An answer with this HTTP status, `reason` (as `AlreadyExists`) and message.
    ///
    /// # Panics
    /// `code` is no HTTP status.
    pub fn new(code: u16, reason: &str, message: &str) -> Self {
        Self::with_details(code, reason, message, &json!({}))
    }

    /// 409: somebody else has changed the object.
    pub fn conflict() -> Self {
        Self::new(
            409,
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        )
    }

    /// 409: there is an object with that name.
    pub fn already_exists() -> Self {
        Self::new(409, "AlreadyExists", "the object already exists")
    }

    /// 422: refused by validation, or by the `test` of a JSON patch.
    pub fn invalid() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    /// 429, to be tried again after some seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        let details = json!({ "retryAfterSeconds": retry_after });
        let message = "the server has received too many requests and has asked us to try again later";
        Self {
            retry_after: Some(retry_after),
            ..Self::with_details(429, "TooManyRequests", message, &details)
        }
    }

    /// 500.
    pub fn internal_error() -> Self {
        Self::new(500, "InternalError", "Internal error occurred: injected fault")
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    }

    /// 504: the request may or may not have taken effect.
    pub fn timeout() -> Self {
        Self::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
    }

    /// 410: the resource version is too old.
    pub fn expired() -> Self {
        Self::new(410, "Expired", "too old resource version")
    }

    /// An answer with any body, as a load balancer in between could give it.
    ///
    /// # Panics
    /// `code` is no HTTP status.
    pub fn raw(code: u16, body: &str) -> Self {
        let code = StatusCode::from_u16(code).expect("an HTTP status has three digits");
        Self { code, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn with_details(code: u16, reason: &str, message: &str, details: &serde_json::Value) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "details": details, "code": code,
        });
        Self::raw(code, &status.to_string())
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The answer as an event of a watch, with the end of line.
    pub(super) fn event(&self) -> Bytes {
        let object = String::from_utf8_lossy(&self.body);
        format!("{{\"type\":\"ERROR\",\"object\":{object}}}\n").into()
    }
}
