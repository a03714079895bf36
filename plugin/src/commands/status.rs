//! `status`

use std::cell::RefCell;

use clap::Args;
use ipam::addr::parse_ip;
use ipam::api::{Family, IPPool, Kind as ObjectKind, PoolRules};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::{Reading, now};
use crate::Globals;
use crate::cluster::{Cluster, not_installed};
use crate::error::Error;
use crate::follow::follow;
use crate::output::{Answer, Cell, Output, Table, age, count, named, or_none, out};
use crate::ui::Ui;
use crate::world::{Scope, Tallies, Tally, Usage, foreign_pools, no_such};

/// Show how pools are used: capacity, used, reserved, waiting, free, and why
///
/// With one pool, its entries, conditions and the claims that wait longest as well. With -A, pools of another provider
/// are shown too where their own status says enough.
#[derive(Args, Debug)]
pub struct Status {
    /// Names of pools [default: all]
    #[arg(add = crate::complete::pools())]
    pool: Vec<String>,
    #[command(flatten)]
    reading: Reading,
    /// Go on and show the pools whose use changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// Pools and their use.
struct Seen {
    pools: Vec<IPPool>,
    tallies: Tallies,
}

impl Status {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let cluster = globals.connection.open().await?;
        let scope = self.reading.scope(&cluster);
        if self.watch {
            return self.follow(&globals.ui, &cluster, &scope).await;
        }
        let seen = self.look(&globals.ui, &cluster, &scope).await?;
        let mut items = seen.usage();
        if scope.namespace.is_none() && self.pool.is_empty() && scope.selector.is_none() {
            items.extend(foreign_pools(&cluster).await);
        }
        if items.is_empty() && self.output.is_table() {
            let place = self.reading.place(&cluster);
            globals.ui.say(&format!("no pools in {place}; `kubectl ipam create-pool` makes one"));
            return Ok(());
        }
        let mut table = self.table();
        for usage in &items {
            table.row(self.row(usage));
        }
        let names = seen.pools.iter().map(|pool| named(ObjectKind::Pool, &pool.name_any())).collect();
        self.output.print(&Answer::new("PoolStatusList", &items, table, names)?)?;
        if let ([pool], [_], true) = (seen.pools.as_slice(), self.pool.as_slice(), self.output.is_table()) {
            out(format_args!("{}", details(pool, &seen.tallies.of(pool), now())));
        }
        Ok(())
    }

    async fn look(&self, ui: &Ui, cluster: &Cluster, scope: &Scope) -> Result<Seen, Error> {
        let pools = self.pools(cluster, scope).await?;
        let all = Scope { namespace: scope.namespace.clone(), selector: None };
        let tallies = RefCell::new(Tallies::default());
        let add_address = |address| tallies.borrow_mut().add_address(&address);
        let listed =
            cluster.holdings(&all, add_address, |claim| tallies.borrow_mut().add_claim(&claim)).await;
        for (kind, error) in listed.into_iter().filter_map(|(kind, listed)| Some((kind, listed.err()?))) {
            // Without our own addresses, what is used and what is free would be invented. Cluster API's may be none of the
            // account's business.
            if kind == ObjectKind::Address(Family::Metal3) || (self.watch && error.may_pass()) {
                return Err(error);
            }
            ui.say(&format!("warning: {}; it is not counted", error.line()));
        }
        Ok(Seen { pools, tallies: tallies.into_inner() })
    }

    async fn pools(&self, cluster: &Cluster, scope: &Scope) -> Result<Vec<IPPool>, Error> {
        let mut pools: Vec<IPPool> = Vec::new();
        let add = |pool: Value| pools.extend(serde_json::from_value::<IPPool>(pool));
        if !cluster.each(ObjectKind::Pool, scope, add).await? {
            return Err(not_installed(ObjectKind::Pool));
        }
        for name in &self.pool {
            if !pools.iter().any(|pool| pool.name_any() == *name) {
                let known: Vec<&str> =
                    pools.iter().filter_map(|pool| pool.metadata.name.as_deref()).collect();
                return Err(no_such(
                    "pool",
                    name,
                    &cluster.namespace,
                    &known,
                    "`kubectl ipam status -A` shows all pools",
                ));
            }
        }
        pools.retain(|pool| self.pool.is_empty() || self.pool.contains(&pool.name_any()));
        Ok(pools)
    }

    async fn follow(&self, ui: &Ui, cluster: &Cluster, scope: &Scope) -> Result<(), Error> {
        let look = async || {
            let usage = self.look(ui, cluster, scope).await?.usage();
            let row = |usage: Usage| (format!("{}/{}", usage.namespace, usage.pool), self.row(&usage));
            Ok(usage.into_iter().map(row).collect())
        };
        follow(ui, cluster, scope, &self.output, || self.table(), look).await
    }

    fn table(&self) -> Table {
        let own = ["POOL", "CAPACITY", "USED", "RESERVED", "WAITING", "FREE", "USE%", "STATE", "WHY"];
        let header: Vec<&str> = self.reading.namespace_header().into_iter().chain(own).collect();
        Table::new(&header).wide(&["CLUSTER"])
    }

    fn row(&self, usage: &Usage) -> Vec<Cell> {
        let number = |text: &str| text.parse().map_or_else(|_| text.to_owned(), count);
        let why = if usage.state == "Available" { String::new() } else { usage.message.clone() };
        let cells: [Cell; 10] = [
            usage.pool.as_str().into(),
            number(&usage.capacity).into(),
            usage.used.to_string().into(),
            usage.reserved.to_string().into(),
            usage.waiting.to_string().into(),
            number(&usage.free).into(),
            format!("{}%", usage.used_percent).into(),
            Cell::state(&usage.state),
            why.into(),
            or_none(usage.cluster.as_ref()).into(),
        ];
        self.reading.namespace_cell(&usage.namespace).into_iter().chain(cells).collect()
    }
}

impl Seen {
    fn usage(&self) -> Vec<Usage> {
        self.pools.iter().map(|pool| self.tallies.of(pool).usage(pool)).collect()
    }
}

/// What is shown of one pool besides its row.
fn details(pool: &IPPool, tally: &Tally, now: Timestamp) -> String {
    let sections = [
        ("Entries", entries(pool, tally)),
        ("Reserved", reserved(pool, tally)),
        ("Conditions", conditions(pool, now)),
        ("Waiting", waiting(tally, now)),
    ];
    let shown = sections.into_iter().filter_map(|(title, table)| Some(format!("\n{title}\n{}", table?)));
    shown.collect()
}

fn entries(pool: &IPPool, tally: &Tally) -> Option<String> {
    let rules = PoolRules::read(&pool.spec);
    let mut table = Table::new(&["ADDRESSES", "COUNT", "USED", "PREFIX", "GATEWAY", "DNS"]);
    for entry in &rules.entries {
        let used = entry.range.map_or(0, |range| tally.held.range(range.first()..=range.last()).count());
        let dns: Vec<String> = entry.dns.iter().map(ToString::to_string).collect();
        table.row(vec![
            or_none(entry.range).into(),
            count(entry.range.map_or(0, |range| range.len())).into(),
            used.to_string().into(),
            or_none(entry.prefix).into(),
            or_none(entry.gateway).into(),
            or_none((!dns.is_empty()).then(|| dns.join(","))).into(),
        ]);
    }
    (!table.is_empty()).then(|| table.render(true, false))
}

fn reserved(pool: &IPPool, tally: &Tally) -> Option<String> {
    let mut table = Table::new(&["CLAIM", "ADDRESS", "HELD"]);
    for (claim, ip) in &pool.spec.pre_allocations {
        let held = parse_ip(ip).is_ok_and(|ip| tally.held.contains(&ip));
        table.row(vec![claim.as_str().into(), ip.as_str().into(), if held { "yes" } else { "no" }.into()]);
    }
    (!table.is_empty()).then(|| table.render(true, false))
}

fn conditions(pool: &IPPool, now: Timestamp) -> Option<String> {
    let conditions = &pool.status.as_ref()?.conditions;
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"]);
    for condition in conditions {
        table.row(vec![
            condition.type_.as_str().into(),
            condition.status.as_str().into(),
            condition.reason.as_str().into(),
            age(Some(condition.last_transition_time.0), now).into(),
            condition.message.as_str().into(),
        ]);
    }
    (!table.is_empty()).then(|| table.render(true, false))
}

fn waiting(tally: &Tally, now: Timestamp) -> Option<String> {
    const SHOWN: usize = 10;
    let mut table = Table::new(&["CLAIM", "AGE", "REASON"]);
    for claim in tally.waiting.iter().take(SHOWN) {
        table.row(vec![
            claim.name.as_str().into(),
            age(claim.since, now).into(),
            or_none(claim.why.as_ref()).into(),
        ]);
    }
    let more = tally.waiting.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("and {more} more\n") } else { String::new() };
    (!table.is_empty()).then(|| table.render(true, false) + &rest)
}
