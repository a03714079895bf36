//! `map`

use clap::Args;
use ipam::api::{Family, Kind as ObjectKind, PoolRules};
use serde_json::json;

use super::target::one_pool;
use crate::Globals;
use crate::error::Error;
use crate::map::{entries, picture};
use crate::output::{API_VERSION, Output, named};

/// Draw where the used, reserved, excluded and free addresses of a pool lie
///
/// Works for pools of any size: where a pool has more addresses than the picture has signs, a sign stands for several.
#[derive(Args, Debug)]
pub struct Map {
    /// Name of the pool
    #[arg(add = crate::complete::pools())]
    pool: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Map {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let (cluster, mut world, name) = one_pool(globals, self.pool.as_deref()).await?;
        world.require(&[ObjectKind::Pool, ObjectKind::Address(Family::Metal3)])?;
        world.blind_spots().iter().for_each(|line| globals.ui.say(line));
        let pool = world.pool_named(&cluster.namespace, &name)?;
        let entries = entries(&PoolRules::read(&pool.spec), &world.tallies().of(pool));
        let data = json!({
            "apiVersion": API_VERSION, "kind": "PoolMap", "namespace": cluster.namespace, "pool": name, "entries": entries,
        });
        let width = console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns));
        self.output.print_picture(&picture(&entries, width), &data, &[named(ObjectKind::Pool, &name)])
    }
}
