//! Ways into a running control plane.

use std::path::{Path, PathBuf};

use http::Request;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
};
use serde::Deserialize;

use super::{
    ControlPlane,
    kubeconfig::{self, kubeconfig_text},
    pki,
};
use crate::{Binaries, Error};

/// How long tokens live; longer than any run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// What etcd answers at `/version`, as far as it is of interest.
#[derive(Deserialize)]
struct EtcdVersion {
    etcdserver: String,
}

impl ControlPlane {
    /// The URL of the API server: `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.recipes.api_url()
    }

    /// The URL of etcd, without encryption or authentication: `http://127.0.0.1:<port>`.
    pub fn etcd_endpoint(&self) -> String {
        self.recipes.etcd_url()
    }

    /// The folder that holds all its files, logs (`<component>.log`) among them.
    pub fn dir(&self) -> &Path {
        self.layout.dir()
    }

    /// The file with the certificate that the API server's own is signed by, as PEM.
    pub fn ca_path(&self) -> PathBuf {
        self.layout.ca()
    }

    /// The certificate that the API server's own is signed by, as PEM.
    ///
    /// # Errors
    /// The file was removed.
    pub fn ca_pem(&self) -> Result<String, Error> {
        std::fs::read_to_string(self.ca_path()).map_err(Error::file("read", self.ca_path()))
    }

    /// The kubeconfig of the administrator (`system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.admin_kubeconfig()
    }

    /// The programs that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The administrator's configuration. Requests are not repeated by themselves.
    pub fn config(&self) -> Config {
        self.config_for(&self.credentials.token)
    }

    /// The administrator's token, for [`Proxy::config`](crate::proxy::Proxy::config) and the like.
    pub fn admin_token(&self) -> &str {
        &self.credentials.token
    }

    /// A configuration for whom `token` says.
    pub fn config_for(&self, token: &str) -> Config {
        kubeconfig::config(self.recipes.apiserver.port, Some(&self.credentials.authority), Some(token))
    }

    /// A new client of the administrator, with connections of its own, for the Tokio runtime that it is made in.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn client(&self) -> Client {
        Client::try_from(self.config()).expect("the CA that was made at the start can be read")
    }

    /// A new token of a ServiceAccount that exists, valid for a day.
    ///
    /// # Errors
    /// There is no such ServiceAccount.
    pub async fn token_for(&self, namespace: &str, account: &str) -> Result<String, Error> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let granted: TokenRequest = Api::<ServiceAccount>::namespaced(self.client(), namespace)
            .create_subresource("token", account, &PostParams::default(), &request)
            .await
            .map_err(Error::api(format!("get a token of ServiceAccount `{namespace}/{account}`")))?;
        Ok(granted.status.unwrap_or_default().token.unwrap_or_default())
    }

    /// Writes a kubeconfig with a new token of a ServiceAccount that exists. One file an account: written anew by each
    /// call.
    ///
    /// # Errors
    /// There is no such ServiceAccount.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        account: &str,
    ) -> Result<PathBuf, Error> {
        let token = self.token_for(namespace, account).await?;
        let text = kubeconfig_text(&self.url(), Some(&self.ca_path()), &token);
        self.write_kubeconfig(&format!("{namespace}.{account}"), &text)
    }

    /// Creates a namespace whose name is `prefix`, a dash and something that no other has; returns the name.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String, Error> {
        let name = format!("{prefix}-{:08x}", rand::random::<u32>());
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(Error::api(format!("create namespace `{name}`")))?;
        Ok(name)
    }

    /// What the API server says at `/metrics`, in the Prometheus text format.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn metrics(&self) -> Result<String, Error> {
        let request: Request<Vec<u8>> = kubeconfig::get("/metrics");
        self.client().request_text(request).await.map_err(Error::api("read the API server's metrics"))
    }

    /// What runs, as it says itself: `kubernetes v1.2.3, etcd 1.2.3`.
    ///
    /// # Errors
    /// The API server or etcd does not answer.
    pub async fn versions(&self) -> Result<String, Error> {
        let failed = || Error::api("read the versions of the control plane");
        let kubernetes = self.client().apiserver_version().await.map_err(failed())?.git_version;
        let etcd = Client::try_from(self.recipes.etcd_config()).map_err(failed())?;
        let etcd: EtcdVersion = etcd.request(kubeconfig::get("/version")).await.map_err(failed())?;
        Ok(format!("kubernetes {kubernetes}, etcd {}", etcd.etcdserver))
    }

    pub(crate) fn write_kubeconfig(&self, whose: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.layout.kubeconfig(whose);
        pki::write_private(&path, text)?;
        Ok(path)
    }
}
