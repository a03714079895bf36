//! A change is a plan before it is a deed: shown, then carried out.

use clap::{Args, ValueEnum};
use ipam::apply::{Change, Reply};

use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::interrupt;
use crate::ui::{Ui, missing};

/// What is going to be written, step by step.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Step>,
}

struct Step {
    sign: char,
    what: String,
    done: String,
    change: Change,
}

/// Flags of every command that writes.
#[derive(Args, Clone, Debug)]
pub struct Writing {
    /// Show the plan and write nothing: `client` asks nobody, `server` has the API server check it
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none", hide_default_value = true)]
    dry_run: DryRun,
}

/// Flags of every command that takes something away.
#[derive(Args, Debug)]
pub struct Consent {
    /// Do it without asking
    #[arg(short, long)]
    yes: bool,
}

/// How much of a plan is carried out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// All of it
    None,
    /// Nothing; it is shown
    Client,
    /// Nothing; the API server checks it
    Server,
}

impl Consent {
    /// Asks whether the plan is to be carried out, unless that was said, or nothing is going to be written.
    pub fn ask(&self, ui: &Ui, plan: &Plan, writing: &Writing) -> Result<(), Error> {
        if self.yes || writing.dry_run != DryRun::None || plan.steps.is_empty() {
            return Ok(());
        }
        let Some(person) = ui.person() else { return Err(missing(&["--yes"])) };
        plan.steps.iter().for_each(|step| eprintln!("{}", step.line()));
        if person.confirm("Go on?", false)? {
            return Ok(());
        }
        Err(Error::new(Kind::Failed, "not done: nothing was written"))
    }
}

impl Step {
    fn line(&self) -> String {
        format!("{} {}", self.sign, self.what)
    }
}

impl Plan {
    /// Adds a step: `sign` is `+`, `~` or `-`, `object` its kind and name, `done` a participle.
    pub fn step(&mut self, sign: char, object: &str, done: &str, change: Change) {
        let (what, done) = (object.to_owned(), format!("{object} {done}"));
        self.steps.push(Step { sign, what, done, change });
    }

    /// Shows the plan or carries it out, and says on stdout what was done. True if it was carried out.
    pub async fn carry_out(self, cluster: &Cluster, writing: &Writing) -> Result<bool, Error> {
        let applier = match writing.dry_run {
            DryRun::Client => {
                self.steps.iter().for_each(|step| println!("{}", step.line()));
                return Ok(false);
            }
            DryRun::Server => cluster.applier.clone().on_trial(),
            DryRun::None => cluster.applier.clone(),
        };
        for step in &self.steps {
            let reply = applier.carry_out(&step.change).await;
            refusal(&step.what, reply)?;
            let suffix = if writing.dry_run == DryRun::Server { " (server dry run)" } else { "" };
            println!("{}{suffix}", step.done);
            if writing.dry_run == DryRun::None {
                interrupt::note(&step.done);
            }
        }
        Ok(writing.dry_run == DryRun::None)
    }
}

/// What a reply means for the person who waits for it.
fn refusal(what: &str, reply: Reply) -> Result<(), Error> {
    let failed =
        |message: String| Error::new(Kind::Failed, format!("cannot write {what}")).caused_by(message);
    match reply {
        Reply::Object(_) | Reply::Deleted => Ok(()),
        Reply::NotFound => Err(failed("there is no such object, or its kind is not installed".into())
            .hint("`kubectl get ippools,ipclaims` shows what there is; `kubectl apply -k config/crd` installs the kinds")),
        Reply::AlreadyExists => Err(failed("it exists already".into())),
        Reply::Refused { code: 403, message } => {
            Err(failed(message).hint("your account lacks this permission; the message names verb and resource"))
        }
        Reply::GuardFailed { message } | Reply::Refused { message, .. } | Reply::NotNow { message, .. } => {
            Err(failed(message))
        }
        Reply::Unknown { message } => {
            Err(failed(message).hint("it may have been written: look before you try again"))
        }
    }
}
