//! One file a command; its doc comment is its help.

mod claim;
mod create_pool;
mod delete_pool;
mod pause;
mod preallocate;
mod release;
mod status;

use clap::Subcommand;

use crate::Globals;
use crate::error::Error;

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    CreatePool(create_pool::CreatePool),
    Claim(claim::Claim),
    Preallocate(preallocate::Preallocate),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Release(release::Release),
    DeletePool(delete_pool::DeletePool),
    Status(status::Status),
}

impl Command {
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
        }
    }
}
