//! `ipam-controller`: hands out addresses from pools to claims.

use std::process::ExitCode;

use clap::Parser;
use ipam::args::{self, Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.command {
        Some(Command::Crds { into }) => args::write_crds(into),
        None => run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), args::Error> {
    args.start_log();
    // Before the first handshake: two backends in one process would have to be told apart at every use.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS backend was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut stopped = std::pin::pin!(args::stopped());
        let process = args.process().await?;
        tokio::select! {
            made_sure = args.make_sure(process.client()) => made_sure?,
            () = &mut stopped => return Ok(()),
        }
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ipam-controller starts");
        process.run(stopped).await?;
        tracing::info!("ipam-controller ends");
        Ok(())
    });
    // All that has to come to an end has; what still looks up a name somewhere is not waited for.
    runtime.shutdown_background();
    result
}
