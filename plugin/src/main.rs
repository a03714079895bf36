//! `kubectl ipam`: pools, claims and addresses, for people.

mod cluster;
mod commands;
mod error;
mod plan;
mod wait;

use std::process::ExitCode;

use clap::Parser;
use commands::Command;

use crate::cluster::Connection;
use crate::error::{Error, Kind};

/// Create pools, claim addresses, pause and resume
#[derive(Parser, Debug)]
#[command(name = "kubectl-ipam", bin_name = "kubectl ipam", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.report());
            error.exit_code()
        }
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    // Before the first handshake; a second call would change nothing, and there is none.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Failed, "cannot start").caused_by(error))?;
    runtime.block_on(async {
        tokio::select! {
            result = cli.command.run(&cli.connection) => result,
            _ = tokio::signal::ctrl_c() => Err(Error::new(Kind::Interrupted, "interrupted")
                .hint("what was written stays; `kubectl get ippools,ipclaims` shows it")),
        }
    })
}
