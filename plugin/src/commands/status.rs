//! `status`

use clap::Args;
use ipam::api::{IPPool, PoolRules};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use crate::Globals;
use crate::error::{Error, Kind};
use crate::output::{Output, Table, count, or_none};
use crate::usage::{Usage, World};
use crate::wait::ready;

/// Show how pools are used: capacity, used, reserved, waiting, free, and why
///
/// With one pool, its entries, conditions and the claims that wait longest as well.
#[derive(Args, Debug)]
pub struct Status {
    /// Names of pools [default: all]
    pool: Vec<String>,
    /// Pools of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    output: Output,
}

/// The answer as data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusList {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Usage>,
}

impl Status {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let cluster = globals.connection.open().await?;
        let namespace = (!self.all_namespaces).then_some(cluster.namespace.as_str());
        let world = World::read(&cluster.client, namespace).await?;
        if let Some(unseen) = &world.unseen {
            globals.ui.say(&format!("warning: {unseen}"));
        }
        let pools = self.selected(&world, &cluster.namespace)?;
        let items: Vec<Usage> = pools.iter().map(|pool| world.usage(pool)).collect();
        if items.is_empty() && self.output.is_table() {
            let place =
                namespace.map_or("any namespace".to_owned(), |namespace| format!("namespace {namespace}"));
            globals.ui.say(&format!("no pools in {place}; `kubectl ipam create-pool` makes one"));
            return Ok(());
        }
        let names: Vec<String> =
            items.iter().map(|usage| format!("ippool.ipam.metal3.io/{}", usage.pool)).collect();
        let list = StatusList { api_version: "ipam.cli/v1", kind: "PoolStatusList", items };
        self.output.print(&self.table(&list.items), &list, &names)?;
        if let ([pool], [_], true) = (pools.as_slice(), self.pool.as_slice(), self.output.is_table()) {
            print!("{}", details(&world, pool));
        }
        Ok(())
    }

    fn selected<'a>(&self, world: &'a World, namespace: &str) -> Result<Vec<&'a IPPool>, Error> {
        for name in &self.pool {
            if !world.pools.iter().any(|pool| pool.name_any() == *name) {
                return Err(Error::new(
                    Kind::Failed,
                    format!("there is no pool {name} in namespace {namespace}"),
                )
                .hint("`kubectl ipam status -A` shows all pools"));
            }
        }
        let wanted = |pool: &&IPPool| self.pool.is_empty() || self.pool.contains(&pool.name_any());
        Ok(world.pools.iter().filter(wanted).collect())
    }

    fn table(&self, items: &[Usage]) -> Table {
        let own =
            ["POOL", "CLUSTER", "CAPACITY", "USED", "RESERVED", "WAITING", "FREE", "USE%", "STATE", "WHY"];
        let header: Vec<&str> = self.all_namespaces.then_some("NAMESPACE").into_iter().chain(own).collect();
        let mut table = Table::new(&header);
        for usage in items {
            let number = |text: &str| text.parse().map_or_else(|_| text.to_owned(), count);
            let why = if usage.state == "Available" { String::new() } else { usage.message.clone() };
            let cells = [
                usage.pool.clone(),
                or_none(usage.cluster.as_ref()),
                number(&usage.capacity),
                usage.used.to_string(),
                usage.reserved.to_string(),
                usage.waiting.to_string(),
                number(&usage.free),
                format!("{}%", usage.used_percent),
                usage.state.clone(),
                why,
            ];
            let namespace = self.all_namespaces.then(|| usage.namespace.clone());
            table.row(namespace.into_iter().chain(cells).collect());
        }
        table
    }
}

/// What is shown of one pool besides its row.
fn details(world: &World, pool: &IPPool) -> String {
    let sections = [
        ("Entries", entries(world, pool)),
        ("Conditions", conditions(pool)),
        ("Waiting", waiting(world, pool)),
    ];
    let shown = sections.into_iter().filter_map(|(title, table)| Some(format!("\n{title}\n{}", table?)));
    shown.collect()
}

fn entries(world: &World, pool: &IPPool) -> Option<String> {
    let (rules, held) = (PoolRules::read(&pool.spec), world.held(pool));
    let mut table = Table::new(&["ADDRESSES", "COUNT", "USED", "PREFIX", "GATEWAY", "DNS"]);
    for entry in &rules.entries {
        let used = held.iter().filter(|ip| entry.range.is_some_and(|range| range.contains(**ip))).count();
        let dns: Vec<String> = entry.dns.iter().map(ToString::to_string).collect();
        table.row(vec![
            or_none(entry.range),
            count(entry.range.map_or(0, |range| range.len())),
            used.to_string(),
            or_none(entry.prefix),
            or_none(entry.gateway),
            or_none((!dns.is_empty()).then(|| dns.join(","))),
        ]);
    }
    (!rules.entries.is_empty()).then(|| table.render(true))
}

fn conditions(pool: &IPPool) -> Option<String> {
    let conditions = &pool.status.as_ref()?.conditions;
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"]);
    for condition in conditions {
        table.row(vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            age(Some(&condition.last_transition_time)),
            condition.message.clone(),
        ]);
    }
    (!conditions.is_empty()).then(|| table.render(true))
}

fn waiting(world: &World, pool: &IPPool) -> Option<String> {
    const SHOWN: usize = 10;
    let waiting = world.waiting_for(pool);
    let mut table = Table::new(&["CLAIM", "AGE", "REASON"]);
    for claim in waiting.iter().take(SHOWN) {
        let status = claim.status.as_ref();
        let message = status.and_then(|status| ready(&status.conditions)).map(|ready| ready.message.clone());
        let message = message.or_else(|| status.and_then(|status| status.error_message.clone()));
        table.row(vec![claim.name_any(), age(claim.metadata.creation_timestamp.as_ref()), or_none(message)]);
    }
    let more = waiting.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("and {more} more\n") } else { String::new() };
    (!waiting.is_empty()).then(|| table.render(true) + &rest)
}

/// How long ago, as kubectl shows it.
#[expect(clippy::disallowed_methods, reason = "an age is shown, and nothing is decided by it")]
fn age(since: Option<&Time>) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    duration(jiff::Timestamp::now().as_second() - since.0.as_second())
}

/// Seconds in the one or two largest units, as kubectl shows them.
fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        172_800..63_072_000 => format!("{days}d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, shown) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (700_000, "8d"),
            (70_000_000, "2y"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
