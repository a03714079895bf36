//! Which cluster, as whom: kubectl's own flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipam::api::{Kind as ObjectKind, Resource};
use ipam::apply::{Applier, Target};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::error::{Error, Kind};

/// Flags that say which cluster and namespace are meant.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection Options")]
pub struct Connection {
    /// Kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// Namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,
    /// Longest time that one request may take, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    request_timeout: u64,
}

/// A cluster that is at hand.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    pub applier: Applier,
}

/// By this name changes are known in `managedFields`.
const MANAGER: &str = "kubectl-ipam";

impl Connection {
    /// A client by these flags; the API server is not asked yet.
    pub async fn open(&self) -> Result<Cluster, Error> {
        let mut config = self.config().await?;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        config.auth_info.impersonate = self.impersonate.clone().or(config.auth_info.impersonate);
        // A repeated POST hides what became of the first.
        config.default_retry = false;
        let agent = concat!("kubectl-ipam/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| unusable().caused_by(error))?;
        let applier = Applier::new(client.clone(), MANAGER, Duration::from_secs(self.request_timeout));
        Ok(Cluster { client, namespace, applier })
    }

    async fn config(&self) -> Result<Config, Error> {
        let options =
            KubeConfigOptions { context: self.context.clone(), cluster: None, user: self.user.clone() };
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = kubeconfig.map_err(|error| unusable().caused_by(error))?;
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| unusable().caused_by(error))
    }
}

fn unusable() -> Error {
    Error::new(Kind::Failed, "cannot use the kubeconfig")
        .hint("--kubeconfig or KUBECONFIG names the file, --context a context in it")
}

impl Cluster {
    /// The objects of a kind in the namespace.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One object in the namespace.
    pub fn target(&self, kind: ObjectKind, name: &str) -> Target {
        let resource: Resource = kind.resource();
        Target { resource, namespace: self.namespace.clone(), name: name.to_owned() }
    }
}
