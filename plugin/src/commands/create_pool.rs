//! `create-pool`

use clap::Args;
use ipam::addr::{AddressSet, Range, Space};
use ipam::api::{AllocationStrategy, IPPool, IPPoolSpec, Kind as ObjectKind, PoolEntry, PoolRules};
use ipam::apply::Change;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::cluster::{Cluster, Connection};
use crate::error::{Error, Kind};
use crate::plan::{Plan, Writing};
use crate::wait::{Look, Waiting, ready};

/// Create a pool of addresses
///
/// Says how many addresses the pool holds, warns where it overlaps with another, and waits until it hands them out, or
/// until it is known that it waits for its Cluster.
#[derive(Args, Debug)]
pub struct CreatePool {
    /// Name of the pool
    name: String,
    /// Subnet whose addresses the pool holds (can be repeated; entries are used in order)
    #[arg(long, value_name = "CIDR", required_unless_present = "range")]
    subnet: Vec<String>,
    /// Range of addresses (can be repeated; ranges come after subnets)
    #[arg(long, value_name = "FIRST-LAST")]
    range: Vec<String>,
    /// Prefix length of the addresses [default: the subnet's]
    #[arg(long, value_name = "BITS")]
    prefix: Option<i32>,
    /// Gateway of the addresses; it is not handed out
    #[arg(long, value_name = "IP")]
    gateway: Option<String>,
    /// DNS server of the addresses (can be repeated)
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// Prefix of the names of the IPAddress objects [default: the pool's name]
    #[arg(long, value_name = "NAME")]
    name_prefix: Option<String>,
    /// Cluster that the pool belongs to: the pool waits for it
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// How an address is chosen
    #[arg(long, value_name = "STRATEGY", value_parser = ["random", "sequential"], default_value = "random")]
    strategy: String,
    /// Address, CIDR or range that is never handed out (can be repeated)
    #[arg(long, value_name = "ADDRESSES")]
    exclude: Vec<String>,
    /// Address reserved for the claim of that name (can be repeated)
    #[arg(long, value_name = "CLAIM=IP", value_parser = reservation)]
    preallocate: Vec<(String, String)>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

fn reservation(text: &str) -> Result<(String, String), String> {
    let (claim, ip) = text.split_once('=').ok_or("not of the form CLAIM=IP")?;
    Ok((claim.to_owned(), ip.to_owned()))
}

impl CreatePool {
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        let spec = self.spec()?;
        let rules = PoolRules::read(&spec);
        if !rules.violations.is_empty() {
            let wrong: Vec<String> = rules.violations.iter().map(ToString::to_string).collect();
            return Err(
                Error::new(Kind::Usage, "the pool would not be valid").caused_by(wrong.join("\n           "))
            );
        }
        let space = rules.space();
        if space.capacity() == 0 {
            return Err(Error::new(Kind::Usage, "the pool would hold no address")
                .hint("a /32 and a /128 hold none after their first address: use --range IP-IP"));
        }
        eprintln!("{}", extent(&space));
        let cluster = connection.open().await?;
        self.warn_of_overlap(&cluster, &rules).await;
        let target = cluster.target(ObjectKind::Pool, &self.name);
        let mut plan = Plan::default();
        let object = format!("ippool.ipam.metal3.io/{}", self.name);
        plan.step('+', &object, "created", Change::Create { target, object: json!({ "spec": spec }) });
        if plan.carry_out(&cluster, &self.writing).await? && self.waiting.wanted() {
            self.wait(&cluster).await?;
        }
        Ok(())
    }

    fn spec(&self) -> Result<IPPoolSpec, Error> {
        let subnets =
            self.subnet.iter().map(|text| PoolEntry { subnet: Some(text.clone()), ..PoolEntry::default() });
        let mut pools: Vec<PoolEntry> = subnets.collect();
        for text in &self.range {
            let (start, end) = text.split_once('-').ok_or_else(|| {
                Error::new(Kind::Usage, format!("--range {text} is no range"))
                    .hint("write FIRST-LAST, such as 10.0.0.10-10.0.0.20")
            })?;
            let (start, end) = (Some(start.trim().to_owned()), Some(end.trim().to_owned()));
            pools.push(PoolEntry { start, end, ..PoolEntry::default() });
        }
        Ok(IPPoolSpec {
            cluster_name: self.cluster.clone(),
            pools,
            allocation_strategy: Some(match self.strategy.as_str() {
                "sequential" => AllocationStrategy::Sequential,
                _ => AllocationStrategy::Random,
            }),
            pre_allocations: self.preallocate.iter().cloned().collect(),
            prefix: self.prefix,
            gateway: self.gateway.clone(),
            dns_servers: self.dns.clone(),
            name_prefix: self.name_prefix.clone().unwrap_or_else(|| self.name.clone()),
            excluded_addresses: self.exclude.clone(),
        })
    }

    /// Other pools of the namespace that hold some of the same addresses. That they cannot be listed costs the warning
    /// only.
    async fn warn_of_overlap(&self, cluster: &Cluster, rules: &PoolRules) {
        let Ok(pools) = cluster.objects::<IPPool>().list(&ListParams::default()).await else {
            eprintln!("warning: other pools cannot be listed: an overlap would go unnoticed");
            return;
        };
        let ours: AddressSet = rules.entries.iter().filter_map(|entry| entry.range).collect();
        for pool in pools.items.iter().filter(|pool| pool.name_any() != self.name) {
            let theirs = PoolRules::read(&pool.spec);
            let shared =
                theirs.entries.iter().filter_map(|entry| entry.range).find(|range| ours.overlaps(range));
            if let Some(range) = shared {
                eprintln!(
                    "warning: the pool overlaps with {range} of pool {}: one address could be given twice",
                    pool.name_any()
                );
            }
        }
    }

    async fn wait(&self, cluster: &Cluster) -> Result<(), Error> {
        let what = format!("pool {} is ready", self.name);
        let look = |pool: Option<&IPPool>| {
            let conditions =
                pool.and_then(|pool| pool.status.as_ref()).map(|status| status.conditions.as_slice());
            let Some(ready) = conditions.and_then(ready) else { return Look::NotYet(None) };
            match ready.reason.as_str() {
                "Available" | "Exhausted" | "WaitingForCluster" => Look::Done(ready.message.clone()),
                _ => Look::NotYet(Some(ready.message.clone())),
            }
        };
        let message = self.waiting.until(cluster.objects::<IPPool>(), &self.name, &what, look).await?;
        eprintln!("{message}");
        Ok(())
    }
}

/// How much a pool holds, and from where to where.
fn extent(space: &Space) -> String {
    let ranges: Vec<Range> = space.entries().iter().filter_map(|entry| entry.range).collect();
    let shown: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    let capacity = match space.capacity() {
        1 => "1 address".to_owned(),
        n if n > 1 << 62 => "more than 4.6e18 addresses".to_owned(),
        n => format!("{n} addresses"),
    };
    format!("{capacity}: {}", shown.join(", "))
}
