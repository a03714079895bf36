//! The command line. stdout is data, stderr is talk.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Args, Parser, Subcommand};
use testbed::{
    Binaries, Error, Options, Tool,
    standing::{Standing, State},
};

/// A real Kubernetes control plane as local processes, for trying things out
///
/// The programs are taken from `KUBEBUILDER_ASSETS`, or from `PATH` if they are the pinned release, or built once from
/// pinned Go modules.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Verb,
    /// State folder of the control plane [default: a folder in the user's cache]
    #[arg(long, global = true, value_name = "DIR", env = "IPAM_TESTBED_DIR")]
    dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a control plane that stays until `testbed down`
    Up(UpArguments),
    /// End the control plane, and remove its data
    Down,
    /// Show what runs; exit with 1 if nothing does
    Status,
    /// Print the shell variables that make other tools use the control plane
    Env,
    /// Make sure that the programs are there, and print where
    Binaries,
    /// Print the folder with the CRDs of Cluster API
    CrdsCapi,
}

#[derive(Args)]
struct UpArguments {
    /// Stay in the foreground; Ctrl-C ends it
    #[arg(long)]
    foreground: bool,
    /// Let etcd wait for the disk after each write
    #[arg(long)]
    fsync: bool,
    /// Do without kube-controller-manager: no garbage collection, and namespaces do not end
    #[arg(long)]
    no_controller_manager: bool,
}

/// Carries out a command line: 0 done, 1 failed or (`status`) nothing runs; clap says 2 to what it cannot read.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let result = tokio::runtime::Runtime::new()
        .map_err(|source| Error::Run { program: "testbed".into(), source })
        .and_then(|runtime| runtime.block_on(carry_out(arguments)));
    result.unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    })
}

async fn carry_out(Arguments { command, dir }: Arguments) -> Result<ExitCode, Error> {
    let standing = Standing::new(dir.clone());
    match command {
        Verb::Up(up) if up.foreground => serve(&standing, &up).await?,
        Verb::Up(up) => start(&standing, &up, dir.as_deref()).await?,
        Verb::Down if standing.stop().await? => eprintln!("testbed: stopped"),
        Verb::Down => eprintln!("testbed: nothing runs"),
        Verb::Status => return status(&standing),
        Verb::Env => return env(&standing),
        Verb::Binaries => print_binaries(&blocking(Binaries::ensure).await?),
        Verb::CrdsCapi => println!("{}", blocking(testbed::capi_crds).await?.display()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(standing: &Standing, up: &UpArguments, dir: Option<&Path>) -> Result<(), Error> {
    if let Some(state) = standing.running()? {
        eprintln!("testbed: already running since {:.0}", state.since);
        print_exports(&state);
        return Ok(());
    }
    // Here and not in the background, so that the user sees what takes so long.
    blocking(Binaries::ensure).await?;
    let program =
        std::env::current_exe().map_err(|source| Error::Run { program: "testbed".into(), source })?;
    let mut background = Command::new(program);
    background.args(["up", "--foreground"]);
    background.args(up.fsync.then_some("--fsync"));
    background.args(up.no_controller_manager.then_some("--no-controller-manager"));
    if let Some(dir) = dir {
        background.arg("--dir").arg(std::path::absolute(dir).map_err(|source| Error::File {
            action: "find",
            path: dir.to_owned(),
            source,
        })?);
    }
    let state = standing.start(background).await?;
    eprintln!("testbed: {} at {}", state.versions, state.url);
    print_exports(&state);
    Ok(())
}

async fn serve(standing: &Standing, up: &UpArguments) -> Result<(), Error> {
    let options =
        Options { controller_manager: !up.no_controller_manager, fsync: up.fsync, ..Options::default() };
    standing.serve(options, print_exports).await
}

fn status(standing: &Standing) -> Result<ExitCode, Error> {
    let Some(state) = standing.running()? else {
        println!("not running");
        if let Some(words) = standing.last_words() {
            eprintln!("testbed: the last one ended with:\n{words}");
        }
        return Ok(ExitCode::FAILURE);
    };
    println!("running since  {:.0}", state.since);
    println!("versions       {}", state.versions);
    println!("API server     {}", state.url);
    println!("etcd           {}", state.etcd);
    println!("kubeconfig     {}", state.kubeconfig.display());
    println!("logs           {}", state.logs.display());
    let pids = state.components.iter().map(|(name, process)| format!("{name} {}", process.pid));
    println!("processes      testbed {}, {}", state.owner.pid, pids.collect::<Vec<_>>().join(", "));
    Ok(ExitCode::SUCCESS)
}

fn env(standing: &Standing) -> Result<ExitCode, Error> {
    let Some(state) = standing.running()? else {
        eprintln!("error: no control plane runs\nhint: `testbed up` starts one");
        return Ok(ExitCode::FAILURE);
    };
    let bin = standing.bin_dir();
    Binaries::ensure()?.link_into(&bin)?;
    print_exports(&state);
    println!("export PATH={}:\"$PATH\"", quoted(&bin));
    println!("export KUBEBUILDER_ASSETS={}", quoted(&bin));
    Ok(ExitCode::SUCCESS)
}

fn print_exports(state: &State) {
    println!("export KUBECONFIG={}", quoted(&state.kubeconfig));
}

fn print_binaries(binaries: &Binaries) {
    for tool in Tool::ALL {
        println!("{}", binaries.path(tool).display());
    }
}

/// A path as one word of any POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|join| std::panic::resume_unwind(join.into_panic()))
}

fn report(error: &Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(reason) = cause {
        eprintln!("  because: {reason}");
        cause = reason.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_quote_is_still_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
