//! `repair`

use clap::Args;
use ipam::apply::Change;

use super::check::{look_again, look_twice};
use crate::Globals;
use crate::check::{Action, Mend, mends, text};
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{plural, talk};
use crate::plan::{Consent, Plan, Step, Writing};
use crate::world::Scope;

/// Mend what `check` finds, as far as it can be mended without a person's choice
///
/// Shows the plan and asks. Each write counts only for the object that was looked at, by its UID, and does nothing where
/// that has changed meanwhile. What has to be decided by a person is listed and left alone.
#[derive(Args, Debug)]
pub struct Repair {
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    writing: Writing,
}

impl Repair {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        let cluster = globals.connection.open().await?;
        let namespace = (!self.all_namespaces).then(|| cluster.namespace.clone());
        let scope = Scope { namespace, selector: None };
        let findings = look_twice(ui, &cluster, &scope).await.map_err(failed)?;
        let (mendable, left): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| !finding.mends.is_empty());
        if !left.is_empty() {
            talk(format_args!("{}", text(&left, self.all_namespaces)));
            ui.say(&format!("{} left to you", plural(left.len(), "finding")));
        }
        let mut agreed = plan(&cluster, &mends(&mendable), self.all_namespaces).await?;
        if agreed.is_empty() {
            ui.say("there is nothing to mend");
            return Ok(());
        }
        if self.consent.ask(ui, &agreed, &self.writing)? {
            // A claim may have come back while a person thought about it: what is not wrong any more is left alone.
            let still = look_again(&cluster, &scope, &mendable).await.map_err(failed)?;
            let wrong = mends(&mendable);
            let still: Vec<Mend> = mends(&still).into_iter().filter(|mend| wrong.contains(mend)).collect();
            if still.len() < wrong.len() {
                let over = plural(wrong.len() - still.len(), "write");
                ui.say(&format!("{over} left out: what they mend has changed meanwhile"));
            }
            agreed = plan(&cluster, &still, self.all_namespaces).await?;
        }
        let plan = agreed;
        if let Some(written) = plan.carry_out(ui, &cluster, &self.writing).await? {
            self.writing.print(&written)?;
        }
        Ok(())
    }
}

/// Here, unlike in `check`, the exit code says only that it failed.
fn failed(error: Error) -> Error {
    error.of_kind(Kind::Failed)
}

/// The mends as a plan, which says of each its namespace where that is not the same for all.
pub async fn plan(cluster: &Cluster, mends: &[Mend], tells_namespace: bool) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for mend in mends {
        let object = &mend.object;
        let target = cluster.target(object.kind, &object.namespace, &object.name).await?;
        let (sign, change) = match &mend.action {
            Action::Delete { version } => {
                // A dump may not say it.
                let version = Some(version.clone()).filter(|version| !version.is_empty());
                ('-', Change::Delete { target, uid: Some(object.uid.clone()), version })
            }
            Action::Patch { subresource, ops } => {
                ('~', Change::Patch { target, subresource: *subresource, ops: ops.clone() })
            }
        };
        let place = if tells_namespace { format!("namespace {}, ", object.namespace) } else { String::new() };
        plan.add(
            Step::new(sign, &object.shown(), mend.done, change)
                .because(format!("{place}{}: {}", mend.done, mend.why))
                .or_overtaken(),
        );
    }
    Ok(plan)
}
