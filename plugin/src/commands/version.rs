//! `version`

use clap::Args;
use ipam::api::{CAPI_IPAM_GROUP, CLUSTER_GROUP, GROUP};
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::json;

use crate::Globals;
use crate::controller::{Controller, deployment};
use crate::error::{Asked, Error};
use crate::output::{API_VERSION, Output, or_none};

/// Show versions: client, controller, kinds served, Kubernetes
///
/// Also whether a controller leads, and since when it was last seen.
#[derive(Args, Debug)]
pub struct Version {
    /// Only this program's version; no cluster is asked
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    output: Output,
}

const CLIENT: &str = env!("CARGO_PKG_VERSION");

impl Version {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        if self.client {
            let data = json!({"apiVersion": API_VERSION, "kind": "Version", "client": CLIENT});
            return self.output.print_picture(&format!("client       {CLIENT}\n"), &data, &[]);
        }
        let cluster = globals.connection.open().await?;
        let asked = Asked { verb: "get", resource: "/version".into(), namespace: None };
        let kubernetes = cluster.get::<Info>("/version", &asked).await?.map(|info| info.git_version);
        let image = deployment(&cluster)
            .await
            .and_then(|found| found.spec.template.spec?.containers.into_iter().next()?.image);
        let controller = Controller::look(&cluster).await;
        let mut kinds = Vec::new();
        for group in [GROUP, CAPI_IPAM_GROUP, CLUSTER_GROUP] {
            kinds.push((group, cluster.versions(group).await?));
        }
        let mut lines = vec![
            format!("client       {CLIENT}"),
            format!("kubernetes   {}", or_none(kubernetes.as_ref())),
            format!("controller   {}", controller.sentence()),
            format!("image        {}", or_none(image.as_ref())),
        ];
        for (group, versions) in &kinds {
            let served = if versions.is_empty() { "not installed".to_owned() } else { versions.join(", ") };
            lines.push(format!("kinds        {group}: {served}"));
        }
        let kinds: serde_json::Map<_, _> =
            kinds.into_iter().map(|(group, versions)| (group.to_owned(), json!(versions))).collect();
        let data = json!({
            "apiVersion": API_VERSION, "kind": "Version", "client": CLIENT, "kubernetes": kubernetes,
            "controller": {"image": image, "state": controller.word(), "leader": controller.leader()}, "kinds": kinds,
        });
        self.output.print_picture(&(lines.join("\n") + "\n"), &data, &[])
    }
}
