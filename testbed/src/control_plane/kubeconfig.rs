//! Configurations of clients.

use std::{path::Path, time::Duration};

use http::{Request, Uri};
use kube::{Client, Config, config::AuthInfo};

/// Who the API server is, and who we are to it.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// The CA's certificate, as DER.
    pub(super) authority: Vec<u8>,
    pub(super) token: String,
}

/// A configuration that reaches 127.0.0.1 at `port`: by HTTPS where there is a CA, and with the token where there is one.
///
/// Nothing is repeated behind the caller's back: kube's own retries would hide the very faults that tests look for.
pub(crate) fn config(port: u16, authority: Option<&[u8]>, token: Option<&str>) -> Config {
    let scheme = if authority.is_some() { "https" } else { "http" };
    let url =
        format!("{scheme}://127.0.0.1:{port}").parse::<Uri>().expect("an address and a port make a URL");
    let mut config = Config::new(url);
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.root_cert = authority.map(|certificate| vec![certificate.to_owned()]);
    config.auth_info = AuthInfo { token: token.map(|token| token.to_owned().into()), ..AuthInfo::default() };
    config
}

/// Whether a plain GET is answered with success.
pub(super) async fn answers(config: Config, path: &str) -> bool {
    let Ok(client) = Client::try_from(config) else { return false };
    client.request_text(get(path)).await.is_ok()
}

/// A GET request without a body.
pub(super) fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).body(Vec::new()).expect("paths of the API are paths")
}

/// A kubeconfig, as YAML, for one server and one token. The CA is named by its path.
pub(crate) fn kubeconfig_text(url: &str, ca: Option<&Path>, token: &str) -> String {
    // A JSON string is a YAML string, whatever is in the path.
    let authority = ca.map_or_else(String::new, |path| {
        format!("    certificate-authority: {}\n", serde_json::Value::from(path.to_string_lossy()))
    });
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: testbed\n  \
           cluster:\n    \
             server: {url}\n\
         {authority}\
         users:\n\
         - name: testbed\n  \
           user:\n    \
             token: {token}\n\
         contexts:\n\
         - name: testbed\n  \
           context:\n    \
             cluster: testbed\n    \
             user: testbed\n\
         current-context: testbed\n"
    )
}
