//! `free`

use std::net::IpAddr;

use clap::Args;
use ipam::addr::{Range, Space};
use ipam::api::PoolRules;
use serde::Serialize;

use super::target::one_pool;
use crate::Globals;
use crate::error::{Error, Kind};
use crate::output::{Answer, Output, Table, count};

/// Show free addresses of a pool; nothing is changed or reserved
///
/// The lowest ones, in the order of the addresses. `kubectl ipam preallocate POOL CLAIM --free` reserves one.
#[derive(Args, Debug)]
pub struct Free {
    /// Name of the pool
    #[arg(add = crate::complete::pools())]
    pool: Option<String>,
    /// How many
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// All in a row
    #[arg(long)]
    contiguous: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Row {
    address: String,
}

impl Free {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (cluster, mut world, name) = one_pool(globals, self.pool.as_deref()).await?;
        // What is not seen would be taken for free.
        world.require_all()?;
        let pool = world.pool_named(&cluster.namespace, &name)?;
        let space = world.tallies().of(pool).space(&PoolRules::read(&pool.spec));
        let found = pick(&space, self.count as usize, self.contiguous);
        if found.len() < self.count as usize {
            let (n, free) = (self.count, count(space.free()));
            let how = if self.contiguous { " in a row" } else { "" };
            return Err(Error::new(Kind::Failed, format!("the pool {name} has no {n} free addresses{how}"))
                .caused_by(format!("{free} are free"))
                .hint(format!("`kubectl ipam map {name}` shows where")));
        }
        let rows: Vec<Row> = found.iter().map(|ip| Row { address: ip.to_string() }).collect();
        let mut table = Table::new(&["ADDRESS"]);
        for row in &rows {
            table.row(vec![row.address.as_str().into()]);
        }
        let names = rows.iter().map(|row| row.address.clone()).collect();
        self.output.print(&Answer::new("FreeAddressList", &rows, table, names)?)
    }
}

/// The lowest free addresses; none where there are not that many in a row and they have to be.
fn pick(space: &Space, n: usize, contiguous: bool) -> Vec<IpAddr> {
    if contiguous {
        let run = space.free_ranges().find(|range| range.len() >= n as u128);
        return run.map(|range| first_of(range, n)).unwrap_or_default();
    }
    let mut found = Vec::new();
    for range in space.free_ranges() {
        found.extend(first_of(range, n - found.len()));
        if found.len() == n {
            break;
        }
    }
    found
}

fn first_of(range: Range, n: usize) -> Vec<IpAddr> {
    let next = |ip: &IpAddr| match *ip {
        IpAddr::V4(ip) => Some(IpAddr::from(std::net::Ipv4Addr::from_bits(ip.to_bits().checked_add(1)?))),
        IpAddr::V6(ip) => Some(IpAddr::from(std::net::Ipv6Addr::from_bits(ip.to_bits().checked_add(1)?))),
    };
    let inside = |ip: &IpAddr| range.contains(*ip);
    std::iter::successors(Some(range.first()), next).take_while(inside).take(n).collect()
}

#[cfg(test)]
mod tests {
    use ipam::api::{IPPoolSpec, PoolEntry};

    use super::*;

    #[test]
    fn free_addresses_are_the_lowest_or_the_first_run_that_is_long_enough() {
        let entry = PoolEntry { start: Some("255.255.255.250".into()), ..PoolEntry::default() };
        let mut space = PoolRules::read(&IPPoolSpec { pools: vec![entry], ..IPPoolSpec::default() }).space();
        space.take("255.255.255.252".parse().unwrap());
        let pick = |n, contiguous| -> Vec<u8> {
            let last = |ip: IpAddr| ip.to_string().rsplit('.').next().unwrap().parse().unwrap();
            pick(&space, n, contiguous).into_iter().map(last).collect()
        };
        assert_eq!(pick(3, false), [250, 251, 253]);
        assert_eq!(pick(3, true), [253, 254, 255]);
        assert_eq!(pick(9, false), [250, 251, 253, 254, 255]);
        assert!(pick(4, true).is_empty());
    }
}
