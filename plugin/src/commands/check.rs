//! `check`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ipam::api::{Family, IPPool, Kind as ObjectKind};
use jiff::SignedDuration;
use serde_json::json;

use super::now;
use crate::Globals;
use crate::check::{CHECKS, Finding, check, confirmed, junit, text, verdict};
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{API_VERSION, line, out};
use crate::ui::Ui;
use crate::world::{Scope, Thing, World, documents, written};

/// Find what is wrong: duplicates, leaks, dangling references, stuck deletions, pools in each other's way
///
/// Looks at a cluster, or with -f at a dump of one: a must-gather, a backup, or what `kubectl get
/// ippools.ipam.metal3.io,ipclaims.ipam.metal3.io,ipaddresses.ipam.metal3.io -A -o yaml` prints, in full as Kubernetes has
/// `ipaddresses` of its own; with Cluster API's ipaddressclaims.ipam.cluster.x-k8s.io, ipaddresses.ipam.cluster.x-k8s.io and
/// clusters.cluster.x-k8s.io where these are installed. What is old in a dump is so by when its latest file was written. Changes
/// nothing. Exit code 0: nothing is wrong, 1: something is, 2: it could not look.
#[derive(Args, Debug)]
#[command(after_long_help = ids())]
pub struct Check {
    /// YAML or JSON file or folder to look at in place of the cluster; - is stdin
    #[arg(short, long, value_name = "FILE|DIR")]
    filename: Option<PathBuf>,
    /// All namespaces; a dump is always looked at as a whole
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the output: text, json, junit or name
    #[arg(short, long, value_name = "FORM", default_value = "text", value_parser = ["text", "json", "yaml", "junit", "name"])]
    output: String,
}

/// All that it may find, for its help.
fn ids() -> String {
    let longest = CHECKS.iter().map(|(id, _)| id.len()).max().unwrap_or_default();
    let rows = CHECKS.iter().map(|(id, meaning)| format!("\n  {id:longest$}  {meaning}"));
    format!("Findings:{}", rows.collect::<String>())
}

/// Time between the two looks that a finding has to outlast.
const SECOND_LOOK: Duration = Duration::from_secs(3);

impl Check {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let findings = if let Some(path) = &self.filename {
            offline(path, &globals.ui)?
        } else {
            let cluster = globals.connection.open().await.map_err(blind)?;
            let namespace = (!self.all_namespaces).then(|| cluster.namespace.clone());
            look_twice(&globals.ui, &cluster, &Scope { namespace, selector: None }).await?
        };
        self.print(&findings)?;
        if findings.is_empty() {
            globals.ui.say("nothing is wrong");
            return Ok(());
        }
        Err(Error::new(Kind::Found, verdict(&findings)))
    }

    fn print(&self, findings: &[Finding]) -> Result<(), Error> {
        let data = json!({"apiVersion": API_VERSION, "kind": "CheckReport", "findings": findings});
        match self.output.as_str() {
            "json" => line(format_args!("{data:#}")),
            "yaml" => out(format_args!("{}", crate::output::yaml(&data)?)),
            "junit" => out(format_args!("{}", junit(findings))),
            "name" => findings.iter().for_each(|finding| line(format_args!("{}", finding.object.shown()))),
            _ => out(format_args!("{}", text(findings, self.all_namespaces || self.filename.is_some()))),
        }
        Ok(())
    }
}

/// What is wrong in a dump. One look has to do.
fn offline(path: &Path, ui: &Ui) -> Result<Vec<Finding>, Error> {
    let mut world = World::of(documents::<Thing>(path)?);
    world.require(&[ObjectKind::Pool]).map_err(blind)?;
    if world.pools.is_empty() && world.claims.is_empty() && world.addresses.is_empty() {
        let what = format!("there are no pools, claims or addresses in {}", path.display());
        return Err(Error::new(Kind::Blind, what).hint("`kubectl ipam check --help` says what a dump is"));
    }
    for gap in gaps(&world) {
        ui.say(&format!("warning: {gap}; if the dump is not complete, neither is this"));
    }
    if world.clusters.as_ref().is_some_and(Vec::is_empty) {
        // Pools say themselves whether they wait for one.
        world.clusters = None;
    }
    let now = now();
    // A copy may have lost when it was written, but not what happened before.
    let taken = written(path).map_or(now, |written| written.max(world.newest().unwrap_or(written)).min(now));
    if now.duration_since(taken) >= SignedDuration::from_mins(1) {
        ui.say(&format!("ages are as of {taken:.0}, when this was written"));
    }
    Ok(check(&world, taken))
}

/// What a dump should have, judging by what it has.
fn gaps(world: &World) -> Vec<String> {
    let has_none = world.pools.is_empty() && !(world.claims.is_empty() && world.addresses.is_empty());
    let mut gaps = Vec::from_iter(has_none.then(|| "there are claims or addresses, and no pools".to_owned()));
    let is_of_cluster = |pool: &IPPool| pool.spec.cluster_name.as_ref().is_some_and(|name| !name.is_empty());
    if world.clusters.as_ref().is_some_and(Vec::is_empty) && world.pools.iter().any(is_of_cluster) {
        gaps.push("there are pools of a Cluster, and no clusters.cluster.x-k8s.io".to_owned());
    }
    for family in Family::ALL {
        let [claim, address] =
            [ObjectKind::Claim(family), ObjectKind::Address(family)].map(ObjectKind::resource);
        let mut claims = world.claims.iter().filter(|claim| claim.family == family).peekable();
        let has_addresses = world.addresses.iter().any(|address| address.family == family);
        if claims.peek().is_none() && has_addresses {
            gaps.push(format!("there are {}.{}, and no {}", address.plural, address.group, claim.plural));
        }
        if !has_addresses && claims.any(|claim| claim.bound().is_some()) {
            gaps.push(format!(
                "there are {} that have addresses, and no {}.{}",
                claim.plural, address.plural, address.group
            ));
        }
    }
    gaps
}

fn blind(error: Error) -> Error {
    error.of_kind(Kind::Blind)
}

/// What is wrong and stays wrong. Where a first look finds something, a second one tells what was only under way.
pub async fn look_twice(ui: &Ui, cluster: &Cluster, scope: &Scope) -> Result<Vec<Finding>, Error> {
    let first = look(cluster, scope).await?;
    if first.is_empty() {
        return Ok(first);
    }
    ui.say("something may be wrong; looking again …");
    tokio::time::sleep(SECOND_LOOK).await;
    look_again(cluster, scope, &first).await
}

/// What of these findings is still so.
pub async fn look_again(cluster: &Cluster, scope: &Scope, found: &[Finding]) -> Result<Vec<Finding>, Error> {
    Ok(confirmed(found, look(cluster, scope).await?))
}

async fn look(cluster: &Cluster, scope: &Scope) -> Result<Vec<Finding>, Error> {
    let mut world = World::read(cluster, scope).await;
    world.require_all().map_err(blind)?;
    // That Clusters cannot be seen costs the reasons of claims that wait for one, and the mends of what one may have paused.
    let world = world.with_clusters(cluster, scope).await;
    Ok(check(&world, now()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    /// A dump with one deletion that was asked for at ten, and a pool of a Cluster that is not in it.
    const DUMP: &str = "
apiVersion: ipam.metal3.io/v1alpha1
kind: IPPool
metadata: {name: p, namespace: ns, uid: p}
spec: {namePrefix: p, clusterName: c, pools: [{start: 10.0.0.1, end: 10.0.0.9}]}
---
apiVersion: ipam.metal3.io/v1alpha1
kind: IPClaim
metadata: {name: c, namespace: ns, uid: c, creationTimestamp: 2026-11-24T09:00:00Z,
           deletionTimestamp: 2026-11-24T10:00:00Z, finalizers: [ipclaim.ipam.metal3.io]}
spec: {pool: {name: p}}
---
apiVersion: ipam.metal3.io/v1alpha1
kind: IPClaim
metadata: {name: d, namespace: ns, uid: d, creationTimestamp: 2026-11-24T09:00:00Z}
spec: {pool: {name: p}}
";

    #[test]
    fn how_long_something_takes_is_told_by_when_a_dump_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.yaml");
        std::fs::write(&path, DUMP).unwrap();
        let found_at = |time: &str| -> Vec<&'static str> {
            let time: Timestamp = time.parse().unwrap();
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(time.into()).unwrap();
            let found = offline(&path, &Ui::quiet()).unwrap();
            found.iter().map(|finding| finding.id).collect()
        };
        // The claim that waits is found whether or not its Cluster was dumped.
        assert_eq!(found_at("2026-11-24T10:01:00Z"), ["unserved-claim"]);
        assert_eq!(found_at("2026-11-24T10:10:00Z"), ["unserved-claim", "stuck-deletion"]);
        // A copy that lost its time is not from before what is in it.
        assert_eq!(found_at("1980-01-01T00:00:00Z"), ["unserved-claim"]);
    }

    #[test]
    fn what_is_missing_from_a_dump_is_seen_from_what_is_in_it() {
        let pool = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"namePrefix": "p"}});
        let claim = |status: Value| {
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": {"name": "c"},
                   "spec": {"pool": {"name": "p"}}, "status": status})
        };
        let (bound, waits) = (claim(json!({"address": {"name": "p-1"}})), claim(json!({})));
        let address = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": "p-1"},
                             "spec": {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}}});
        for (objects, missing) in [
            (vec![&pool, &bound, &address], 0),
            (vec![&pool, &waits], 0),
            (vec![&pool], 0),
            (vec![&pool, &bound], 1),
            (vec![&pool, &address], 1),
            (vec![&waits], 1),
            (vec![&bound], 2),
            (vec![&address], 2),
        ] {
            let world = World::of_objects(objects.iter().map(|&object| object.clone()).collect());
            assert_eq!(gaps(&world).len(), missing, "{objects:?}");
        }
    }
}
