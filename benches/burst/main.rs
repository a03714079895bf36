//! Many claims at once: the controller beside the floor, on the same API server, in one run.
//!
//! The floor is a bare client that does nothing but the two unavoidable writes of an allocation (create the address,
//! publish it) and the three of a release, 64 at a time; they are the same requests as the controller's, to the byte.
//! Claims carry our finalizer when they are made, as admission leaves them; `--bare` makes them without, so that the
//! controller has to add it. The contenders take turns for several rounds, and each figure is the median of the rounds:
//! the machine's own speed changes from one minute to the next by more than what is to be told apart. Cluster API's kinds
//! are installed, so the controller watches them and does its fence.

mod counters;
mod floor;
mod layout;
mod profile;
mod report;
mod scenario;
mod scene;
mod watching;

use std::path::PathBuf;

use ipam::api::{Family, Kind};
use scenario::Scenario;
use scene::Scene;
use testbed::{ControlPlane, Options};

/// Requests of the bench's own, and of the floor, under way at once.
const AT_ONCE: usize = 64;

struct Settings {
    scenario: Scenario,
    claims: usize,
    pools: usize,
    families: Vec<Family>,
    rounds: usize,
    bare: bool,
    /// The claims are bound, and that is all: a release takes longer than that.
    keep: bool,
    /// The requests a claim are shown by verb, resource and code.
    requests: bool,
    /// Where profiles of the API server are left.
    profiles: Option<PathBuf>,
    /// The floor comes first.
    contenders: Vec<Contender>,
}

/// Who serves the claims.
enum Contender {
    Floor,
    /// The floor's writes, while bare readers take what the watches of a controller would get.
    WatchedFloor,
    Controller,
    Peer(String),
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::WatchedFloor => "floor, watched",
            Self::Controller => "controller",
            Self::Peer(_) => "peer",
        }
    }

    /// How it is started; the floor is this process.
    fn command(&self) -> Option<&str> {
        match self {
            Self::Floor | Self::WatchedFloor => None,
            Self::Controller => Some(CONTROLLER),
            Self::Peer(command) => Some(command),
        }
    }
}

/// The controller, which nobody asks how it is.
const CONTROLLER: &str = concat!(
    env!("CARGO_BIN_EXE_ipam-controller"),
    " --health-addr 0 --diagnostics-address 0 --webhook-port 0"
);

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else has");
    let settings = settings();
    for family in &settings.families {
        let mut rounds = Vec::new();
        for round in 1..=settings.rounds {
            let mut row = Vec::new();
            for contender in &settings.contenders {
                let kind = Kind::Claim(*family).name();
                eprintln!("{kind}: round {round} of {}, {}", settings.rounds, contender.name());
                // One of its own: what another has left behind would have to be read, and served, by the next.
                let plane = ControlPlane::start(Options::default()).await.expect("the control plane starts");
                install(&plane).await;
                let layout = settings.scenario.layout(settings.claims, settings.pools);
                let scene = Scene::new(&plane, *family, layout).await;
                row.push(scenario::measure(&scene, &settings, contender).await);
            }
            rounds.push(row);
        }
        report::print(&settings, *family, &rounds);
    }
}

async fn install(plane: &ControlPlane) {
    for (_, yaml) in ipam::api::crd_files() {
        plane.apply_yaml(&yaml).await.expect("the CRDs can be applied");
    }
    let capi = testbed::capi_crds().expect("Cluster API's module can be had");
    for file in ["ipam.cluster.x-k8s.io_ipaddressclaims", "ipam.cluster.x-k8s.io_ipaddresses"] {
        plane.apply_path(&capi.join(format!("{file}.yaml"))).await.expect("the CRDs can be applied");
    }
}

#[expect(clippy::panic, reason = "an unknown argument ends the run before it began")]
fn settings() -> Settings {
    let mut settings = Settings {
        scenario: Scenario::Burst,
        claims: 2000,
        pools: 1,
        families: Family::ALL.to_vec(),
        rounds: 3,
        bare: false,
        keep: false,
        requests: false,
        profiles: None,
        contenders: vec![Contender::Floor, Contender::Controller],
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--scenario" => settings.scenario = chosen(&value(), &Scenario::ALL),
            "--claims" => settings.claims = value().parse().expect("--claims N"),
            "--pools" => settings.pools = value().parse().expect("--pools N"),
            "--kind" => settings.families = vec![chosen(&value(), &KINDS)],
            "--rounds" => settings.rounds = value().parse().expect("--rounds N"),
            "--bare" => settings.bare = true,
            "--keep" => settings.keep = true,
            "--watched" => settings.contenders.insert(1, Contender::WatchedFloor),
            "--requests" => settings.requests = true,
            "--profile" => settings.profiles = Some(value().into()),
            "--peer" => settings.contenders.push(Contender::Peer(value())),
            // What cargo adds.
            "--bench" => {}
            other => panic!(
                "unknown argument {other}; there are --scenario S, --claims N, --pools N, --kind K, --rounds N, --bare, \
                 --keep, --watched, --requests, --profile DIR and --peer COMMAND"
            ),
        }
    }
    assert!(settings.rounds > 0, "--rounds is at least 1");
    assert!((1..=200).contains(&settings.pools), "--pools is 1 to 200");
    let is_burst = matches!(settings.scenario, Scenario::Burst | Scenario::Ipv6 | Scenario::Crowded);
    let is_watched = settings.contenders.iter().any(|contender| matches!(contender, Contender::WatchedFloor));
    assert!(
        is_burst || !(settings.keep || is_watched || settings.profiles.is_some()),
        "--keep, --watched and --profile are for burst, ipv6 and crowded"
    );
    if settings.scenario == Scenario::Restart {
        // It keeps nothing that it would have to find out again.
        settings.contenders.retain(|contender| !matches!(contender, Contender::Floor));
    }
    assert!(settings.pools == 1 || matches!(settings.scenario, Scenario::Burst | Scenario::Restart));
    settings
}

const KINDS: [(&str, Family); 2] = [("ipclaim", Family::Metal3), ("ipaddressclaim", Family::Capi)];

#[expect(clippy::panic, reason = "an unknown value ends the run before it began")]
fn chosen<T: Copy>(value: &str, of: &[(&str, T)]) -> T {
    let found = of.iter().find(|(name, _)| *name == value).map(|(_, meant)| *meant);
    let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("unknown value `{value}`; there are {}", names.join(", ")))
}
