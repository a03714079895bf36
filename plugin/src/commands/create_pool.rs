//! `create-pool`

use clap::Args;
use ipam::addr::{AddressSet, Space};
use ipam::api::{AllocationStrategy, IPPool, IPPoolSpec, Kind as ObjectKind, PoolEntry, PoolRules};
use ipam::apply::Change;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::count;
use crate::plan::{Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Look, Waiting, ready};

/// Create a pool of addresses
///
/// Says how many addresses the pool holds, warns where it overlaps with another, and waits until it hands them out, or
/// until it is known that it waits for its Cluster. On a terminal it asks for what is missing.
#[derive(Args, Debug, Clone)]
pub struct CreatePool {
    /// Name of the pool
    name: Option<String>,
    /// Subnet whose addresses the pool holds (can be repeated; entries are used in order)
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<String>,
    /// Range of addresses (can be repeated; ranges come after subnets)
    #[arg(long, value_name = "FIRST-LAST")]
    range: Vec<String>,
    /// Entry with values of its own: start, end, subnet, prefix, gateway, dns (can be repeated; they come last)
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = entry)]
    entry: Vec<PoolEntry>,
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

fn entry(text: &str) -> Result<PoolEntry, String> {
    let mut entry = PoolEntry::default();
    for part in text.split(',') {
        let (key, value) =
            part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form KEY=VALUE"))?;
        let owned = Some(value.to_owned());
        match key {
            "start" => entry.start = owned,
            "end" => entry.end = owned,
            "subnet" => entry.subnet = owned,
            "gateway" => entry.gateway = owned,
            "prefix" => {
                entry.prefix = Some(value.parse().map_err(|_| format!("prefix `{value}` is no number"))?);
            }
            "dns" => entry.dns_servers.push(value.to_owned()),
            _ => return Err(format!("`{key}` is none of start, end, subnet, prefix, gateway, dns")),
        }
    }
    Ok(entry)
}

impl CreatePool {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        let asked = self.completed(ui)?;
        let name = asked.name.clone().unwrap_or_default();
        let spec = asked.spec(&name)?;
        let (rules, space) = valid(&spec)?;
        ui.say(&extent(&space));
        let cluster = globals.connection.open().await?;
        asked.warn_of_overlap(ui, &cluster, &name, &rules).await;
        let person = ui.person().filter(|_| asked.differs(self));
        if let Some(person) = &person
            && !person.confirm("Create the pool?", true)?
        {
            return Err(Error::new(Kind::Failed, "not done: nothing was written"));
        }
        let target = cluster.target(ObjectKind::Pool, &name);
        let mut plan = Plan::default();
        let object = format!("ippool.ipam.metal3.io/{name}");
        plan.step('+', &object, "created", Change::Create { target, object: json!({ "spec": spec }) });
        let written = plan.carry_out(&cluster, &asked.writing).await?;
        if person.is_some() {
            ui.say(&format!("the same by flags: {}", asked.command_line(&name)));
        }
        if written && asked.waiting.wanted() { asked.wait(ui, &cluster, &name).await } else { Ok(()) }
    }

    /// This command with everything that is needed: what is missing is asked for, or named.
    fn completed(&self, ui: &Ui) -> Result<Self, Error> {
        let no_name = self.name.is_none();
        let no_addresses = self.subnet.is_empty() && self.range.is_empty() && self.entry.is_empty();
        let mut asked = self.clone();
        if !no_name && !no_addresses {
            return Ok(asked);
        }
        let Some(person) = ui.person() else {
            let flags = [(no_name, "NAME"), (no_addresses, "--subnet CIDR or --range FIRST-LAST")];
            let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag);
            return Err(missing(&flags.collect::<Vec<_>>()));
        };
        if no_name {
            asked.name = Some(person.ask("Name of the pool", None, not_empty)?);
        }
        if no_addresses {
            let text =
                person.ask("Addresses: a subnet such as 10.0.0.0/24, or first-last", None, addresses)?;
            if text.contains('/') { asked.subnet.push(text) } else { asked.range.push(text) }
        }
        if self.gateway.is_none() {
            let gateway = person.ask("Gateway (empty for none)", Some(""), ip_or_nothing)?;
            asked.gateway = Some(gateway).filter(|text| !text.is_empty());
        }
        if self.cluster.is_none() {
            let cluster =
                person.ask("Cluster that the pool belongs to (empty for none)", Some(""), |_| Ok(()))?;
            asked.cluster = Some(cluster).filter(|text| !text.is_empty());
        }
        Ok(asked)
    }

    fn differs(&self, other: &Self) -> bool {
        self.name != other.name || self.subnet != other.subnet || self.range != other.range
    }

    /// The command line that does the same with nothing to be asked.
    fn command_line(&self, name: &str) -> String {
        let mut words = vec!["kubectl ipam create-pool".to_owned(), name.to_owned()];
        let mut flag = |flag: &str, value: &str| words.push(format!("--{flag} {value}"));
        self.subnet.iter().for_each(|value| flag("subnet", value));
        self.range.iter().for_each(|value| flag("range", value));
        self.gateway.iter().for_each(|value| flag("gateway", value));
        self.cluster.iter().for_each(|value| flag("cluster", value));
        self.dns.iter().for_each(|value| flag("dns", value));
        self.exclude.iter().for_each(|value| flag("exclude", value));
        self.preallocate.iter().for_each(|(claim, ip)| flag("preallocate", &format!("{claim}={ip}")));
        self.name_prefix.iter().for_each(|value| flag("name-prefix", value));
        self.prefix.iter().for_each(|value| flag("prefix", &value.to_string()));
        if self.strategy != "random" {
            flag("strategy", &self.strategy);
        }
        words.join(" ")
    }

    fn spec(&self, name: &str) -> Result<IPPoolSpec, Error> {
        let subnet = |text: &String| PoolEntry { subnet: Some(text.clone()), ..PoolEntry::default() };
        let mut pools: Vec<PoolEntry> = self.subnet.iter().map(subnet).collect();
        for text in &self.range {
            let (start, end) = text.split_once('-').ok_or_else(|| {
                Error::new(Kind::Usage, format!("--range {text} is no range"))
                    .hint("write FIRST-LAST, such as 10.0.0.10-10.0.0.20")
            })?;
            let (start, end) = (Some(start.trim().to_owned()), Some(end.trim().to_owned()));
            pools.push(PoolEntry { start, end, ..PoolEntry::default() });
        }
        pools.extend(self.entry.iter().cloned());
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
            name_prefix: self.name_prefix.clone().unwrap_or_else(|| name.to_owned()),
            excluded_addresses: self.exclude.clone(),
        })
    }

    /// Other pools of the namespace that hold some of the same addresses. That they cannot be listed costs the warning
    /// only.
    async fn warn_of_overlap(&self, ui: &Ui, cluster: &Cluster, name: &str, rules: &PoolRules) {
        let Ok(pools) = cluster.objects::<IPPool>().list(&ListParams::default()).await else {
            ui.say("warning: other pools cannot be listed: an overlap would go unnoticed");
            return;
        };
        let ours: AddressSet = rules.entries.iter().filter_map(|entry| entry.range).collect();
        for pool in pools.items.iter().filter(|pool| pool.name_any() != name) {
            let theirs = PoolRules::read(&pool.spec);
            let mut ranges = theirs.entries.iter().filter_map(|entry| entry.range);
            if let Some(range) = ranges.find(|range| ours.overlaps(range)) {
                let other = pool.name_any();
                ui.say(&format!(
                    "warning: it overlaps with {range} of pool {other}: an address could be given twice"
                ));
            }
        }
    }

    async fn wait(&self, ui: &Ui, cluster: &Cluster, name: &str) -> Result<(), Error> {
        let what = format!("pool {name} is ready");
        let look = |pool: Option<&IPPool>| {
            let conditions =
                pool.and_then(|pool| pool.status.as_ref()).map(|status| status.conditions.as_slice());
            let Some(ready) = conditions.and_then(ready) else { return Look::NotYet(None) };
            match ready.reason.as_str() {
                "Available" | "Exhausted" | "WaitingForCluster" => Look::Done(ready.message.clone()),
                _ => Look::NotYet(Some(ready.message.clone())),
            }
        };
        let message = self.waiting.until(cluster.objects::<IPPool>(), name, &what, ui, look).await?;
        ui.say(&message);
        Ok(())
    }
}

/// The rules of a spec in which nothing is wrong and which holds something.
fn valid(spec: &IPPoolSpec) -> Result<(PoolRules, Space), Error> {
    let rules = PoolRules::read(spec);
    if !rules.violations.is_empty() {
        let wrong: Vec<String> = rules.violations.iter().map(ToString::to_string).collect();
        return Err(
            Error::new(Kind::Usage, "the pool would not be valid").caused_by(wrong.join("\n           "))
        );
    }
    let space = rules.space();
    if space.capacity() == 0 {
        return Err(Error::new(Kind::Usage, "the pool would hold no address").hint(
            "a subnet holds the addresses after the one that is written: --range IP-IP holds just one",
        ));
    }
    Ok((rules, space))
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("a name is needed".into()) } else { Ok(()) }
}

fn ip_or_nothing(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Ok(())
    } else {
        ipam::addr::parse_ip(text).map(drop).map_err(|error| error.to_string())
    }
}

/// The same check that the whole spec gets, on one text.
fn addresses(text: &str) -> Result<(), String> {
    let mut entry = PoolEntry::default();
    match text.split_once('-') {
        Some((start, end)) => (entry.start, entry.end) = (Some(start.trim().into()), Some(end.trim().into())),
        None => entry.subnet = Some(text.to_owned()),
    }
    let spec = IPPoolSpec { pools: vec![entry], ..IPPoolSpec::default() };
    let rules = PoolRules::read(&spec);
    match rules.violations.first() {
        Some(violation) => Err(violation.detail.clone()),
        None if rules.space().capacity() == 0 => Err("holds no address".into()),
        None => Ok(()),
    }
}

/// How much a pool holds, and from where to where.
fn extent(space: &Space) -> String {
    let ranges = space.entries().iter().filter_map(|entry| entry.range);
    let shown: Vec<String> = ranges.map(|range| range.to_string()).collect();
    let plural = if space.capacity() == 1 { "address" } else { "addresses" };
    format!("{} {plural}: {}", count(space.capacity()), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_from_its_parts() {
        let read = entry("start=10.0.0.1,end=10.0.0.9,prefix=24,dns=1.1.1.1,dns=9.9.9.9").unwrap();
        assert_eq!((read.start.as_deref(), read.prefix), (Some("10.0.0.1"), Some(24)));
        assert_eq!(read.dns_servers, ["1.1.1.1", "9.9.9.9"]);
        assert_eq!(entry("start").unwrap_err(), "`start` is not of the form KEY=VALUE");
        assert_eq!(
            entry("from=1").unwrap_err(),
            "`from` is none of start, end, subnet, prefix, gateway, dns"
        );
        assert_eq!(entry("prefix=x").unwrap_err(), "prefix `x` is no number");
    }

    #[test]
    fn a_text_is_checked_as_it_is_typed() {
        assert_eq!(addresses("10.0.0.0/24"), Ok(()));
        assert_eq!(addresses("fd00::1 - fd00::9"), Ok(()));
        assert!(addresses("10.0.0.0").unwrap_err().starts_with("invalid Subnet"));
        assert_eq!(
            addresses("10.0.0.9-10.0.0.1").unwrap_err(),
            "end IP 10.0.0.1 is before start IP 10.0.0.9"
        );
        assert_eq!(addresses("10.0.0.1/32").unwrap_err(), "holds no address");
    }
}
