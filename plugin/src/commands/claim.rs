//! `claim`

use clap::Args;
use ipam::api::{Family, IPAddress, IPClaim, IPPool, Kind as ObjectKind, REQUESTED_IP_ANNOTATION};
use ipam::apply::Change;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind, api};
use crate::plan::{Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Look, Waiting, ready};

/// Claim addresses of a pool
///
/// Waits for the addresses and prints a line each: name, address with prefix length, gateway. While it waits, it says
/// why.
#[derive(Args, Debug, Clone)]
pub struct Claim {
    /// Names of the claims
    name: Vec<String>,
    /// Pool that the addresses are of
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
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
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        self.check(ui)?;
        let cluster = globals.connection.open().await?;
        let asked = self.completed(ui, &cluster).await?;
        let (names, pool) = (asked.names()?, asked.pool.clone().unwrap_or_default());
        let mut plan = Plan::default();
        for name in &names {
            let target = cluster.target(ObjectKind::Claim(Family::Metal3), name);
            let object = json!({"metadata": asked.metadata(), "spec": {"pool": {"name": pool}}});
            plan.step(
                '+',
                &format!("ipclaim.ipam.metal3.io/{name}"),
                "created",
                Change::Create { target, object },
            );
        }
        let written = plan.carry_out(&cluster, &asked.writing).await?;
        if self.pool.is_none() || self.name.is_empty() {
            ui.say(&format!("the same by flags: kubectl ipam claim {} --pool {pool}", names.join(" ")));
        }
        if written && asked.waiting.wanted() {
            for name in &names {
                println!("{}", asked.wait(ui, &cluster, name, &pool).await?);
            }
        }
        Ok(())
    }

    /// Refuses what cannot become right by asking.
    fn check(&self, ui: &Ui) -> Result<(), Error> {
        if ui.person().is_none() && (self.name.is_empty() || self.pool.is_none()) {
            let flags = [(self.name.is_empty(), "NAME"), (self.pool.is_none(), "--pool NAME")];
            return Err(missing(
                &flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect::<Vec<_>>(),
            ));
        }
        if let Some(ip) = &self.ip {
            ipam::addr::parse_ip(ip).map_err(|error| Error::new(Kind::Usage, format!("--ip: {error}")))?;
        }
        self.names().map(drop)
    }

    /// This command with everything that is needed.
    async fn completed(&self, ui: &Ui, cluster: &Cluster) -> Result<Self, Error> {
        let mut asked = self.clone();
        let Some(person) = ui.person() else { return Ok(asked) };
        if self.pool.is_none() {
            let pools = cluster.objects::<IPPool>().list(&ListParams::default()).await;
            let pools = pools.map_err(|error| api("list ippools", error))?;
            let names: Vec<String> = pools.items.iter().map(ResourceExt::name_any).collect();
            if names.is_empty() {
                return Err(Error::new(
                    Kind::Failed,
                    format!("there is no pool in namespace {}", cluster.namespace),
                )
                .hint("`kubectl ipam create-pool` makes one"));
            }
            asked.pool = Some(names[person.choose("Pool", &names)?].clone());
        }
        if self.name.is_empty() {
            let needed =
                |text: &str| if text.is_empty() { Err("a name is needed".to_owned()) } else { Ok(()) };
            asked.name.push(person.ask("Name of the claim", None, needed)?);
        }
        Ok(asked)
    }

    fn metadata(&self) -> Value {
        match &self.ip {
            Some(ip) => json!({"annotations": {REQUESTED_IP_ANNOTATION: ip}}),
            None => json!({}),
        }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        match (self.name.as_slice(), self.count) {
            ([name], Some(count)) => Ok((1..=count).map(|n| format!("{name}-{n}")).collect()),
            ([_, _, ..], Some(_)) => Err(Error::new(Kind::Usage, "--count goes with one name")),
            ([_, _, ..], None) if self.ip.is_some() => {
                Err(Error::new(Kind::Usage, "--ip goes with one name"))
            }
            (names, _) => Ok(names.to_vec()),
        }
    }

    /// The line that a claim is answered with, once it has its address.
    async fn wait(&self, ui: &Ui, cluster: &Cluster, name: &str, pool: &str) -> Result<String, Error> {
        let what = format!("claim {name} of pool {pool} has its address");
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
        let object = self.waiting.until(cluster.objects::<IPClaim>(), name, &what, ui, look).await?;
        let address = cluster.objects::<IPAddress>().get(&object).await;
        let spec = address.map_err(|error| api(&format!("read IPAddress {object}"), error))?.spec;
        let prefix = spec.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        Ok(format!("{name}   {}{prefix}   {}", spec.address, spec.gateway.as_deref().unwrap_or("<none>")))
    }
}
