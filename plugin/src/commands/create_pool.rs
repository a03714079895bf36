//! `create-pool`

use std::cell::Cell;

use clap::Args;
use ipam::api::{AllocationStrategy, IPPoolSpec, Kind as ObjectKind, PoolEntry};
use ipam::apply::Change;
use serde_json::json;

use super::pool_checks::{Others, addresses, extent, ip_or_nothing, valid};
use super::target::creatable;
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::named;
use crate::plan::{Plan, Writing};
use crate::ui::{Person, Ui, missing};
use crate::wait::{Look, Waiting};
use crate::world::{Raw, Ready, Scope};

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
    /// Cluster API Cluster that the pool belongs to: the pool waits for it
    #[arg(long, value_name = "NAME", help_heading = "Options", add = crate::complete::clusters())]
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
        let complete = self.is_complete(ui)?;
        if complete {
            // What is wrong in itself is said before any cluster is asked.
            creatable("pool", self.name.as_deref().unwrap_or_default())?;
            valid(&self.spec(self.name.as_deref().unwrap_or_default())?)?;
        }
        let cluster = globals.connection.open().await?;
        let others = Others::read(&cluster).await;
        let asked = if complete { self.clone() } else { self.completed(ui, &cluster, &others).await? };
        let name = asked.name.clone().unwrap_or_default();
        let spec = asked.spec(&name)?;
        let (rules, space) = valid(&spec)?;
        if complete {
            ui.say(&extent(&space));
            others.overlaps(&name, &rules).iter().for_each(|warning| ui.say(warning));
        }
        let mut plan = Plan::default();
        let target = cluster.target(ObjectKind::Pool, &cluster.namespace, &name).await?;
        let change = Change::Create { target, object: json!({ "spec": spec }) };
        plan.step('+', &named(ObjectKind::Pool, &name), "created", change);
        if !complete {
            ui.person().map_or(Ok(()), |person| plan.agree(&person, "Create the pool?"))?;
        }
        let Some(written) = plan.carry_out(ui, &cluster, &asked.writing).await? else { return Ok(()) };
        if asked.waiting.wanted() {
            asked.wait(ui, &cluster, &name).await
        } else {
            asked.writing.print(&written)
        }
    }

    /// Whether nothing is missing. It is an error where nobody can be asked for what is.
    fn is_complete(&self, ui: &Ui) -> Result<bool, Error> {
        let no_addresses = self.subnet.is_empty() && self.range.is_empty() && self.entry.is_empty();
        let flags = [(self.name.is_none(), "NAME"), (no_addresses, "--subnet CIDR or --range FIRST-LAST")];
        let flags: Vec<&str> = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect();
        if !flags.is_empty() && ui.person().is_none() {
            return Err(missing(&flags));
        }
        Ok(flags.is_empty())
    }

    /// This command with everything that is needed, asked for; how large the pool gets and what it overlaps with is
    /// said as soon as its addresses are known.
    async fn completed(&self, ui: &Ui, cluster: &Cluster, others: &Others) -> Result<Self, Error> {
        let mut asked = self.clone();
        let Some(person) = ui.person() else { return Ok(asked) };
        if self.name.is_none() {
            let name = person.ask("Name of the pool", None, |text| others.is_new(text))?;
            person.note([name.clone()]);
            asked.name = Some(name);
        }
        if self.subnet.is_empty() && self.range.is_empty() && self.entry.is_empty() {
            let text = person.ask("Addresses (10.0.0.0/24 or FIRST-LAST)", None, addresses)?;
            let (flag, list) = if text.contains('/') {
                ("--subnet", &mut asked.subnet)
            } else {
                ("--range", &mut asked.range)
            };
            person.note([flag, &text]);
            list.push(text);
        }
        let name = asked.name.clone().unwrap_or_default();
        let (rules, space) = valid(&asked.spec(&name)?)?;
        ui.say(&extent(&space));
        others.overlaps(&name, &rules).iter().for_each(|warning| ui.say(warning));
        asked.ask_for_the_rest(&person, cluster).await?;
        Ok(asked)
    }

    async fn ask_for_the_rest(&mut self, person: &Person<'_>, cluster: &Cluster) -> Result<(), Error> {
        if self.gateway.is_none() {
            let gateway = person.ask("Gateway (empty for none)", Some(""), ip_or_nothing)?;
            self.gateway = Some(gateway).filter(|text| !text.is_empty());
            person.note(self.gateway.iter().flat_map(|ip| ["--gateway".to_owned(), ip.clone()]));
        }
        if self.cluster.is_none() {
            self.cluster = ask_for_cluster(person, cluster).await?;
            person.note(self.cluster.iter().flat_map(|name| ["--cluster".to_owned(), name.clone()]));
        }
        Ok(())
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

    async fn wait(&self, ui: &Ui, cluster: &Cluster, name: &str) -> Result<(), Error> {
        let what = format!("pool {name} is ready");
        let was_seen = Cell::new(false);
        let look = |pool: Option<&Raw>| {
            let Some(pool) = pool else {
                let is_gone = was_seen.get();
                return if is_gone { Look::Never("it was deleted".into()) } else { Look::NotYet(None) };
            };
            was_seen.set(true);
            let Some(ready) = Ready::of(&pool.status) else { return Look::NotYet(None) };
            match ready.reason.as_str() {
                "Available" | "Exhausted" | "WaitingForCluster" => Look::Done(ready.message.owned()),
                "InvalidSpec" | "Deleting" => Look::Never(ready.message.owned()),
                _ => Look::NotYet(Some(ready.message.owned())),
            }
        };
        let message = self.waiting.until(cluster, ObjectKind::Pool, name, &what, ui, look).await?;
        ui.say(&message);
        if self.writing.shows_objects() {
            let pool = cluster.find(ObjectKind::Pool, name).await?;
            self.writing.print(&Vec::from_iter(pool))?;
        }
        Ok(())
    }
}

/// Asks for the Cluster: one of those that there are, or by name where they cannot be seen.
async fn ask_for_cluster(person: &Person<'_>, cluster: &Cluster) -> Result<Option<String>, Error> {
    let mut names = Vec::new();
    let add = |raw: Raw| names.push(raw.metadata.name.owned());
    let seen = cluster.each(ObjectKind::Cluster, &Scope::of(&cluster.namespace), add).await;
    if seen.is_err() || names.is_empty() {
        let name = person.ask("Cluster of the pool (empty for none)", Some(""), |_| Ok(()))?;
        return Ok(Some(name).filter(|name| !name.is_empty()));
    }
    names.insert(0, "(none)".to_owned());
    let chosen = person.choose("Cluster of the pool", &names)?;
    Ok(names.into_iter().nth(chosen).filter(|_| chosen > 0))
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
}
