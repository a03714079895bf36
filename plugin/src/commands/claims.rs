//! `claims`

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

/// List claims: what each got, or why it has nothing
///
/// Claims of both kinds, in the order of their addresses; those that have none come last, the oldest first.
#[derive(Args, Debug)]
pub struct Claims {
    /// Only claims of this pool
    #[arg(long, value_name = "NAME", add = crate::complete::pools())]
    pool: Option<String>,
    /// Only claims that have no address
    #[arg(long)]
    waiting: bool,
    #[command(flatten)]
    reading: Reading,
    /// Go on and show the claims that change
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// One claim, with all that belongs to it.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    namespace: &'a str,
    name: &'a str,
    kind: &'static str,
    pool: &'a str,
    address: Option<String>,
    prefix: Option<i64>,
    gateway: Option<&'a str>,
    owner: Option<String>,
    machine: Option<String>,
    created: Option<String>,
    #[serde(skip)]
    since: Option<Timestamp>,
    state: String,
    message: Option<&'a str>,
}

impl Claims {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (ui, cluster) = (&globals.ui, globals.connection.open().await?);
        if self.watch {
            return self.follow(ui, &cluster).await;
        }
        let (world, machines) = self.look(ui, &cluster).await?;
        let joined = Joined::new(&world);
        let found = self.found(&world, &joined);
        if found.is_empty() && self.output.is_table() {
            ui.say(&format!("no claims in {}", self.reading.place(&cluster)));
            return Ok(());
        }
        let rows = found.iter().map(|claim| row(claim, joined.address_of(claim), &machines));
        let names = found.iter().map(|claim| named(claim.kind(), &claim.meta.name));
        let now = now();
        self.output.print_rows("ClaimList", &self.table(), rows, |row| self.cells(&row, now), names)
    }

    /// Reads the world; the selector is of claims.
    async fn look(&self, ui: &Ui, cluster: &Cluster) -> Result<(World, Machines), Error> {
        let (scope, everything) = (self.reading.scope(cluster), self.reading.everything(cluster));
        let mut world = World::read(cluster, &everything).await;
        world.require(&[Kind::Claim(Family::Metal3)])?;
        if self.watch {
            world.require_what_may_pass()?;
        }
        if scope.selector.is_some() {
            world.claims.clear();
            for family in Family::ALL {
                cluster.claims(family, &scope, |claim| world.claims.push(claim)).await?;
            }
        }
        world.blind_spots().iter().for_each(|line| ui.say(line));
        let machines = machines(cluster, &everything, &self.output).await;
        Ok((world, machines))
    }

    fn found<'a>(&self, world: &'a World, joined: &Joined<'a>) -> Vec<&'a Claim> {
        let wanted = |claim: &&Claim| {
            self.pool.as_ref().is_none_or(|pool| claim.pool == *pool)
                && (!self.waiting || claim.bound().is_none())
        };
        let mut found: Vec<&Claim> = world.claims.iter().filter(wanted).collect();
        found.sort_by_key(|claim| {
            let ip = joined.address_of(claim).and_then(|address| address.ip);
            let created = claim.meta.creation_timestamp.as_ref().map(|time| time.0);
            (ip.is_none(), ip, created, &claim.meta.namespace, &claim.meta.name)
        });
        found
    }

    async fn follow(&self, ui: &Ui, cluster: &Cluster) -> Result<(), Error> {
        let look = async || {
            let (world, machines) = self.look(ui, cluster).await?;
            let joined = Joined::new(&world);
            let cells = |claim: &&Claim| {
                let row = row(claim, joined.address_of(claim), &machines);
                (claim.meta.uid.owned(), self.cells(&row, now()))
            };
            Ok(self.found(&world, &joined).iter().map(cells).collect())
        };
        follow(ui, cluster, &self.reading.everything(cluster), &self.output, || self.table(), look).await
    }

    fn table(&self) -> Table {
        let own = ["CLAIM", "KIND", "POOL", "ADDRESS", "OWNER", "AGE", "STATE", "WHY"];
        let header: Vec<&str> = self.reading.namespace_header().into_iter().chain(own).collect();
        Table::new(&header).wide(&["PREFIX", "GATEWAY", "MACHINE"])
    }

    fn cells(&self, row: &Row, now: Timestamp) -> Vec<Cell> {
        let cells: [Cell; 11] = [
            row.name.into(),
            row.kind.into(),
            row.pool.into(),
            or_none(row.address.as_ref()).into(),
            or_none(row.owner.as_ref()).into(),
            Cell::age(age(row.since, now)),
            Cell::state(&row.state),
            row.message.unwrap_or_default().into(),
            or_none(row.prefix).into(),
            or_none(row.gateway.as_ref()).into(),
            or_none(row.machine.as_ref()).into(),
        ];
        self.reading.namespace_cell(row.namespace).into_iter().chain(cells).collect()
    }
}

fn row<'a>(claim: &'a Claim, address: Option<&'a Address>, machines: &Machines) -> Row<'a> {
    let since = claim.meta.creation_timestamp.as_ref().map(|time| time.0);
    Row {
        namespace: &claim.meta.namespace,
        name: &claim.meta.name,
        kind: claim.kind().name(),
        pool: &claim.pool,
        address: address.map(Address::shown),
        prefix: address.and_then(|address| address.prefix),
        gateway: address.and_then(|address| address.gateway.as_deref()),
        owner: claim.owner(),
        machine: machines.of(claim).map(|machine| machine.shown()),
        created: since.map(|since| since.to_string()),
        since,
        state: claim.state(),
        message: claim.why().filter(|_| claim.bound().is_none()),
    }
}
