//! One file a command; its doc comment is its help.

mod addresses;
mod check;
mod claim;
mod claims;
mod completion;
mod create_pool;
mod delete_pool;
mod explain;
mod free;
mod install;
mod map;
mod pause;
mod plan;
mod pool_checks;
mod preallocate;
mod release;
mod repair;
mod status;
mod target;
mod uninstall;
mod version;
mod whois;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::Globals;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::output::{Cell, Output};
use crate::world::{Machines, Scope};

/// Flags of commands that read objects.
#[derive(Args, Debug, Clone)]
pub struct Reading {
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects whose labels are so, such as a=b,c!=d
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

impl Reading {
    /// The objects that are meant.
    pub fn scope(&self, cluster: &Cluster) -> Scope {
        let namespace = (!self.all_namespaces).then(|| cluster.namespace.clone());
        Scope { namespace, selector: self.selector.clone() }
    }

    /// The same place, whatever the labels.
    pub fn everything(&self, cluster: &Cluster) -> Scope {
        Scope { selector: None, ..self.scope(cluster) }
    }

    /// Where that is, in words.
    pub fn place(&self, cluster: &Cluster) -> String {
        if self.all_namespaces { "any namespace".into() } else { format!("namespace {}", cluster.namespace) }
    }

    /// The column that tells namespaces apart, where there may be several.
    pub fn namespace_header(&self) -> Option<&'static str> {
        self.all_namespaces.then_some("NAMESPACE")
    }

    /// Its cell.
    pub fn namespace_cell(&self, namespace: &str) -> Option<Cell> {
        self.all_namespaces.then(|| namespace.into())
    }
}

/// The machines behind the claims, where there is a place to show them. That they cannot be read costs no more.
async fn machines(cluster: &Cluster, scope: &Scope, output: &Output) -> Machines {
    if output.is_table() && !output.is_wide() {
        return Machines::default();
    }
    Machines::read(cluster, scope).await.unwrap_or_default()
}

/// The time, for ages.
#[expect(
    clippy::disallowed_methods,
    reason = "ages are shown, and what is long stuck is told from what is under way"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    CreatePool(Box<create_pool::CreatePool>),
    Claim(claim::Claim),
    Preallocate(preallocate::Preallocate),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Release(release::Release),
    DeletePool(delete_pool::DeletePool),
    Status(status::Status),
    Addresses(addresses::Addresses),
    Claims(claims::Claims),
    Whois(whois::Whois),
    Map(map::Map),
    Free(free::Free),
    Explain(explain::Explain),
    Check(check::Check),
    Repair(repair::Repair),
    Plan(plan::Plan),
    Install(install::Install),
    Uninstall(uninstall::Uninstall),
    Completion(completion::Completion),
    Version(version::Version),
}

impl Command {
    /// Whether `--cluster` is a flag of the command's own: the Cluster API Cluster, not the kubeconfig's.
    pub fn has_own_cluster(&self) -> bool {
        matches!(self, Self::CreatePool(_) | Self::Pause(_) | Self::Resume(_))
    }

    /// Does it.
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        match self {
            Self::CreatePool(command) => command.run(globals).await,
            Self::Claim(command) => command.run(globals).await,
            Self::Preallocate(command) => command.run(globals).await,
            Self::Pause(command) => command.run(globals).await,
            Self::Resume(command) => command.run(globals).await,
            Self::Release(command) => command.run(globals).await,
            Self::DeletePool(command) => command.run(globals).await,
            Self::Status(command) => command.run(globals).await,
            Self::Addresses(command) => command.run(globals).await,
            Self::Claims(command) => command.run(globals).await,
            Self::Whois(command) => command.run(globals).await,
            Self::Map(command) => command.run(globals).await,
            Self::Free(command) => command.run(globals).await,
            Self::Explain(command) => command.run(globals).await,
            Self::Check(command) => command.run(globals).await,
            Self::Repair(command) => command.run(globals).await,
            Self::Plan(command) => command.run(globals).await,
            Self::Install(command) => command.run(globals).await,
            Self::Uninstall(command) => command.run(globals).await,
            Self::Completion(command) => command.run(globals).await,
            Self::Version(command) => command.run(globals).await,
        }
    }
}
