//! `release`

use clap::Args;
use ipam::api::{Family, IPClaim, Kind as ObjectKind};
use ipam::apply::Change;
use kube::ResourceExt;

use crate::cluster::Connection;
use crate::error::{Error, api};
use crate::plan::{Plan, Writing};
use crate::wait::{Look, Waiting};

/// Delete claims and wait until their addresses are free
#[derive(Args, Debug)]
pub struct Release {
    /// Names of the claims
    #[arg(required = true)]
    name: Vec<String>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Release {
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        let cluster = connection.open().await?;
        let claims = cluster.objects::<IPClaim>();
        let mut plan = Plan::default();
        let mut uids = Vec::new();
        for name in &self.name {
            let claim = claims.get(name).await.map_err(|error| api(&format!("read claim {name}"), error))?;
            let target = cluster.target(ObjectKind::Claim(Family::Metal3), name);
            let change = Change::Delete { target, uid: claim.uid() };
            plan.step('-', &format!("ipclaim.ipam.metal3.io/{name}"), "deletion asked for", change);
            uids.push(claim.uid());
        }
        if plan.carry_out(&cluster, &self.writing).await? && self.waiting.wanted() {
            for (name, uid) in self.name.iter().zip(uids) {
                let look = |claim: Option<&IPClaim>| match claim.filter(|claim| claim.uid() == uid) {
                    None => Look::Done(()),
                    Some(claim) => Look::NotYet(Some(format!("held by {}", claim.finalizers().join(", ")))),
                };
                self.waiting.until(claims.clone(), name, &format!("claim {name} is gone"), look).await?;
                println!("ipclaim.ipam.metal3.io/{name} released");
            }
        }
        Ok(())
    }
}
