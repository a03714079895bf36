//! One file a command; its doc comment is its help.

mod claim;
mod create_pool;
mod pause;
mod release;

use clap::Subcommand;

use crate::cluster::Connection;
use crate::error::Error;

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    CreatePool(create_pool::CreatePool),
    Claim(claim::Claim),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Release(release::Release),
}

impl Command {
    /// Does it.
    pub async fn run(&self, connection: &Connection) -> Result<(), Error> {
        match self {
            Self::CreatePool(command) => command.run(connection).await,
            Self::Claim(command) => command.run(connection).await,
            Self::Pause(command) => command.run(connection).await,
            Self::Resume(command) => command.run(connection).await,
            Self::Release(command) => command.run(connection).await,
        }
    }
}
