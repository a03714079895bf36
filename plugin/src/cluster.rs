//! Which cluster, as whom: kubectl's own flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipam::api::{Kind as ObjectKind, Resource};
use ipam::apply::{Applier, Target, connect};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::Mutex;

use crate::error::{Error, Kind};
use crate::wait::duration;

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
    /// Cluster of the kubeconfig (with create-pool, pause and resume it is the Cluster API Cluster instead)
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// Namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// Address of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Bearer token
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,
    /// Group to act as (can be repeated)
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    impersonate_group: Vec<String>,
    /// UID to act as
    #[arg(long = "as-uid", global = true, value_name = "UID")]
    impersonate_uid: Option<String>,
    /// File with the certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// Do not check the API server's certificate: anybody could answer
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
    /// Name by which the changes are known in managedFields
    #[arg(long, global = true, value_name = "NAME", default_value = "kubectl-ipam")]
    field_manager: String,
    /// Longest time that one request may take, such as 10s or 1m; 0 is for ever
    #[arg(long, global = true, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    request_timeout: Duration,
}

/// A cluster that is at hand.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    pub applier: Applier,
    /// For one request; none is for ever.
    pub timeout: Option<Duration>,
    /// The versions that are served of the groups that were asked for; none of a group that is not installed.
    pub(crate) served: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Connection {
    /// Lets `--cluster` mean the Cluster API Cluster, which the command has as a flag of its own.
    pub fn without_cluster(&mut self) {
        self.cluster = None;
    }

    /// The namespace that was given, which is never the context's.
    pub fn given_namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|namespace| !namespace.is_empty())
    }

    /// A client by these flags; the API server is not asked yet.
    pub async fn open(&self) -> Result<Cluster, Error> {
        let mut config = self.config().await?;
        // As for kubectl, an empty one is none.
        if let Some(namespace) = self.namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
            config.default_namespace.clone_from(namespace);
        }
        self.overrule(&mut config)?;
        let agent = concat!("kubectl-ipam/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        let namespace = config.default_namespace.clone();
        let client = connect(config).map_err(|error| unusable().caused_by(error))?;
        let timeout = Some(self.request_timeout).filter(|timeout| !timeout.is_zero());
        let applier = Applier::new(client.clone(), &self.field_manager, timeout.unwrap_or(Duration::MAX));
        Ok(Cluster { client, namespace, applier, timeout, served: Mutex::default() })
    }

    /// What flags say holds against the kubeconfig.
    fn overrule(&self, config: &mut Config) -> Result<(), Error> {
        if let Some(server) = &self.server {
            config.cluster_url = url(server)?;
        }
        if let Some(token) = &self.token {
            let auth = serde_json::from_value(serde_json::json!({ "token": token }));
            config.auth_info = auth.map_err(|error| unusable().caused_by(error))?;
        }
        if let Some(file) = &self.certificate_authority {
            config.root_cert = Some(certificates(file)?);
        }
        config.accept_invalid_certs |= self.insecure_skip_tls_verify;
        let auth = &mut config.auth_info;
        auth.impersonate = self.impersonate.clone().or(auth.impersonate.take());
        auth.impersonate_uid = self.impersonate_uid.clone().or(auth.impersonate_uid.take());
        if !self.impersonate_group.is_empty() {
            auth.impersonate_groups = Some(self.impersonate_group.clone());
        }
        Ok(())
    }

    async fn config(&self) -> Result<Config, Error> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => by_environment(),
        };
        let chooses_nothing = match &kubeconfig {
            Ok(kubeconfig) => kubeconfig.current_context.as_deref().unwrap_or_default().is_empty(),
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound => {
                self.kubeconfig.is_none()
            }
            Err(KubeconfigError::FindPath) => true,
            Err(_) => false,
        };
        // As for kubectl, an address does where no file chooses anything.
        if let (Some(server), None, true) = (&self.server, &self.context, chooses_nothing) {
            return Ok(Config::new(url(server)?));
        }
        let kubeconfig = kubeconfig.map_err(|error| unusable().caused_by(error))?;
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| unusable().caused_by(error))
    }
}

/// The files that `KUBECONFIG` lists, of which the first to say something is right, or the file at home. As for kubectl,
/// one that is not there counts for nothing; if none is, the first is the error.
fn by_environment() -> Result<Kubeconfig, KubeconfigError> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let mut there = std::env::split_paths(&listed).filter(|file| file.exists()).peekable();
    if there.peek().is_none() {
        return Kubeconfig::read();
    }
    there.try_fold(Kubeconfig::default(), |all, file| all.merge(Kubeconfig::read_from(file)?))
}

fn url(server: &str) -> Result<http::Uri, Error> {
    server.parse().map_err(|error: http::uri::InvalidUri| {
        Error::new(Kind::Usage, format!("--server {server} is no URL")).caused_by(error)
    })
}

/// The certificates of a PEM file, in DER.
fn certificates(file: &std::path::Path) -> Result<Vec<Vec<u8>>, Error> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let failed = |error: rustls::pki_types::pem::Error| {
        Error::new(Kind::Usage, format!("cannot read --certificate-authority {}", file.display()))
            .caused_by(error)
    };
    CertificateDer::pem_file_iter(file)
        .map_err(failed)?
        .map(|certificate| certificate.map(|der| der.to_vec()).map_err(failed))
        .collect()
}

fn unusable() -> Error {
    Error::new(Kind::Failed, "cannot use the kubeconfig")
        .hint("--kubeconfig or KUBECONFIG names the file, --context a context in it")
}

impl Cluster {
    /// One object of a namespace, in the version of its kind that is served.
    pub async fn target(&self, kind: ObjectKind, namespace: &str, name: &str) -> Result<Target, Error> {
        let resource: Resource = self.resource(kind).await?.ok_or_else(|| not_installed(kind))?;
        Ok(Target { resource, namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// A kind that is needed is not there.
pub fn not_installed(kind: ObjectKind) -> Error {
    let resource = kind.resource();
    let what = format!("{}.{} is not installed in this cluster", resource.plural, resource.group);
    let error = Error::new(Kind::Failed, what);
    if kind.group() == ipam::api::GROUP {
        error.hint(
            "`kubectl ipam install | kubectl apply --server-side --force-conflicts -f -` installs the kinds of this project",
        )
    } else {
        error.hint("it is a kind of Cluster API: `clusterctl init` installs it")
    }
}
