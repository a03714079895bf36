//! `claim`

use clap::Args;
use ipam::api::{Family, IPAddress, IPClaim, Kind as ObjectKind, REQUESTED_IP_ANNOTATION};
use ipam::apply::Change;
use serde_json::json;

use crate::cluster::{Cluster, Connection};
use crate::error::{Error, Kind, api};
use crate::plan::{Plan, Writing};
use crate::wait::{Look, Waiting, ready};

/// Claim addresses of a pool
///
/// Waits for the addresses and prints a line each: name, address with prefix length, gateway. While it waits, it says
/// why.
#[derive(Args, Debug)]
pub struct Claim {
    /// Names of the claims
    #[arg(required = true)]
    name: Vec<String>,
    /// Pool that the addresses are of
    #[arg(long, value_name = "NAME")]
    pool: String,
    /// Address that is wanted; for one claim only
    #[arg(long, value_name = "IP")]
    ip: Option<String>,
    /// Make this many claims, NAME-1 and so on; for one name only
    #[arg(long, value_name = "N", conflicts_with = "ip", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Claim {
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        let names = self.names()?;
        let metadata = match &self.ip {
            Some(ip) => {
                ipam::addr::parse_ip(ip)
                    .map_err(|error| Error::new(Kind::Usage, format!("--ip: {error}")))?;
                json!({"annotations": {REQUESTED_IP_ANNOTATION: ip}})
            }
            None => json!({}),
        };
        let cluster = connection.open().await?;
        let mut plan = Plan::default();
        for name in &names {
            let target = cluster.target(ObjectKind::Claim(Family::Metal3), name);
            let object = json!({"metadata": metadata, "spec": {"pool": {"name": self.pool}}});
            plan.step(
                '+',
                &format!("ipclaim.ipam.metal3.io/{name}"),
                "created",
                Change::Create { target, object },
            );
        }
        if plan.carry_out(&cluster, &self.writing).await? && self.waiting.wanted() {
            for name in &names {
                println!("{}", self.wait(&cluster, name).await?);
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        match (self.name.as_slice(), self.count) {
            ([name], Some(count)) => Ok((1..=count).map(|n| format!("{name}-{n}")).collect()),
            (_, Some(_)) => Err(Error::new(Kind::Usage, "--count goes with one name")),
            ([_, _, ..], None) if self.ip.is_some() => {
                Err(Error::new(Kind::Usage, "--ip goes with one name"))
            }
            (names, None) => Ok(names.to_vec()),
        }
    }

    /// The line that a claim is answered with, once it has its address.
    async fn wait(&self, cluster: &Cluster, name: &str) -> Result<String, Error> {
        let what = format!("claim {name} of pool {} has its address", self.pool);
        let look = |claim: Option<&IPClaim>| {
            let Some(status) = claim.and_then(|claim| claim.status.as_ref()) else {
                return Look::NotYet(None);
            };
            let ready = ready(&status.conditions);
            let object = status.address.as_ref().and_then(|address| address.name.clone());
            if let Some(object) = object.filter(|_| ready.is_none_or(|ready| ready.status == "True")) {
                return Look::Done(object);
            }
            let message = ready.map(|ready| ready.message.clone());
            Look::NotYet(message.or_else(|| status.error_message.clone()))
        };
        let object = self.waiting.until(cluster.objects::<IPClaim>(), name, &what, look).await?;
        let address = cluster.objects::<IPAddress>().get(&object).await;
        let spec = address.map_err(|error| api(&format!("read IPAddress {object}"), error))?.spec;
        let prefix = spec.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        Ok(format!("{name}   {}{prefix}   {}", spec.address, spec.gateway.as_deref().unwrap_or("<none>")))
    }
}
