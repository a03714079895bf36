//! `release`

use clap::Args;
use ipam::api::{Family, Kind as ObjectKind};
use ipam::apply::Change;

use super::target::{self, ClaimKind, claim_name};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::output::line;
use crate::plan::{Consent, Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Awaited, Look, Waiting};
use crate::world::{Claim, Raw};

/// Delete claims and wait until their addresses are free
///
/// Says on whom a deletion waits: whose finalizer is still on the claim.
#[derive(Args, Debug)]
pub struct Release {
    /// Names of the claims, or ipaddressclaim/NAME
    #[arg(add = crate::complete::claims())]
    name: Vec<String>,
    /// Kind of the claims [default: whichever has the name]
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<ClaimKind>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Release {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        if self.name.is_empty() && ui.person().is_none() {
            return Err(missing(&["CLAIM"]));
        }
        let cluster = globals.connection.open().await?;
        let names = self.names(ui, &cluster).await?;
        let claims = target::claims(&cluster, &names, self.kind).await?;
        let mut plan = Plan::default();
        delete_claims(&mut plan, &cluster, &claims).await?;
        self.consent.ask(ui, &plan, &self.writing)?;
        let Some(written) = plan.carry_out(ui, &cluster, &self.writing).await? else { return Ok(()) };
        self.writing.print(&written)?;
        if self.waiting.wanted() {
            follow(ui, &cluster, &claims, &self.waiting, self.writing.shows_objects()).await?;
        }
        Ok(())
    }

    async fn names(&self, ui: &Ui, cluster: &Cluster) -> Result<Vec<String>, Error> {
        let Some(person) = ui.person().filter(|_| self.name.is_empty()) else { return Ok(self.name.clone()) };
        let family = self.kind.map_or(Family::Metal3, ClaimKind::family);
        let names = target::claim_names(cluster, family).await?;
        if names.is_empty() {
            return Err(missing(&["CLAIM"])
                .caused_by(format!("there is no claim in namespace {}", cluster.namespace)));
        }
        Ok(vec![person.choose_name("Claim", None, names)?])
    }
}

/// Adds the deletion of claims.
pub async fn delete_claims(plan: &mut Plan, cluster: &Cluster, claims: &[Claim]) -> Result<(), Error> {
    for claim in claims {
        let target = cluster.target(claim.kind(), &claim.meta.namespace, &claim.meta.name).await?;
        let change = Change::Delete { target, uid: Some(claim.meta.uid.owned()), version: None };
        plan.step('-', &claim_name(claim), "deletion asked for", change);
    }
    Ok(())
}

/// Follows claims on their way out, and looks whether their addresses went with them.
pub async fn follow(
    ui: &Ui,
    cluster: &Cluster,
    claims: &[Claim],
    waiting: &Waiting,
    silent: bool,
) -> Result<(), Error> {
    for family in Family::ALL {
        let of: Vec<&Claim> = claims.iter().filter(|claim| claim.family == family).collect();
        let names: Vec<String> = of.iter().map(|claim| claim.meta.name.owned()).collect();
        let awaited = Awaited {
            kind: ObjectKind::Claim(family),
            names: &names,
            what: &|name| format!("claim {name} is gone"),
        };
        let look = |name: &str, now: Option<&Raw>| {
            let same = |raw: &&Raw| {
                of.iter().any(|claim| claim.meta.name == name && claim.meta.uid == raw.metadata.uid)
            };
            match now.filter(same) {
                None => Look::Done(()),
                Some(raw) => Look::NotYet(Some(held_by(family, raw))),
            }
        };
        let done = |name: &str, ()| {
            if !silent {
                line(format_args!("{} released", crate::output::named(ObjectKind::Claim(family), name)));
            }
        };
        let waited = waiting.until_each(cluster, &awaited, ui, look, done).await;
        // A pool that is paused releases nothing either, for one.
        let example = names.first().map_or("CLAIM", String::as_str);
        waited
            .map_err(|late| late.hint(format!("`kubectl ipam explain {example}` says what is in the way")))?;
        for claim in of {
            left_behind(ui, cluster, claim).await?;
        }
    }
    Ok(())
}

/// On whom the end of a claim waits.
fn held_by(family: Family, raw: &Raw) -> String {
    let kind = ObjectKind::Claim(family);
    let foreign = raw.metadata.foreign_finalizers(kind);
    if !foreign.is_empty() {
        return format!("held by the finalizer {} of another controller", foreign.join(", "));
    }
    if raw.metadata.paused() {
        return "the claim itself is paused".into();
    }
    if raw.metadata.held_by_us(kind) {
        return "its address is being released by the controller".into();
    }
    "its deletion is under way".into()
}

/// Warns where the address outlives its claim.
async fn left_behind(ui: &Ui, cluster: &Cluster, claim: &Claim) -> Result<(), Error> {
    let Some(name) = &claim.address else { return Ok(()) };
    let kind = ObjectKind::Address(claim.family);
    let left: Option<Raw> = cluster.find(kind, name).await?;
    let still_its = left.and_then(|raw| crate::world::Address::read(claim.family, raw));
    if still_its.is_some_and(|address| {
        address.claim == claim.meta.name && address.claim_uid().is_none_or(|uid| uid == claim.meta.uid)
    }) {
        ui.say(&format!("warning: its address {name} is still there; `kubectl ipam check` says why"));
    }
    Ok(())
}
