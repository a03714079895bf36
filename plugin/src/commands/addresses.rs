//! `addresses`

use clap::Args;
use ipam::api::{Family, Kind};
use jiff::Timestamp;
use serde::Serialize;

use super::{Reading, machines, now};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::follow::follow;
use crate::output::{Cell, Output, Table, age, named, or_none};
use crate::ui::Ui;
use crate::world::{Address, Claim, Joined, Machines, World};

/// List addresses: which claim has each, and whose it is
///
/// Addresses of both kinds, in the order of the addresses. Wide output adds machine and host, where Metal3's machines
/// can be read.
#[derive(Args, Debug)]
pub struct Addresses {
    /// Only addresses of this pool
    #[arg(long, value_name = "NAME", add = crate::complete::pools())]
    pool: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Go on and show the addresses that change
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// One address, with all that belongs to it.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    namespace: &'a str,
    name: &'a str,
    kind: &'static str,
    api_group: &'static str,
    address: String,
    prefix: Option<i64>,
    gateway: Option<&'a str>,
    pool: &'a str,
    claim: &'a str,
    #[serde(skip)]
    claim_kind: &'static str,
    owner: Option<String>,
    machine: Option<String>,
    created: Option<String>,
    #[serde(skip)]
    since: Option<Timestamp>,
    state: &'static str,
}

impl Addresses {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (ui, cluster) = (&globals.ui, globals.connection.open().await?);
        if self.watch {
            return self.follow(ui, &cluster).await;
        }
        let (world, machines) = self.look(ui, &cluster).await?;
        let found = self.found(&world);
        if found.is_empty() && self.output.is_table() {
            ui.say(&format!("no addresses in {}", self.reading.place(&cluster)));
            return Ok(());
        }
        let joined = Joined::new(&world);
        let rows = found.iter().map(|address| row(&world, &joined, address, &machines));
        let names = found.iter().map(|address| named(address.kind(), &address.meta.name));
        let now = now();
        self.output.print_rows("AddressList", &self.table(), rows, |row| self.cells(&row, now), names)
    }

    /// Reads the world; the selector is of addresses.
    async fn look(&self, ui: &Ui, cluster: &Cluster) -> Result<(World, Machines), Error> {
        let (scope, everything) = (self.reading.scope(cluster), self.reading.everything(cluster));
        let mut world = World::read(cluster, &everything).await;
        world.require(&[Kind::Address(Family::Metal3)])?;
        if self.watch {
            world.require_what_may_pass()?;
        }
        if scope.selector.is_some() {
            world.addresses.clear();
            for family in Family::ALL {
                cluster.addresses(family, &scope, |address| world.addresses.push(address)).await?;
            }
        }
        world.blind_spots().iter().for_each(|line| ui.say(line));
        if let (Some(pool), None, Some(namespace)) =
            (&self.pool, world.unseen.get(&Kind::Pool), &everything.namespace)
        {
            world.pool_named(namespace, pool)?;
        }
        let machines = machines(cluster, &everything, &self.output).await;
        Ok((world, machines))
    }

    fn found<'a>(&self, world: &'a World) -> Vec<&'a Address> {
        let of_pool = |address: &&Address| self.pool.as_ref().is_none_or(|pool| address.pool == *pool);
        let mut found: Vec<&Address> = world.addresses.iter().filter(of_pool).collect();
        found.sort_by_key(|address| (address.ip, &address.text, &address.meta.namespace, &address.meta.name));
        found
    }

    async fn follow(&self, ui: &Ui, cluster: &Cluster) -> Result<(), Error> {
        let look = async || {
            let (world, machines) = self.look(ui, cluster).await?;
            let joined = Joined::new(&world);
            let cells = |address: &&Address| {
                let row = row(&world, &joined, address, &machines);
                (address.meta.uid.owned(), self.cells(&row, now()))
            };
            Ok(self.found(&world).iter().map(cells).collect())
        };
        follow(ui, cluster, &self.reading.everything(cluster), &self.output, || self.table(), look).await
    }

    fn table(&self) -> Table {
        let own = ["ADDRESS", "PREFIX", "GATEWAY", "POOL", "CLAIM", "KIND", "OWNER", "AGE", "STATE"];
        let header: Vec<&str> = self.reading.namespace_header().into_iter().chain(own).collect();
        Table::new(&header).wide(&["NAME", "MACHINE"])
    }

    fn cells(&self, row: &Row, now: Timestamp) -> Vec<Cell> {
        let cells: [Cell; 11] = [
            row.address.as_str().into(),
            or_none(row.prefix).into(),
            or_none(row.gateway.as_ref()).into(),
            row.pool.into(),
            row.claim.into(),
            row.claim_kind.into(),
            or_none(row.owner.as_ref()).into(),
            Cell::age(age(row.since, now)),
            Cell::state(row.state),
            row.name.into(),
            or_none(row.machine.as_ref()).into(),
        ];
        self.reading.namespace_cell(row.namespace).into_iter().chain(cells).collect()
    }
}

fn row<'a>(world: &World, joined: &Joined, address: &'a Address, machines: &Machines) -> Row<'a> {
    let claim = joined.claim_of(address);
    let has_seen_claims = !world.unseen.contains_key(&Kind::Claim(address.family));
    let since = address.meta.creation_timestamp.as_ref().map(|time| time.0);
    Row {
        namespace: &address.meta.namespace,
        name: &address.meta.name,
        kind: address.kind().name(),
        api_group: address.kind().group(),
        address: address.shown(),
        prefix: address.prefix,
        gateway: address.gateway.as_deref(),
        pool: &address.pool,
        claim: &address.claim,
        claim_kind: Kind::Claim(address.family).name(),
        owner: claim.and_then(Claim::owner),
        machine: claim.and_then(|claim| machines.of(claim)).map(|machine| machine.shown()),
        created: since.map(|since| since.to_string()),
        since,
        state: state(address, claim, has_seen_claims),
    }
}

/// One word: what there is to say of an address.
fn state(address: &Address, claim: Option<&Claim>, has_seen_claims: bool) -> &'static str {
    match claim {
        _ if address.meta.deleting() => "Releasing",
        None if !address.made() => "ByHand",
        // It says nothing of an address that its claim could not be seen.
        None if !has_seen_claims => "Unknown",
        None => "Leaked",
        Some(claim) if claim.meta.deleting() => "Releasing",
        Some(claim) if claim.address.as_deref() == Some(&*address.meta.name) => "Bound",
        Some(_) => "Taken",
    }
}

#[cfg(test)]
mod tests {
    use ipam::api::Kind as ObjectKind;
    use serde_json::json;

    use super::*;
    use crate::error::{Error, Kind as Failure};

    #[test]
    fn an_address_whose_claim_could_not_be_seen_is_no_leak() {
        let address = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
            "metadata": {"name": "p-1", "namespace": "ns", "finalizers": ["ipaddress.ipam.metal3.io"]},
            "spec": {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}}});
        let mut world = World::of_objects(vec![address]);
        let state =
            |world: &World| row(world, &Joined::new(world), &world.addresses[0], &Machines::default()).state;
        assert_eq!(state(&world), "Leaked");
        let error = || Error::new(Failure::Failed, "no");
        world.unseen.insert(ObjectKind::Claim(Family::Capi), error());
        assert_eq!(state(&world), "Leaked");
        world.unseen.insert(ObjectKind::Claim(Family::Metal3), error());
        assert_eq!(state(&world), "Unknown");
    }
}
