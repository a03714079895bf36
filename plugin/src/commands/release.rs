//! `release`

use clap::Args;
use ipam::api::{Family, IPClaim, Kind as ObjectKind};
use ipam::apply::Change;
use kube::ResourceExt;

use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, api};
use crate::plan::{Consent, Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Look, Waiting};

/// Delete claims and wait until their addresses are free
///
/// Says on whom a deletion waits.
#[derive(Args, Debug)]
pub struct Release {
    /// Names of the claims
    name: Vec<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Release {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        if self.name.is_empty() {
            return Err(missing(&["CLAIM"]));
        }
        let cluster = globals.connection.open().await?;
        let mut claims = Vec::new();
        for name in &self.name {
            let claim = cluster.objects::<IPClaim>().get(name).await;
            claims.push(claim.map_err(|error| api(&format!("read claim {name}"), error))?);
        }
        let plan = deletion(&cluster, &claims);
        self.consent.ask(&globals.ui, &plan, &self.writing)?;
        if plan.carry_out(&cluster, &self.writing).await? && self.waiting.wanted() {
            follow(&globals.ui, &cluster, &claims, &self.waiting).await?;
        }
        Ok(())
    }
}

/// The plan that deletes claims.
pub fn deletion(cluster: &Cluster, claims: &[IPClaim]) -> Plan {
    let mut plan = Plan::default();
    for claim in claims {
        let name = claim.name_any();
        let target = cluster.target(ObjectKind::Claim(Family::Metal3), &name);
        let change = Change::Delete { target, uid: claim.uid(), version: None };
        plan.step('-', &format!("ipclaim.ipam.metal3.io/{name}"), "deletion asked for", change);
    }
    plan
}

/// Follows claims on their way out.
pub async fn follow(ui: &Ui, cluster: &Cluster, claims: &[IPClaim], waiting: &Waiting) -> Result<(), Error> {
    for claim in claims {
        let (name, uid) = (claim.name_any(), claim.uid());
        let look = |claim: Option<&IPClaim>| match claim.filter(|claim| claim.uid() == uid) {
            None => Look::Done(()),
            Some(claim) => Look::NotYet(Some(format!("held by {}", claim.finalizers().join(", ")))),
        };
        let what = format!("claim {name} is gone");
        waiting.until(cluster.objects::<IPClaim>(), &name, &what, ui, look).await?;
        println!("ipclaim.ipam.metal3.io/{name} released");
    }
    Ok(())
}
