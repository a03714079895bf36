//! `pause` and `resume`

use clap::Args;
use ipam::api::{Family, IPClaim, IPPool, Kind as ObjectKind, PAUSED_ANNOTATION};
use ipam::apply::{Change, PatchOp, pointer_token};
use kube::core::ObjectMeta;
use serde_json::json;

use crate::cluster::{Cluster, Connection};
use crate::error::{Error, api};
use crate::plan::{Plan, Writing};

/// Pause pools or claims: nothing is allocated or released until they are resumed
#[derive(Args, Debug)]
pub struct Pause {
    /// Names of pools, or claim/NAME
    #[arg(required = true)]
    name: Vec<String>,
    #[command(flatten)]
    writing: Writing,
}

/// Resume pools or claims that were paused
#[derive(Args, Debug)]
pub struct Resume {
    /// Names of pools, or claim/NAME
    #[arg(required = true)]
    name: Vec<String>,
    #[command(flatten)]
    writing: Writing,
}

impl Pause {
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        turn(connection, &self.name, &self.writing, true).await
    }
}

impl Resume {
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        turn(connection, &self.name, &self.writing, false).await
    }
}

async fn turn(
    connection: &Connection,
    names: &[String],
    writing: &Writing,
    pause: bool,
) -> Result<(), Error> {
    let cluster = connection.open().await?;
    let mut plan = Plan::default();
    for name in names {
        let (kind, name) = match name.split_once('/') {
            Some(("claim" | "ipclaim", name)) => (ObjectKind::Claim(Family::Metal3), name),
            _ => (ObjectKind::Pool, name.as_str()),
        };
        let meta = meta(&cluster, kind, name).await?;
        let ops = ops(&meta, pause);
        let object = format!("{}.ipam.metal3.io/{name}", kind.name().to_lowercase());
        let done = if pause { "paused" } else { "resumed" };
        if ops.is_empty() {
            println!("{object} {done} (unchanged)");
            continue;
        }
        let target = cluster.target(kind, name);
        plan.step('~', &object, done, Change::Patch { target, subresource: None, ops });
    }
    plan.carry_out(&cluster, writing).await.map(drop)
}

async fn meta(cluster: &Cluster, kind: ObjectKind, name: &str) -> Result<ObjectMeta, Error> {
    let meta = match kind {
        ObjectKind::Pool => cluster.objects::<IPPool>().get(name).await.map(|pool| pool.metadata),
        _ => cluster.objects::<IPClaim>().get(name).await.map(|claim| claim.metadata),
    };
    meta.map_err(|error| api(&format!("read {} {name}", kind.name()), error))
}

/// The patch that sets or removes the annotation; empty where it is as wanted.
fn ops(meta: &ObjectMeta, pause: bool) -> Vec<PatchOp> {
    let uid = PatchOp::test_uid(meta.uid.as_deref().unwrap_or_default());
    let paused =
        meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(PAUSED_ANNOTATION));
    let member = format!("/metadata/annotations/{}", pointer_token(PAUSED_ANNOTATION));
    match (pause, paused) {
        (true, true) | (false, false) => Vec::new(),
        (false, true) => vec![uid, PatchOp::remove(member)],
        (true, false) if meta.annotations.is_some() => vec![uid, PatchOp::add(member, "")],
        (true, false) => vec![
            uid,
            PatchOp::test("/metadata/annotations", serde_json::Value::Null),
            PatchOp::add("/metadata/annotations", json!({PAUSED_ANNOTATION: ""})),
        ],
    }
}
