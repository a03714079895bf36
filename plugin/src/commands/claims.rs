//! `claims`

use clap::Args;
use ipam::api::{Family, Kind};
use serde::Serialize;

use super::{Reading, machines, now};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::follow::follow;
use crate::output::{Answer, Cell, Output, Table, age, named, or_none};
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
struct Row {
    namespace: String,
    name: String,
    kind: &'static str,
    pool: String,
    address: Option<String>,
    prefix: Option<i64>,
    gateway: Option<String>,
    owner: Option<String>,
    machine: Option<String>,
    created: Option<String>,
    state: String,
    message: Option<String>,
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
        let rows: Vec<Row> =
            found.iter().map(|claim| row(claim, joined.address_of(claim), &machines)).collect();
        let mut table = self.table();
        found.iter().zip(&rows).for_each(|(claim, row)| table.row(self.cells(claim, row)));
        let names = found.iter().map(|claim| named(claim.kind(), &claim.meta.name)).collect();
        self.output.print(&Answer::new("ClaimList", &rows, table, names)?)
    }

    /// Reads the world; the selector is of claims.
    async fn look(&self, ui: &Ui, cluster: &Cluster) -> Result<(World, Machines), Error> {
        let (scope, everything) = (self.reading.scope(cluster), self.reading.everything(cluster));
        let mut world = World::read(cluster, &everything).await;
        world.require(&[Kind::Claim(Family::Metal3)])?;
        if scope.selector.is_some() {
            world.claims.clear();
            for family in [Family::Metal3, Family::Capi] {
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
                (claim.meta.uid.clone(), self.cells(claim, &row))
            };
            Ok(self.found(&world, &joined).iter().map(cells).collect())
        };
        follow(cluster, &self.reading.everything(cluster), &self.output, || self.table(), look).await
    }

    fn table(&self) -> Table {
        let own = ["CLAIM", "KIND", "POOL", "ADDRESS", "OWNER", "AGE", "STATE", "WHY"];
        let header: Vec<&str> = self.reading.namespace_header().into_iter().chain(own).collect();
        Table::new(&header).wide(&["PREFIX", "GATEWAY", "MACHINE"])
    }

    fn cells(&self, claim: &Claim, row: &Row) -> Vec<Cell> {
        let created = claim.meta.creation_timestamp.as_ref().map(|time| time.0);
        let cells: [Cell; 11] = [
            row.name.as_str().into(),
            row.kind.into(),
            row.pool.as_str().into(),
            or_none(row.address.as_ref()).into(),
            or_none(row.owner.as_ref()).into(),
            age(created, now()).into(),
            Cell::state(&row.state),
            row.message.clone().unwrap_or_default().into(),
            or_none(row.prefix).into(),
            or_none(row.gateway.as_ref()).into(),
            or_none(row.machine.as_ref()).into(),
        ];
        self.reading.namespace_cell(&row.namespace).into_iter().chain(cells).collect()
    }
}

fn row(claim: &Claim, address: Option<&Address>, machines: &Machines) -> Row {
    let created = claim.meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
    Row {
        namespace: claim.meta.namespace.clone(),
        name: claim.meta.name.clone(),
        kind: claim.kind().name(),
        pool: claim.pool.clone(),
        address: address.map(Address::shown),
        prefix: address.and_then(|address| address.prefix),
        gateway: address.and_then(|address| address.gateway.clone()),
        owner: claim.owner(),
        machine: machines.of(claim).map(|machine| machine.shown()),
        created,
        state: claim.state(),
        message: claim.why().filter(|_| claim.bound().is_none()).map(str::to_owned),
    }
}
