//! `uninstall`

mod held;

use clap::Args;
use ipam::api::SYSTEM_NAMESPACE;
use serde_json::Value;

use self::held::Held;
use super::repair;
use crate::Globals;
use crate::cluster::Cluster;
use crate::controller::Controller;
use crate::error::{Error, Kind};
use crate::manifests::Installed;
use crate::output::plural;
use crate::plan::{Consent, Plan, Writing};
use crate::ui::Ui;
use crate::wait::Waiting;

/// Remove the controller from the cluster
///
/// Refuses while claims hold addresses, or pools and claims are held by the controller: nobody would let them go any
/// more, and their deletion would hang. With --drain the controller's finalizers are taken off instead. The kinds stay
/// unless --crds is given.
#[derive(Args, Debug)]
pub struct Uninstall {
    /// Take the controller's finalizers off pools, claims and addresses; they stay, and so do the machines' addresses
    #[arg(long)]
    drain: bool,
    /// Remove the kinds too, and with them all pools, claims and addresses of ipam.metal3.io
    #[arg(long)]
    crds: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Uninstall {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        let namespace = globals.connection.given_namespace().unwrap_or(SYSTEM_NAMESPACE);
        let cluster = globals.connection.open().await?;
        let held = Held::look(&cluster).await?;
        if !self.drain {
            held.refuse(self.crds)?;
        }
        let installed = Installed::look(&cluster, namespace).await?;
        let remove = self.removal(ui, &cluster, namespace, &installed, &held).await?;
        let stages = [installed.stop(), repair::plan(&cluster, &held.mends, false).await?, remove];
        let whole = Plan::of(&stages);
        if whole.is_empty() {
            let kinds =
                if installed.is_empty() { "" } else { "; the kinds are there, and --crds removes them" };
            ui.say(&format!("nothing is installed in namespace {namespace}{kinds}"));
            return Ok(());
        }
        if self.consent.ask(ui, &whole, &self.writing)? && !self.drain {
            Held::look(&cluster).await?.refuse(self.crds)?;
        }
        if !self.writing.is_real() {
            return whole.carry_out(ui, &cluster, &self.writing).await.map(drop);
        }
        let [stop, _, remove] = stages;
        let mut written = stop.carry_out(ui, &cluster, &self.writing).await?.unwrap_or_default();
        if self.drain || self.waiting.wanted() {
            let running = async || self.running(&cluster, &installed).await;
            self.waiting.until_free(ui, "the controller has ended", running).await?;
        }
        if self.drain {
            written.extend(self.let_all_go(ui, &cluster).await?);
        } else {
            // What it took hold of until it was asked to stop would be held for ever.
            const STOPPED: &str = "the controller was stopped: `kubectl ipam install` starts it again";
            Held::look(&cluster).await?.refuse(self.crds).map_err(|error| error.hint(STOPPED))?;
        }
        written.extend(remove.carry_out(ui, &cluster, &self.writing).await?.unwrap_or_default());
        self.writing.print(&written)?;
        if self.waiting.wanted() {
            self.waiting
                .until_free(ui, "all of it is gone", async || installed.going(&cluster).await)
                .await?;
        }
        Ok(())
    }

    /// Takes all of the controller's finalizers off, also what it took hold of while it was asked to stop, and what somebody
    /// else has changed at that moment.
    async fn let_all_go(&self, ui: &Ui, cluster: &Cluster) -> Result<Vec<Value>, Error> {
        const ROUNDS: usize = 10;
        let mut written = Vec::new();
        for _ in 0..ROUNDS {
            let held = Held::look(cluster).await?;
            if held.mends.is_empty() {
                return Ok(written);
            }
            let plan = repair::plan(cluster, &held.mends, false).await?;
            written.extend(plan.carry_out(ui, cluster, &self.writing).await?.unwrap_or_default());
        }
        Err(Error::new(Kind::Failed, "objects are held by the controller's finalizers again and again").hint(
            "another controller may run: `kubectl ipam version` shows who leads; the rest is still installed",
        ))
    }

    /// What is removed once nothing holds on to it.
    async fn removal(
        &self,
        ui: &Ui,
        cluster: &Cluster,
        namespace: &str,
        installed: &Installed,
        held: &Held,
    ) -> Result<Plan, Error> {
        let why = |name: &str| held.lost_with(name);
        let stays = match installed.shared(cluster).await {
            _ if held.stays_in(namespace, self.crds) => Some("pools, claims or addresses are in it".into()),
            Ok(why) => why,
            Err(error) => Some(format!("what is in it cannot be told: {}", error.line())),
        };
        let with_namespace = stays.is_none();
        if let Some(why) = stays.filter(|_| !installed.is_empty()) {
            ui.say(&format!("namespace {namespace} stays: {why}"));
        }
        if self.crds && held.foreign > 0 {
            ui.say(&format!(
                "warning: {} held by finalizers of other controllers, and the kinds go only when these let go",
                plural(held.foreign, "object")
            ));
        }
        Ok(installed.remove(self.crds.then_some(&why), with_namespace))
    }

    /// Who could still write. Finalizers that are taken off while anybody leads would come back.
    async fn running(&self, cluster: &Cluster, installed: &Installed) -> Result<Option<String>, Error> {
        let pods = installed.pods(cluster).await?;
        if pods > 0 {
            return Ok(Some(format!("{} left", plural(pods, "pod"))));
        }
        let controller = Controller::look(cluster).await;
        let leads = self.drain && matches!(controller, Controller::Leads { .. });
        Ok(leads.then(|| controller.sentence()))
    }
}
