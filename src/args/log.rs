//! The log: what of it, and in which form.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How the log looks.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Form of the log
    #[arg(long, value_enum, default_value_t = Format::Text)]
    logging_format: Format,
    /// Level of detail of the log; 4 and more show each write
    #[arg(short, long, value_name = "LEVEL", default_value_t = 0)]
    v: u8,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Log {
    /// Starts the log, to stderr.
    pub fn start(&self) {
        let level = match self.v {
            0..=3 => "info",
            4 => "info,ipam=debug",
            _ => "debug",
        };
        // kube logs every answer of 5xx as an error of its own; what became of a write is said by the controller.
        let default = format!("{level},kube_client::client=warn");
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.logging_format {
            Format::Text => log.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
            Format::Json => log.json().flatten_event(true).init(),
        }
    }
}
