//! A change as a value, and the one request that it is.

use http::{Method, Request};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::Resource;

/// One object of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind, and where that is served.
    pub resource: Resource,
    /// Its namespace; empty for an object that lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One request to the API server, with the guard that makes it safe to be late.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Create an object; its name is the lock.
    Create {
        /// What is created; the name is set into the object.
        target: Target,
        /// The object, without `apiVersion`, `kind`, name and namespace.
        object: Value,
    },
    /// Change parts of an object by JSON patch.
    Patch {
        /// What is changed.
        target: Target,
        /// A subresource such as `status`.
        subresource: Option<&'static str>,
        /// The operations, guards (`test`) first.
        ops: Vec<PatchOp>,
    },
    /// Ask for an object's deletion.
    Delete {
        /// What is deleted.
        target: Target,
        /// The deletion counts only for the object with this UID.
        uid: Option<String>,
        /// The deletion counts only for the object as it is in this resource version.
        version: Option<String>,
    },
    /// Read an object, from the quorum. Not a change, but what one that went unanswered is followed by.
    Read {
        /// What is read.
        target: Target,
    },
    /// Read the metadata of the objects of a kind in a namespace, from the quorum. Not a change, but what one may have
    /// to be preceded by.
    Survey {
        /// Any object of the kind and namespace; its name does not matter.
        target: Target,
        /// The most objects that are listed; a longer list says that it goes on.
        limit: usize,
    },
}

/// One operation of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOp {
    /// The patch applies only if `path` holds `value`; `null` stands for absence.
    Test {
        /// JSON pointer.
        path: String,
        /// Expected value.
        value: Value,
    },
    /// Set a member, or insert into a list.
    Add {
        /// JSON pointer; a list's end is `-`.
        path: String,
        /// New value.
        value: Value,
    },
    /// Remove a member or an element.
    Remove {
        /// JSON pointer.
        path: String,
    },
}

impl PatchOp {
    /// The guard that every patch of a claim, a pool or an address starts with.
    pub fn test_uid(uid: &(impl ToString + ?Sized)) -> Self {
        Self::test("/metadata/uid", uid.to_string())
    }

    /// A `test` operation.
    pub fn test(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Test { path: path.into(), value: value.into() }
    }

    /// An `add` operation.
    pub fn add(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Add { path: path.into(), value: value.into() }
    }

    /// A `remove` operation.
    pub fn remove(path: impl Into<String>) -> Self {
        Self::Remove { path: path.into() }
    }
}

/// Escapes one member name for use in a JSON pointer (RFC 6901).
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Whether changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// They are.
    No,
    /// The API server checks them in full and forgets them.
    Server,
}

impl Change {
    /// What the change is about.
    pub fn target(&self) -> &Target {
        match self {
            Self::Create { target, .. }
            | Self::Patch { target, .. }
            | Self::Delete { target, .. }
            | Self::Read { target }
            | Self::Survey { target, .. } => target,
        }
    }

    pub(super) fn request(&self, manager: &str, dry_run: DryRun) -> Result<Request<Vec<u8>>, http::Error> {
        let trial = if dry_run == DryRun::Server { "&dryRun=All" } else { "" };
        let query = format!("?fieldManager={}{trial}", encoded(manager));
        let (method, uri, content, body) = match self {
            Self::Create { target, object } => {
                (Method::POST, target.collection() + &query, "application/json", target.complete(object))
            }
            Self::Patch { target, subresource, ops } => {
                let path = subresource.map_or(target.path(), |sub| format!("{}/{sub}", target.path()));
                (Method::PATCH, path + &query, "application/json-patch+json", json!(ops))
            }
            Self::Delete { target, uid, version } => {
                let options = delete_options(uid.as_deref(), version.as_deref(), dry_run);
                (Method::DELETE, target.path(), "application/json", options)
            }
            Self::Read { target } => (Method::GET, target.path(), "application/json", Value::Null),
            Self::Survey { target, limit } => (
                Method::GET,
                format!("{}?limit={limit}", target.collection()),
                "application/json",
                Value::Null,
            ),
        };
        let accept = match self {
            Self::Survey { .. } => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            _ => "application/json",
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Request::builder()
            .method(method)
            .uri(uri)
            .header(http::header::CONTENT_TYPE, content)
            .header(http::header::ACCEPT, accept)
            .body(body)
    }
}

impl Target {
    fn collection(&self) -> String {
        let Resource { group, plural, .. } = &self.resource;
        let root = if group.is_empty() { "/api" } else { "/apis" };
        let namespace =
            if self.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", self.namespace) };
        format!("{root}/{}{namespace}/{plural}", self.resource.api_version())
    }

    /// Where the API server has the object.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), encoded(&self.name))
    }

    fn complete(&self, object: &Value) -> Value {
        let mut object = object.clone();
        object["apiVersion"] = json!(self.resource.api_version());
        object["kind"] = json!(self.resource.kind);
        object["metadata"]["name"] = json!(self.name);
        if !self.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        object
    }
}

/// A text as it stands in an address: what it says changes nothing of what is asked for.
fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn delete_options(uid: Option<&str>, version: Option<&str>, dry_run: DryRun) -> Value {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if let Some(uid) = uid {
        options["preconditions"]["uid"] = json!(uid);
    }
    if let Some(version) = version {
        options["preconditions"]["resourceVersion"] = json!(version);
    }
    if dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Family, Kind};

    fn claim() -> Target {
        let resource = Kind::Claim(Family::Metal3).resource();
        Target { resource, namespace: "ns".into(), name: "c".into() }
    }

    fn text(change: &Change, dry_run: DryRun) -> (String, String) {
        let request = change.request("me", dry_run).unwrap();
        let head = format!("{} {}", request.method(), request.uri());
        (head, String::from_utf8(request.into_body()).unwrap())
    }

    #[test]
    fn a_patch_of_a_status_is_a_json_patch_of_the_subresource() {
        let ops = vec![PatchOp::test_uid("u"), PatchOp::add("/status", json!({"errorMessage": "no"}))];
        let change = Change::Patch { target: claim(), subresource: Some("status"), ops };
        let (head, body) = text(&change, DryRun::No);
        assert_eq!(
            head,
            "PATCH /apis/ipam.metal3.io/v1alpha1/namespaces/ns/ipclaims/c/status?fieldManager=me"
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "add", "path": "/status", "value": {"errorMessage": "no"}},
            ])
        );
    }

    #[test]
    fn a_delete_carries_the_uid_and_the_version_that_it_counts_for() {
        let change = Change::Delete { target: claim(), uid: Some("u".into()), version: Some("7".into()) };
        let (head, body) = text(&change, DryRun::Server);
        assert_eq!(head, "DELETE /apis/ipam.metal3.io/v1alpha1/namespaces/ns/ipclaims/c");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["preconditions"], json!({"uid": "u", "resourceVersion": "7"}));
        assert_eq!(body["dryRun"], json!(["All"]));
    }

    #[test]
    fn a_survey_asks_the_quorum_for_metadata_only() {
        let change = Change::Survey { target: claim(), limit: 7 };
        let request = change.request("me", DryRun::No).unwrap();
        assert_eq!(request.uri(), "/apis/ipam.metal3.io/v1alpha1/namespaces/ns/ipclaims?limit=7");
        let accept = request.headers()[http::header::ACCEPT].to_str().unwrap();
        assert!(accept.starts_with("application/json;as=PartialObjectMetadataList;"), "{accept}");
        assert!(request.body().is_empty());
    }

    #[test]
    fn a_created_object_is_complete() {
        let change = Change::Create { target: claim(), object: json!({"spec": {"pool": {"name": "p"}}}) };
        let (head, body) = text(&change, DryRun::Server);
        assert_eq!(
            head,
            "POST /apis/ipam.metal3.io/v1alpha1/namespaces/ns/ipclaims?fieldManager=me&dryRun=All"
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["kind"], "IPClaim");
        assert_eq!(body["metadata"], json!({"name": "c", "namespace": "ns"}));
    }

    #[test]
    fn a_kind_of_the_core_group_and_one_without_namespaces_have_paths_of_their_own() {
        let resource = |group, kind, plural| Resource { group, version: "v1".into(), kind, plural };
        let target =
            |resource, namespace: &str| Target { resource, namespace: namespace.into(), name: "x".into() };
        let secret = Change::Read { target: target(resource("", "Secret", "secrets"), "ns") };
        assert_eq!(text(&secret, DryRun::No).0, "GET /api/v1/namespaces/ns/secrets/x");
        let role = target(resource("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"), "");
        assert_eq!(role.path(), "/apis/rbac.authorization.k8s.io/v1/clusterroles/x");
        assert_eq!(role.complete(&json!({}))["metadata"], json!({"name": "x"}));
    }

    #[test]
    fn a_name_with_a_slash_is_one_token_of_a_pointer() {
        assert_eq!(pointer_token("cluster.x-k8s.io/paused"), "cluster.x-k8s.io~1paused");
        assert_eq!(pointer_token("a~b"), "a~0b");
    }
}
