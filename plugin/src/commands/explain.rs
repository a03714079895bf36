//! `explain`

use clap::Args;
use ipam::api::{Family, Kind as ObjectKind};
use serde::Serialize;
use serde_json::json;

use super::target::{ClaimKind, Named, no_claim};
use crate::Globals;
use crate::cluster::Cluster;
use crate::controller::Controller;
use crate::error::{Error, Kind};
use crate::output::{API_VERSION, Output, named, plain};
use crate::ui::{Ui, missing};
use crate::why::{Reasons, Why};
use crate::world::{Claim, Scope, World};

/// Explain why a claim has no address, and what helps
///
/// The reason is worked out from the objects, so it is told with no controller running as well.
#[derive(Args, Debug)]
pub struct Explain {
    /// Name of the claim, or ipaddressclaim/NAME
    #[arg(add = crate::complete::claims())]
    claim: Option<String>,
    /// Kind of the claim [default: whichever has the name]
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<ClaimKind>,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    namespace: &'a str,
    claim: &'a str,
    claim_kind: &'static str,
    #[serde(flatten)]
    why: &'a Why,
    message: String,
    command: String,
    /// The controller's own words.
    said: Option<&'a str>,
}

impl Explain {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        if self.claim.is_none() && ui.person().is_none() {
            return Err(missing(&["CLAIM"]));
        }
        let cluster = globals.connection.open().await?;
        let scope = Scope::of(&cluster.namespace);
        let mut world = World::read(&cluster, &scope).await.with_clusters(&cluster, &scope).await;
        // An address that is not seen would be taken for free.
        world.require(&[
            ObjectKind::Pool,
            ObjectKind::Claim(Family::Metal3),
            ObjectKind::Address(Family::Metal3),
            ObjectKind::Address(Family::Capi),
        ])?;
        world.blind_spots().iter().for_each(|line| ui.say(line));
        let claim = self.find(ui, &cluster, &world).await?;
        let why = Reasons::new(&world).why(claim);
        let mut message = why.sentence();
        if matches!(why, Why::Servable { .. } | Why::Releasing) {
            message = format!("{message}; {}", Controller::look(&cluster).await.sentence());
        }
        if let Why::Bound { address } = &why {
            let seen =
                world.addresses.iter().find(|seen| seen.family == claim.family && seen.meta.name == *address);
            message = seen.map_or(message, |seen| {
                format!("it has the address {}, in the object {address}", seen.shown())
            });
        }
        let explanation = Explanation {
            namespace: &claim.meta.namespace,
            claim: &claim.meta.name,
            claim_kind: claim.kind().name(),
            command: why.command(claim),
            said: claim.why(),
            message,
            why: &why,
        };
        let mut data = json!({"apiVersion": API_VERSION, "kind": "Explanation"});
        if let (Some(data), Ok(more)) = (data.as_object_mut(), serde_json::to_value(&explanation)) {
            data.extend(more.as_object().cloned().unwrap_or_default());
        }
        let name = named(claim.kind(), &claim.meta.name);
        self.output.print_picture(&told(&explanation, &why), &data, &[name])
    }

    async fn find<'a>(&self, ui: &Ui, cluster: &Cluster, world: &'a World) -> Result<&'a Claim, Error> {
        let given = match (&self.claim, ui.person()) {
            (Some(name), _) => name.clone(),
            (None, Some(person)) => {
                let waiting = world.claims.iter().filter(|claim| claim.bound().is_none());
                let names: Vec<String> = waiting.map(|claim| claim.meta.name.owned()).collect();
                if names.is_empty() {
                    return Err(Error::new(Kind::Failed, "no claim waits here")
                        .hint("`kubectl ipam claims -A` lists all claims"));
                }
                person.choose_name("Claim", None, names)?
            }
            (None, None) => return Err(missing(&["CLAIM"])),
        };
        let Named::Claim(family, name) = Named::read(&given, |name| Named::Claim(None, name))? else {
            return Err(Error::new(Kind::Usage, format!("{given} is no claim")));
        };
        let family = family.or(self.kind.map(ClaimKind::family));
        let is =
            |claim: &&Claim| claim.meta.name == name && family.is_none_or(|family| claim.family == family);
        // Of two claims of one name, the one that waits is asked about.
        let mut found: Vec<&Claim> = world.claims.iter().filter(is).collect();
        found.sort_by_key(|claim| claim.bound().is_some());
        match found.first() {
            Some(claim) => Ok(claim),
            None => Err(no_claim(cluster, family, &name).await),
        }
    }
}

fn told(explanation: &Explanation, why: &Why) -> String {
    let Explanation { claim, claim_kind, message, command, said, .. } = explanation;
    let mut lines = vec![format!("{claim} ({claim_kind}): {message}")];
    lines.extend(said.filter(|_| !why.is_bound()).map(|said| format!("  the controller says: {said}")));
    if let Why::NoPool { similar: Some(similar), .. } = why {
        lines.push(format!("  {similar}"));
    }
    lines.extend([format!("  next: {command}"), format!("        {}", why.purpose())]);
    plain(&lines.join("\n")).into_owned() + "\n"
}
