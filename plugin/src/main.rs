//! `kubectl ipam`: pools, claims and addresses, for people.

mod check;
mod cluster;
mod commands;
mod complete;
mod controller;
mod edit;
mod error;
mod follow;
mod interrupt;
mod lasting;
mod manifests;
mod map;
mod output;
mod plan;
mod suggest;
mod ui;
mod wait;
mod why;
mod world;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::cluster::Connection;
use crate::commands::Command;
use crate::error::{Error, Kind};
use crate::ui::Ui;

/// Create pools, claim addresses, and see how they are used
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-ipam",
    bin_name = "kubectl ipam",
    version,
    arg_required_else_help = true,
    after_help = error::EXIT_CODES
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command has.
#[derive(clap::Args, Debug)]
struct Globals {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    ui: Ui,
}

fn main() -> ExitCode {
    if complete::is_helper(std::env::args_os().next().as_ref()) {
        complete::help_kubectl(std::env::args_os().skip(1));
        return ExitCode::SUCCESS;
    }
    CompleteEnv::with_factory(|| Cli::command().bin_name("kubectl-ipam")).complete();
    let mut cli = Cli::parse();
    if cli.command.has_own_cluster() {
        cli.globals.connection.without_cluster();
    }
    let ui = &cli.globals.ui;
    ui.set_up();
    interrupt::watch();
    let result = run(&cli);
    if let Some(line) = ui.same_by_flags() {
        ui.say(&line);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::talk(format_args!("{}", error.report()));
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
    runtime.block_on(cli.command.run(&cli.globals))
}
