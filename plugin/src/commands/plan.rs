//! `plan`

use std::path::PathBuf;

use clap::Args;
use ipam::api::{Family, IPPool, Kind as ObjectKind};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::Globals;
use crate::edit::{Edit, Size, difference};
use crate::error::{Error, Kind};
use crate::output::{API_VERSION, Output, count, named, plural};
use crate::world::{Scope, World, documents};

/// Show what an edit of a pool would do, before it is applied
///
/// Capacity, addresses in use that would fall out, what admission says, and which waiting claims would be served.
/// Changes nothing. Exit code 1 where the edit would be refused.
#[derive(Args, Debug)]
pub struct Plan {
    /// File with the pools as they are to be; - is stdin
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Show the difference to the pool as it is
    #[arg(long)]
    diff: bool,
    #[command(flatten)]
    output: Output,
}

/// The pools of a document, which may be a list.
fn pools_in(document: Value, found: &mut Vec<Value>) {
    match document {
        Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
            if let Some(Value::Array(items)) = list.remove("items") {
                for item in items {
                    pools_in(item, found);
                }
            }
        }
        pool if pool["kind"] == "IPPool" => found.push(pool),
        _ => {}
    }
}

impl Plan {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let wanted = self.pools()?;
        let cluster = globals.connection.open().await?;
        let mut edits = Vec::new();
        for pool in wanted {
            let namespace = pool.namespace().unwrap_or_else(|| cluster.namespace.clone());
            let mut world = World::read(&cluster, &Scope::of(&namespace)).await;
            // Addresses that are not seen would not fall out of it.
            world.require(&[
                ObjectKind::Pool,
                ObjectKind::Address(Family::Metal3),
                ObjectKind::Address(Family::Capi),
            ])?;
            world.blind_spots().iter().for_each(|line| globals.ui.say(line));
            edits.push(Edit::of(&world, &namespace, &pool));
        }
        let pictures: Vec<String> = edits.iter().map(|edit| self.told(edit)).collect();
        let names: Vec<String> = edits.iter().map(|edit| named(ObjectKind::Pool, &edit.pool)).collect();
        let items: Vec<Value> = edits.iter().map(Edit::data).collect();
        let data = json!({"apiVersion": API_VERSION, "kind": "PoolPlanList", "items": items});
        self.output.print_picture(&pictures.join("\n"), &data, &names)?;
        let refused = edits.iter().filter(|edit| !edit.violations.is_empty()).count();
        if refused > 0 {
            return Err(Error::new(Kind::Found, format!("{} would be refused", plural(refused, "pool"))));
        }
        Ok(())
    }

    fn pools(&self) -> Result<Vec<IPPool>, Error> {
        let file = self.filename.display();
        let mut found = Vec::new();
        documents(&self.filename)?.into_iter().for_each(|document| pools_in(document, &mut found));
        if found.is_empty() {
            return Err(Error::new(Kind::Usage, format!("there is no IPPool in {file}")));
        }
        let read = |pool: Value| {
            let name = pool["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            serde_json::from_value(pool).map_err(|error| {
                Error::new(Kind::Usage, format!("the IPPool {name} in {file} cannot be read"))
                    .caused_by(error)
            })
        };
        found.into_iter().map(read).collect()
    }

    fn told(&self, edit: &Edit) -> String {
        const SHOWN: usize = 10;
        let sized = |size: fn(Size) -> u128| match edit.before {
            Some(before) => format!("{} -> {}", count(size(before)), count(size(edit.after))),
            None => count(size(edit.after)),
        };
        let mut lines = vec![
            format!("pool {} in namespace {}: {}", edit.pool, edit.namespace, edit.verb()),
            format!("  capacity   {}", sized(|size| size.capacity)),
            format!("  free       {}", sized(|size| size.free)),
        ];
        let leaving = edit.falls_out.iter().take(SHOWN);
        lines.extend(leaving.map(|(ip, claim)| format!("  falls out  {ip}, held by the claim {claim}")));
        if edit.falls_out.len() > SHOWN {
            lines.push(format!("             and {} more", edit.falls_out.len() - SHOWN));
        }
        lines.push(format!(
            "  serves     {} of {}",
            edit.served.len(),
            plural(edit.waiting, "waiting claim")
        ));
        lines.extend(edit.served.iter().take(SHOWN).map(|claim| format!("             {claim}")));
        lines.extend(edit.violations.iter().map(|violation| format!("  refused    {violation}")));
        if edit.violations.is_empty() {
            lines.push("  admission  accepts it".into());
        }
        let difference = if self.diff { difference(&edit.old_yaml, &edit.new_yaml) } else { String::new() };
        lines.join("\n") + "\n" + &difference
    }
}
