//! `kubectl`, and applying manifests with it.

use std::{io::Write as _, path::Path, process::Command, time::Duration};

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::APIResourceList,
};
use kube::{Api, Client};

use super::{ControlPlane, kubeconfig};
use crate::{Error, Tool, wait::until};

/// How long a new kind may take until it is served.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

impl ControlPlane {
    /// `kubectl` as the administrator: arguments are still to be added. Reads no configuration of the user.
    pub fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(self.binaries.path(Tool::Kubectl));
        kubectl
            .env("KUBECONFIG", self.kubeconfig())
            // By default it keeps what it knows of a server under its address, and addresses come back here.
            .env("KUBECACHEDIR", self.layout.kubectl_cache())
            .env("KUBERC", "off");
        kubectl
    }

    /// Applies manifests, given as YAML, as [`apply_path`](Self::apply_path) does.
    ///
    /// # Errors
    /// Those of [`apply_path`](Self::apply_path).
    pub async fn apply_yaml(&self, manifests: &str) -> Result<(), Error> {
        let in_dir = Error::file("create a file in", self.dir());
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.dir()).map_err(in_dir)?;
        file.write_all(manifests.as_bytes()).map_err(Error::file("write", file.path()))?;
        self.apply_path(file.path()).await
    }

    /// Applies a manifest or all of a folder (`kubectl apply --server-side --force-conflicts`), and waits until kinds
    /// that are defined in it are served: the next request for them, by any client, finds them.
    ///
    /// # Errors
    /// What `kubectl` says, or a kind that is not served in half a minute.
    pub async fn apply_path(&self, path: &Path) -> Result<(), Error> {
        let mut kubectl = self.kubectl();
        kubectl
            .args(["apply", "--server-side", "--force-conflicts", "--output=name", "--filename"])
            .arg(path);
        let client = self.client();
        for name in run(kubectl).await?.lines() {
            if let Some(crd) = name.strip_prefix("customresourcedefinition.apiextensions.k8s.io/") {
                until_served(&client, crd).await?;
            }
        }
        Ok(())
    }
}

/// Runs `kubectl` to its end; returns what it printed.
async fn run(kubectl: Command) -> Result<String, Error> {
    let program = kubectl.get_program().into();
    let arguments =
        kubectl.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let output = tokio::process::Command::from(kubectl)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| Error::Run { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Kubectl { arguments, output: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// The condition `Established` comes a moment before requests are served, so they are what is asked.
async fn until_served(client: &Client, crd: &str) -> Result<(), Error> {
    let definition = Api::<CustomResourceDefinition>::all(client.clone())
        .get(crd)
        .await
        .map_err(Error::api(format!("read CRD `{crd}`")))?;
    let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
    for version in definition.spec.versions.iter().filter(|version| version.served) {
        let served = until(SERVED_WITHIN, || async {
            is_served(client, &format!("/apis/{group}/{}", version.name), plural).await.then_some(())
        });
        served.await.ok_or_else(|| Error::NeverHappened {
            what: format!("`{crd}` being served in version `{}`", version.name),
            seconds: SERVED_WITHIN.as_secs(),
        })?;
    }
    Ok(())
}

async fn is_served(client: &Client, version: &str, plural: &str) -> bool {
    let listed = client.request::<APIResourceList>(kubeconfig::get(version)).await;
    let discovered = listed.is_ok_and(|list| list.resources.iter().any(|resource| resource.name == plural));
    discovered && client.request_text(kubeconfig::get(&format!("{version}/{plural}?limit=1"))).await.is_ok()
}
