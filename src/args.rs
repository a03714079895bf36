//! The controller's command line, and what follows from it.
//!
//! Every flag of Metal3's IPAM controller is accepted in the spellings that Go allows, so that an existing Deployment's
//! `args` start this one.

mod compat;
mod connection;
mod error;
mod log;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use crate::controller::{Election, Endpoints, Listen, Options, Process, Terms, TlsPolicy};
use clap::builder::ArgAction;
use clap::{Parser, Subcommand};
use kube::Client;

use compat::Compat;
use connection::Connection;
pub use error::Error;
use log::Log;
use values::{duration, flag, listen};

/// Hand out IP addresses from IPPools to IPClaims
#[derive(Parser, Debug)]
#[command(version, args_override_self = true)]
pub struct Args {
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    leading: Leading,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    admission: Admission,
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    compat: Compat,
    /// What is done instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary does besides.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write the CRDs that this version is built with
    Crds {
        /// Folder that they are written to
        #[arg(long, value_name = "FOLDER", default_value = "config/crd")]
        into: PathBuf,
    },
}

/// What is served.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What is served")]
struct Serving {
    /// Namespace whose pools and claims are served [default: all]
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    namespace: String,
    /// Serve only pools and claims whose label `cluster.x-k8s.io/watch-filter` has this value
    #[arg(long, value_name = "VALUE", default_value = "", hide_default_value = true)]
    watch_filter: String,
    /// Seconds that an address must have been without its claim before it is released; more than any watch lags, and more
    /// than twice what a write takes
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    orphan_grace: u64,
}

/// One controller of several.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Leader election")]
struct Leading {
    /// Write only while holding the lease, so that several replicas can run; the others stand by
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, action = ArgAction::Set, value_parser = flag)]
    leader_elect: bool,
    /// How long the others wait after the last sign of life of the leader before one takes over; whole seconds
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    leader_elect_lease_duration: Duration,
    /// How long the leader tries to renew its lease before it gives up and ends
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    leader_elect_renew_deadline: Duration,
    /// How often the lease is renewed, or tried for
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    leader_elect_retry_period: Duration,
    /// Run although another controller holds the lease; for development, where the other is known to be gone
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, action = ArgAction::Set, value_parser = flag)]
    ignore_leader: bool,
}

/// Who can reach the controller.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Health and metrics")]
struct Reach {
    /// Where /healthz and /readyz are served, by HTTP; `0` serves none
    #[arg(long, value_name = "ADDRESS", default_value = ":9440", value_parser = listen)]
    health_addr: Listen,
    /// Where /metrics is served, by HTTPS and to those who may read it; `0` serves none
    #[arg(long, value_name = "ADDRESS", default_value = ":8443", value_parser = listen)]
    diagnostics_address: Listen,
    /// Serve /metrics by plain HTTP, to everybody
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", hide_default_value = true, action = ArgAction::Set, value_parser = flag)]
    insecure_diagnostics: bool,
    /// Lowest version of TLS that is spoken: `VersionTLS12` or `VersionTLS13`
    #[arg(long, value_name = "VERSION", default_value = "VersionTLS12")]
    tls_min_version: String,
    /// Cipher suites of TLS 1.2 that are offered, by Go's names, with commas between [default: all safe ones]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tls_cipher_suites: Vec<String>,
}

/// Admission of pools, claims and addresses.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Admission webhooks")]
struct Admission {
    /// Port on which the API server asks for admission, by HTTPS; `0` serves none
    #[arg(long = "webhook-port", value_name = "PORT", default_value_t = 9443)]
    port: u16,
    /// Address of this machine on which the API server asks for admission [default: all]
    #[arg(long = "webhook-host", value_name = "HOST", default_value = "", hide_default_value = true)]
    host: String,
    /// Folder with `tls.crt` and `tls.key`; where they are not there, certificates are made, kept in a Secret and renewed
    #[arg(
        long = "webhook-cert-dir",
        value_name = "FOLDER",
        default_value = "/tmp/k8s-webhook-server/serving-certs/"
    )]
    cert_dir: PathBuf,
}

impl Args {
    /// Starts the log, and says in it what of the command line has no effect.
    pub fn start_log(&self) {
        self.log.start();
        self.compat.report();
        self.connection.report();
    }

    /// Whether the controller would start with these flags, as far as they alone can tell.
    pub fn check(&self) -> Result<(), Error> {
        self.reach.tls()?;
        self.leading.terms()?;
        Ok(())
    }

    /// Whether several replicas take turns.
    pub fn elects(&self) -> bool {
        self.leading.leader_elect
    }

    /// The controller as a process, with its ports bound.
    pub async fn process(&self) -> Result<Process, Error> {
        let (tls, unknown) = self.reach.tls()?;
        if !unknown.is_empty() {
            tracing::info!(suites = %unknown.join(","), "--tls-cipher-suites: these are too weak to be offered");
        }
        let election = self.leading.election()?;
        let config = self.connection.config().await?;
        let endpoints = Endpoints {
            health: self.reach.health_addr.clone(),
            diagnostics: self.reach.diagnostics_address.clone(),
            insecure_diagnostics: self.reach.insecure_diagnostics,
            admission: self.admission.listen(),
            certificates: self.admission.cert_dir.clone(),
            tls,
        };
        Ok(Process::new(config, self.connection.rate(), self.options(), election, endpoints)?)
    }

    /// Makes sure that the API server answers and that nobody else leads; where there is a lease to be held, holding it
    /// is what makes sure, and a server that does not answer yet is waited for.
    pub async fn make_sure(&self, client: &Client) -> Result<(), Error> {
        if self.leading.leader_elect {
            return Ok(());
        }
        self.connection.reach(client).await?;
        if self.leading.ignore_leader { Ok(()) } else { connection::refuse_if_led(client).await }
    }

    fn options(&self) -> Options {
        Options {
            namespace: self.serving.namespace.clone(),
            watch_filter: self.serving.watch_filter.clone(),
            in_flight: self.connection.in_flight(),
            grace: Duration::from_secs(self.serving.orphan_grace),
        }
    }
}

impl Admission {
    fn listen(&self) -> Listen {
        match (self.port, self.host.as_str()) {
            (0, _) => Listen::Off,
            (port, "") => Listen::Port(port),
            (port, host) => Listen::Host(host.to_owned(), port),
        }
    }
}

impl Leading {
    fn election(&self) -> Result<Option<Election>, Error> {
        if !self.leader_elect {
            return Ok(None);
        }
        Ok(Some(Election::of_this_pod(self.terms()?)))
    }

    fn terms(&self) -> Result<Terms, Error> {
        let (lease, renew, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        Terms::new(lease, renew, retry)
            .map_err(|(term, cause)| Error::Flag { flag: format!("--leader-elect-{term}"), cause })
    }
}

impl Reach {
    /// The policy, and the cipher suites that are too weak to be a part of it.
    fn tls(&self) -> Result<(TlsPolicy, Vec<String>), Error> {
        TlsPolicy::new(&self.tls_min_version, &self.tls_cipher_suites)
            .map_err(|(flag, cause)| Error::Flag { flag: flag.to_owned(), cause })
    }
}

/// Resolves when the process is asked to end.
pub async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Writes one file a CRD.
pub fn write_crds(into: &std::path::Path) -> Result<(), Error> {
    std::fs::create_dir_all(into)?;
    for (name, yaml) in crate::api::crd_files() {
        std::fs::write(into.join(name), yaml)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("ipam-controller").chain(flags.iter().copied()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_grace_in_which_nothing_could_be_published_is_refused() {
        let Err(error) = parse(&["--orphan-grace=0"]) else { panic!("it is accepted") };
        assert!(error.to_string().contains("0 is not in 1.."), "{error}");
        assert!(parse(&["--orphan-grace=1"]).is_ok());
    }

    #[test]
    fn the_arguments_of_existing_deployments_are_accepted() {
        for flags in [
            &["--webhook-port=9443", "--diagnostics-address=:8443", "--insecure-diagnostics=false"][..],
            &["--webhook-port=9443", "--diagnostics-address=:8443", "--tls-min-version=VersionTLS13"],
            &["--webhook-port=9443", "--metrics-bind-addr=localhost:8080", "--leader-elect"],
            &["--leader-elect=true", "--namespace=metal3", "--sync-period=10m", "--kube-api-qps=20"],
            &["--ippool-concurrency", "10", "--kube-api-burst", "30", "--watch-filter=", "--v=5", "-v=0"],
            &[
                "--tls-curve-preferences=29,23",
                "--logging-format=json",
                "--log-flush-frequency=5s",
                "--vmodule=",
            ],
            &["--webhook-cert-dir=/tmp/k8s-webhook-server/serving-certs/", "--health-addr=:9440"],
        ] {
            if let Err(error) = parse(flags) {
                panic!("{flags:?}: {error}");
            }
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let args = parse(&[]).unwrap();
        assert!(!args.leading.leader_elect && !args.reach.insecure_diagnostics);
        assert_eq!(args.leading.leader_elect_lease_duration, Duration::from_secs(15));
        assert_eq!(args.leading.leader_elect_renew_deadline, Duration::from_secs(10));
        assert_eq!(args.leading.leader_elect_retry_period, Duration::from_secs(2));
        assert_eq!(args.reach.health_addr, Listen::Port(9440));
        assert_eq!(args.reach.diagnostics_address, Listen::Port(8443));
        assert_eq!(args.admission.port, 9443);
        assert_eq!(args.admission.cert_dir, PathBuf::from("/tmp/k8s-webhook-server/serving-certs/"));
        assert!(args.connection.rate().is_none());
    }

    #[test]
    fn requests_are_limited_where_a_rate_is_given() {
        let limited = |flag: &str| parse(&[flag]).unwrap().connection.rate().is_some();
        assert!(limited("--kube-api-qps=20") && limited("--kube-api-qps=0.5"));
        for none in ["--kube-api-qps=0", "--kube-api-qps=-1", "--kube-api-burst=5"] {
            assert!(!limited(none), "{none}");
        }
    }

    #[test]
    fn no_more_is_under_way_than_has_its_turn_soon() {
        let in_flight = |flags: &[&str]| parse(flags).unwrap().connection.in_flight();
        assert_eq!(in_flight(&[]), 64);
        assert_eq!(in_flight(&["--max-in-flight=7"]), 7);
        assert_eq!(in_flight(&["--kube-api-qps=100"]), 64);
        assert_eq!(in_flight(&["--kube-api-qps=5"]), 25);
        assert_eq!(in_flight(&["--kube-api-qps=0.1"]), 1);
        assert_eq!(in_flight(&["--kube-api-qps=5", "--max-in-flight=7"]), 7);
    }

    #[test]
    fn a_switch_is_on_where_it_stands_alone() {
        assert!(parse(&["--leader-elect"]).unwrap().leading.leader_elect);
        assert!(parse(&["--leader-elect=T"]).unwrap().leading.leader_elect);
        assert!(!parse(&["--leader-elect", "--leader-elect=false"]).unwrap().leading.leader_elect);
    }

    #[test]
    fn a_bad_value_is_answered_with_the_flag_the_value_and_a_way_out() {
        for (flags, parts) in [
            (&["--leader-elect=maybe"][..], ["--leader-elect", "maybe", "true or false"]),
            (&["--leader-elect-retry-period=2"], ["--leader-elect-retry-period", "`2`", "2s"]),
            (&["--health-addr=9440"], ["--health-addr", "9440", ":9440"]),
            (&["--kube-api-qps=many"], ["--kube-api-qps", "many", "number"]),
            (&["--sync-period=10"], ["--sync-period", "`10`", "2s"]),
            (&["--webhook-port=https"], ["--webhook-port", "https", "invalid digit"]),
        ] {
            let said = parse(flags).unwrap_err().to_string();
            for part in parts {
                assert!(said.contains(part), "`{part}` is missing: {said}");
            }
        }
    }
}
