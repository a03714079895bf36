//! `pause` and `resume`

use std::collections::HashSet;

use clap::Args;
use ipam::api::{CLUSTER_NAME_LABEL, Family, Kind as ObjectKind, PAUSED_ANNOTATION};
use ipam::apply::{Change, PatchOp, pointer_token};
use ipam::ledger::Verdict;
use serde_json::{Value, json};

use super::delete_pool::chosen;
use super::target::{self, Named};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::output::{line, named, plural};
use crate::plan::{Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Awaited, Look, Waiting};
use crate::why::{Reasons, Why};
use crate::world::{Claim, Meta, Raw, Scope, Word, World, no_such};

/// Pause pools or claims: nothing is allocated or released until they are resumed
#[derive(Args, Debug)]
pub struct Pause {
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    writing: Writing,
}

/// Resume pools or claims that were paused
///
/// Waits until the claims that were waiting are served, or say why they are not.
#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

/// What is paused or resumed.
#[derive(Args, Debug)]
struct About {
    /// Names of pools, or claim/NAME
    #[arg(add = crate::complete::pools())]
    name: Vec<String>,
    /// All pools of this Cluster API Cluster (the Cluster itself is left alone)
    #[arg(long, value_name = "NAME", help_heading = "Options", add = crate::complete::clusters())]
    cluster: Option<String>,
}

/// One object that is paused or resumed.
struct Turned {
    kind: ObjectKind,
    meta: Meta,
}

/// What was turned, and the world before.
struct Turn {
    cluster: Cluster,
    turned: Vec<Turned>,
    before: World,
}

impl Pause {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        let Some(Turn { cluster, turned, .. }) = turn(ui, globals, &self.about, &self.writing, true).await?
        else {
            return Ok(());
        };
        let mut world = World::read(&cluster, &Scope::of(&cluster.namespace)).await;
        if let Err(unseen) = world.require_all() {
            // The pause itself is written.
            ui.say(&format!("warning: {}; how many claims wait is not known", unseen.line()));
            return Ok(());
        }
        for pool in turned.iter().filter(|turned| turned.kind == ObjectKind::Pool) {
            let name = &pool.meta.name;
            let waiting = waiting_claims(&world, &cluster.namespace, name).len();
            let are = if waiting == 1 { "is" } else { "are" };
            ui.say(&format!("{} of pool {name} {are} waiting", plural(waiting, "claim")));
        }
        Ok(())
    }
}

impl Resume {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        let Some(Turn { cluster, turned, before }) =
            turn(ui, globals, &self.about, &self.writing, false).await?
        else {
            return Ok(());
        };
        if !self.waiting.wanted() {
            return Ok(());
        }
        let scope = Scope::of(&cluster.namespace);
        let mut now = World::read(&cluster, &scope).await;
        now.require_all()?;
        let now = now.with_clusters(&cluster, &scope).await;
        let mut waiting: Vec<&Claim> = Vec::new();
        for turned in &turned {
            match turned.kind {
                ObjectKind::Pool => {
                    waiting.extend(waiting_claims(&before, &cluster.namespace, &turned.meta.name));
                }
                kind => waiting.extend(before.claims.iter().filter(|claim| {
                    claim.kind() == kind && claim.meta.uid == turned.meta.uid && !claim.meta.deleting()
                })),
            }
        }
        let uids: HashSet<Word> = waiting.iter().map(|claim| claim.meta.uid).collect();
        let reasons = Reasons::new(&now);
        for family in Family::ALL {
            let of =
                now.claims.iter().filter(|claim| claim.family == family && uids.contains(&claim.meta.uid));
            let mut names = Vec::new();
            for claim in of {
                match reasons.why(claim) {
                    Why::Bound { .. } | Why::Servable { .. } | Why::Exhausted { .. } => {
                        names.push(claim.meta.name.owned());
                    }
                    // Nothing that the controller does from here on would serve it.
                    why => ui.say(&format!(
                        "claim {} is not served: {}; next: `{}`",
                        claim.meta.name,
                        why.sentence(),
                        why.command(claim)
                    )),
                }
            }
            self.follow(ui, &cluster, family, &names).await?;
        }
        Ok(())
    }

    /// Waits until claims are served, or say a reason that is not the pause.
    async fn follow(
        &self,
        ui: &Ui,
        cluster: &Cluster,
        family: Family,
        names: &[String],
    ) -> Result<(), Error> {
        let look = |_: &str, claim: Option<&Raw>| {
            let Some(claim) = claim.and_then(|raw| Claim::read(family, raw.clone())) else {
                return Look::Done(Some("it was deleted meanwhile".to_owned()));
            };
            match (&claim.ready, claim.bound()) {
                (_, Some(_)) => Look::Done(None),
                (Some(ready), None) if !ready.is && ready.reason != Verdict::NOT_READY => {
                    Look::Done(Some(ready.message.owned()))
                }
                _ => Look::NotYet(claim.why().map(str::to_owned)),
            }
        };
        let kind = ObjectKind::Claim(family);
        let done = |name: &str, unserved: Option<String>| match unserved {
            Some(why) => ui.say(&format!("claim {name} is not served: {why}")),
            None if self.writing.shows_objects() => {}
            None => line(format_args!("{} served", named(kind, name))),
        };
        let awaited = Awaited { kind, names, what: &|name| format!("claim {name} is served") };
        self.waiting.until_each(cluster, &awaited, ui, look, done).await
    }
}

fn waiting_claims<'a>(world: &'a World, namespace: &str, pool: &str) -> Vec<&'a Claim> {
    let waits =
        |claim: &&Claim| claim.is_of(namespace, pool) && claim.bound().is_none() && !claim.meta.deleting();
    world.claims.iter().filter(waits).collect()
}

/// Writes what is not as wanted; none where nothing was to be kept.
async fn turn(
    ui: &Ui,
    globals: &Globals,
    about: &About,
    writing: &Writing,
    pause: bool,
) -> Result<Option<Turn>, Error> {
    if about.name.is_empty() && about.cluster.is_none() && ui.person().is_none() {
        return Err(missing(&["POOL or --cluster NAME"]));
    }
    let cluster = globals.connection.open().await?;
    let turned = about.objects(ui, &cluster).await?;
    // Seen before the write: afterwards, claims that waited may be served already.
    let before =
        if pause { World::default() } else { World::read(&cluster, &Scope::of(&cluster.namespace)).await };
    let mut plan = Plan::default();
    for Turned { kind, meta } in &turned {
        let (object, ops) = (named(*kind, &meta.name), ops(meta, pause));
        let done = if pause { "paused" } else { "resumed" };
        if ops.is_empty() {
            if !writing.shows_objects() {
                line(format_args!("{object} {done} (unchanged)"));
            }
            continue;
        }
        let target = cluster.target(*kind, &meta.namespace, &meta.name).await?;
        plan.step('~', &object, done, Change::Patch { target, subresource: None, ops });
    }
    let written = plan.carry_out(ui, &cluster, writing).await?;
    let Some(written) = written else { return Ok(None) };
    writing.print(&written)?;
    Ok(Some(Turn { cluster, turned, before }))
}

impl About {
    async fn objects(&self, ui: &Ui, cluster: &Cluster) -> Result<Vec<Turned>, Error> {
        let (mut found, names) = match &self.cluster {
            Some(name) => (pools_of(cluster, name).await?, self.name.clone()),
            None => (Vec::new(), chosen(&self.name, ui, cluster).await?),
        };
        for name in names {
            found.push(one(cluster, &name).await?);
        }
        Ok(found)
    }
}

async fn one(cluster: &Cluster, name: &str) -> Result<Turned, Error> {
    match Named::read(name, Named::Pool)? {
        Named::Pool(name) => {
            Ok(Turned { kind: ObjectKind::Pool, meta: target::pool::<Raw>(cluster, &name).await?.metadata })
        }
        Named::Claim(family, name) => {
            let claim = target::claim(cluster, family, &name).await?;
            Ok(Turned { kind: claim.kind(), meta: claim.meta })
        }
    }
}

/// The pools of a Cluster.
async fn pools_of(cluster: &Cluster, name: &str) -> Result<Vec<Turned>, Error> {
    let (mut found, mut clusters) = (Vec::new(), Vec::new());
    let add = |raw: Raw| {
        let of = raw.spec["clusterName"].as_str().map(str::to_owned);
        let of = of.or_else(|| raw.metadata.labels.get(CLUSTER_NAME_LABEL).map(str::to_owned));
        match of {
            Some(of) if of == name => found.push(Turned { kind: ObjectKind::Pool, meta: raw.metadata }),
            other => clusters.extend(other),
        }
    };
    cluster.each(ObjectKind::Pool, &Scope::of(&cluster.namespace), add).await?;
    if found.is_empty() {
        let known: Vec<&str> = clusters.iter().map(String::as_str).collect();
        return Err(no_such(
            "pool of Cluster",
            name,
            &cluster.namespace,
            &known,
            "`kubectl ipam status` shows whose they are",
        ));
    }
    Ok(found)
}

/// The patch that sets or removes the annotation; empty where it is as wanted.
fn ops(meta: &Meta, pause: bool) -> Vec<PatchOp> {
    let uid = PatchOp::test_uid(&meta.uid);
    let member = format!("/metadata/annotations/{}", pointer_token(PAUSED_ANNOTATION));
    match (pause, meta.paused()) {
        (true, true) | (false, false) => Vec::new(),
        (false, true) => vec![uid, PatchOp::remove(member)],
        (true, false) if !meta.annotations.is_empty() => vec![uid, PatchOp::add(member, "")],
        (true, false) => vec![
            uid,
            PatchOp::test("/metadata/annotations", Value::Null),
            PatchOp::add("/metadata/annotations", json!({PAUSED_ANNOTATION: ""})),
        ],
    }
}
