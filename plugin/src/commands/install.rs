//! `install`

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use ipam::api::SYSTEM_NAMESPACE;

use crate::Globals;
use crate::cluster::Connection;
use crate::controller::{Controller, deployment};
use crate::error::Error;
use crate::manifests::{Flag, Manifests};
use crate::output::{Written, out};

/// Print the manifests of the controller, for `kubectl apply --server-side --force-conflicts -f -`
///
/// Nothing is written. The manifests are those of this program's own version: the kinds, the roles, the webhooks and the
/// Deployment. The namespace is metal3-ipam-system unless --namespace names another.
#[derive(Args, Debug)]
#[command(mut_arg("output", |output| output.help(OUTPUT)))]
pub struct Install {
    /// Image of the controller
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// How many replicas there are; one works, and the others stand by
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replicas: Option<u16>,
    /// A flag of the controller, such as watch-filter=blue (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    output: Written,
}

/// Nothing is written here, so that its flag says something else.
const OUTPUT: &str = "Print the objects as one list in json or yaml, as name or jsonpath=TEMPLATE [default: YAML for `kubectl apply`]";
/// How long is looked for a controller that is there already.
const GLANCE: Duration = Duration::from_secs(3);

impl Install {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let namespace = globals.connection.given_namespace().unwrap_or(SYSTEM_NAMESPACE);
        let manifests = self.manifests(namespace)?;
        if manifests.is_local() {
            globals.ui.say("warning: the image is on no registry; --image names the one that you pushed");
        }
        if let Some(warning) = warning(&globals.connection, namespace).await {
            globals.ui.say(&warning);
        }
        if self.output.wanted() {
            return self.output.print(manifests.objects());
        }
        out(format_args!("{}", manifests.yaml()?));
        globals.ui.say(&next(namespace, std::io::stdout().is_terminal()));
        Ok(())
    }

    fn manifests(&self, namespace: &str) -> Result<Manifests, Error> {
        let mut manifests = Manifests::shipped()?.into_namespace(namespace)?;
        if let Some(image) = &self.image {
            manifests = manifests.with_image(image)?;
        }
        if let Some(replicas) = self.replicas {
            manifests = manifests.with_replicas(replicas)?;
        }
        let flags: Vec<Flag> = self.set.iter().map(|text| Flag::read(text)).collect::<Result<_, _>>()?;
        manifests.with_flags(&flags)
    }
}

/// Where a controller is installed or leads already, what that means. Whoever has no cluster yet, or may not look, is told
/// nothing.
async fn warning(connection: &Connection, namespace: &str) -> Option<String> {
    let look = async {
        let cluster = connection.open().await.ok()?;
        Some((Controller::look(&cluster).await, deployment(&cluster).await))
    };
    let (controller, deployment) = tokio::time::timeout(GLANCE, look).await.ok()??;
    let installed = deployment.and_then(|found| found.metadata.namespace);
    if let Some(other) = installed.filter(|other| other != namespace) {
        return Some(format!(
            "warning: a controller is installed in namespace {other}, and these take its webhooks and bindings away from it; \
             docs/scaling.md says how several run side by side"
        ));
    }
    let Controller::Leads { .. } = controller else { return None };
    Some(format!(
        "warning: {}; if it is Metal3's, stop it first, as docs/migrating-from-metal3.md says; if it is this one, this \
         is an upgrade",
        controller.sentence()
    ))
}

/// What to do next.
fn next(namespace: &str, on_a_terminal: bool) -> String {
    let apply = if on_a_terminal {
        "nothing was applied: `kubectl ipam install … | kubectl apply --server-side --force-conflicts -f -` does it\n"
    } else {
        ""
    };
    format!(
        "{apply}next: `kubectl -n {namespace} rollout status deployment ipam-controller-manager`, then `kubectl ipam \
         create-pool`"
    )
}
