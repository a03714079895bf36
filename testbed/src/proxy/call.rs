//! What a request asks of the API server.

use std::fmt;

use hyper::{
    Method,
    body::Bytes,
    header::USER_AGENT,
    http::{Uri, request::Parts},
};
use serde_json::Value;

/// What a request does, as the API server's authorization sees it. A DELETE of a collection counts as a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// GET of one object, or of something that is no resource.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection's changes.
    Watch,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// Whether it changes something.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch | Self::Delete)
    }
}

/// One request. Parts that it does not have are empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub verb: Verb,
    /// The API group; empty for the core group, and for what is no resource.
    pub group: String,
    /// The plural name of the kind; empty for what is no resource.
    pub resource: String,
    /// For instance `status`.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name. That of an object to be created is read from the body, and that of one which is picked from a
    /// collection from the field selector.
    pub name: String,
    /// Path and query.
    pub uri: Uri,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The request's body.
    pub body: Bytes,
}

impl Call {
    pub(super) fn new(head: &Parts, body: Bytes) -> Self {
        let segments: Vec<&str> = head.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, path) = match segments[..] {
            ["api", _version, ref path @ ..] => ("", path),
            ["apis", group, _version, ref path @ ..] => (group, path),
            _ => ("", &[] as &[&str]),
        };
        let (namespace, path) = match path {
            // `status` and `finalize` are subresources of the namespace itself.
            ["namespaces", namespace, path @ ..] if !matches!(path, [] | ["status" | "finalize", ..]) => {
                (*namespace, path)
            }
            path => ("", path),
        };
        let part = |index: usize| path.get(index).copied().unwrap_or_default().to_owned();
        let verb = verb(&head.method, &head.uri, path);
        let name = match verb {
            Verb::Post if path.len() == 1 => name_in(&body),
            Verb::List | Verb::Watch if path.len() == 1 => selected_name(&head.uri),
            _ => part(1),
        };
        Self {
            verb,
            group: group.to_owned(),
            resource: part(0),
            subresource: part(2),
            namespace: namespace.to_owned(),
            name,
            uri: head.uri.clone(),
            user_agent: head
                .headers
                .get(USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            body,
        }
    }

    /// Whether it is about `resource`: a plural, or `plural.group` where several groups have that plural.
    pub fn is_about(&self, resource: &str) -> bool {
        match resource.split_once('.') {
            Some((plural, group)) => self.resource == plural && self.group == group,
            None => self.resource == resource,
        }
    }
}

/// One line, without the body.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.verb, self.uri)?;
        if self.verb == Verb::Post { write!(f, " ({})", self.name) } else { Ok(()) }
    }
}

fn verb(method: &Method, uri: &Uri, path: &[&str]) -> Verb {
    match *method {
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ if !path.is_empty() && asks_to_watch(uri) => Verb::Watch,
        _ if path.len() == 1 => Verb::List,
        _ => Verb::Get,
    }
}

fn asks_to_watch(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|option| matches!(option, "watch=true" | "watch=1"))
}

/// The name that a field selector picks, if it says nothing else.
fn selected_name(uri: &Uri) -> String {
    let mut options = uri.query().unwrap_or_default().split('&');
    let name = options.find_map(|option| option.strip_prefix("fieldSelector=metadata.name%3D"));
    name.filter(|name| !name.contains('%')).unwrap_or_default().to_owned()
}

fn name_in(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn call(method: &str, uri: &str, body: &'static str) -> Call {
        let (head, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        Call::new(&head, Bytes::from_static(body.as_bytes()))
    }

    /// Verb, group, resource, subresource, namespace, name.
    fn parts(method: &str, uri: &str) -> (Verb, String, String, String, String, String) {
        let call = call(method, uri, "");
        (call.verb, call.group, call.resource, call.subresource, call.namespace, call.name)
    }

    fn expected(verb: Verb, rest: [&str; 5]) -> (Verb, String, String, String, String, String) {
        let [group, resource, subresource, namespace, name] = rest.map(str::to_owned);
        (verb, group, resource, subresource, namespace, name)
    }

    #[test]
    fn a_path_is_read_as_the_api_server_reads_it() {
        let group = "/apis/ipam.metal3.io/v1alpha1";
        let cases = [
            ("GET", format!("{group}/ippools"), Verb::List, ["ipam.metal3.io", "ippools", "", "", ""]),
            (
                "PATCH",
                format!("{group}/namespaces/n/ipclaims/c/status?fieldManager=x"),
                Verb::Patch,
                ["ipam.metal3.io", "ipclaims", "status", "n", "c"],
            ),
            ("GET", "/api/v1/namespaces".to_owned(), Verb::List, ["", "namespaces", "", "", ""]),
            ("GET", "/api/v1/namespaces/n".to_owned(), Verb::Get, ["", "namespaces", "", "", "n"]),
            (
                "PUT",
                "/api/v1/namespaces/n/finalize".to_owned(),
                Verb::Put,
                ["", "namespaces", "finalize", "", "n"],
            ),
            ("DELETE", "/api/v1/namespaces/n/pods".to_owned(), Verb::Delete, ["", "pods", "", "n", ""]),
            ("GET", "/readyz".to_owned(), Verb::Get, ["", "", "", "", ""]),
            ("GET", "/apis".to_owned(), Verb::Get, ["", "", "", "", ""]),
        ];
        for (method, uri, verb, rest) in cases {
            assert_eq!(parts(method, &uri), expected(verb, rest), "{method} {uri}");
        }
    }

    #[test]
    fn a_watch_is_told_from_a_list_by_its_query() {
        let base = "/api/v1/namespaces/n/pods?allowWatchBookmarks=true";
        assert_eq!(call("GET", base, "").verb, Verb::List);
        assert_eq!(call("GET", &format!("{base}&watch=true"), "").verb, Verb::Watch);
        assert_eq!(call("GET", &format!("{base}&watch=1"), "").verb, Verb::Watch);
    }

    #[test]
    fn the_name_of_a_new_object_is_in_its_body() {
        let created = call("POST", "/api/v1/namespaces/n/pods", r#"{"metadata":{"name":"p"}}"#);
        assert_eq!(created.name, "p");
        let token =
            call("POST", "/api/v1/namespaces/n/serviceaccounts/a/token", r#"{"metadata":{"name":"p"}}"#);
        assert_eq!((token.name.as_str(), token.subresource.as_str()), ("a", "token"));
    }

    #[test]
    fn a_resource_may_be_named_with_its_group() {
        let call = call("GET", "/apis/ipam.metal3.io/v1alpha1/ipaddresses", "");
        assert!(call.is_about("ipaddresses"));
        assert!(call.is_about("ipaddresses.ipam.metal3.io"));
        assert!(!call.is_about("ipaddresses.ipam.cluster.x-k8s.io"));
    }
}
