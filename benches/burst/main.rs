//! Many claims on one pool at once: the controller beside the floor, on the same API server, in one run.
//!
//! The floor is a bare client that does nothing but the two unavoidable writes of an allocation (create the address,
//! publish it) and the three of a release, 64 at a time; they are the same requests as the controller's, to the byte.
//! Claims carry our finalizer when they are made, as admission leaves them; `--bare` makes them without, so that the
//! controller has to add it. The contenders take turns for several rounds, and each figure is the median of the rounds:
//! the machine's own speed changes from one minute to the next by more than what is to be told apart. Cluster API's kinds are installed, so the controller watches them and does its fence.

mod counters;
mod floor;
mod report;
mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ipam::api::{Family, Kind};
use scene::{Scene, bound_times, gone_time};
use testbed::{ControlPlane, Options};

/// Requests of the bench's own, and of the floor, under way at once.
const AT_ONCE: usize = 64;

struct Settings {
    claims: usize,
    families: Vec<Family>,
    rounds: usize,
    bare: bool,
    peer: Option<String>,
}

/// Who serves the claims.
#[derive(Clone)]
enum Contender {
    Floor,
    Controller,
    Peer(String),
}

impl Contender {
    fn name(&self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Controller => "controller",
            Self::Peer(_) => "peer",
        }
    }
}

/// What was measured of one contender.
struct Figures {
    who: &'static str,
    bound: Duration,
    /// When each tenth of the claims was bound.
    tenths: Vec<Duration>,
    released: Duration,
    /// Requests a claim until all were bound, and from then until all were gone, the claims' own deletion apart.
    requests: [BTreeMap<String, f64>; 2],
    /// Of its process, in KiB and seconds; the floor has none of its own.
    memory: Option<u64>,
    processor: Option<f64>,
    /// Processor time of the API server and etcd until all were bound, in seconds.
    servers: f64,
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else has");
    let settings = settings();
    let plane = ControlPlane::start(Options::default()).await.expect("the control plane starts");
    install(&plane).await;
    let peer = settings.peer.clone().map(Contender::Peer);
    let contenders: Vec<Contender> =
        [Contender::Floor, Contender::Controller].into_iter().chain(peer).collect();
    for family in &settings.families {
        let mut rounds = Vec::new();
        for round in 1..=settings.rounds {
            let mut round_of_all = Vec::new();
            for contender in &contenders {
                eprintln!(
                    "{}: round {round} of {}, {}",
                    Kind::Claim(*family).name(),
                    settings.rounds,
                    contender.name()
                );
                round_of_all.push(measure(&plane, &settings, *family, contender).await);
            }
            rounds.push(round_of_all);
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

/// The controller, which nobody asks how it is.
const CONTROLLER: &str = concat!(
    env!("CARGO_BIN_EXE_ipam-controller"),
    " --health-addr 0 --diagnostics-address 0 --webhook-port 0"
);

#[expect(clippy::panic, reason = "an unknown argument ends the run before it began")]
fn settings() -> Settings {
    let both = vec![Family::Metal3, Family::Capi];
    let mut settings = Settings { claims: 2000, families: both, rounds: 3, bare: false, peer: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--claims" => {
                settings.claims = arguments.next().and_then(|n| n.parse().ok()).expect("--claims N");
            }
            "--kind" => settings.families = vec![family(&arguments.next().unwrap_or_default())],
            "--rounds" => {
                settings.rounds = arguments.next().and_then(|n| n.parse().ok()).expect("--rounds N");
            }
            "--bare" => settings.bare = true,
            "--peer" => settings.peer = Some(arguments.next().expect("--peer COMMAND")),
            // What cargo adds.
            "--bench" => {}
            other => panic!(
                "unknown argument {other}; there are --claims N, --kind ipclaim|ipaddressclaim, --rounds N, \
                 --bare and --peer COMMAND"
            ),
        }
    }
    settings
}

#[expect(clippy::panic, reason = "an unknown argument ends the run before it began")]
fn family(kind: &str) -> Family {
    match kind {
        "ipclaim" => Family::Metal3,
        "ipaddressclaim" => Family::Capi,
        other => panic!("unknown kind `{other}`; there are ipclaim and ipaddressclaim"),
    }
}

async fn measure(
    plane: &ControlPlane,
    settings: &Settings,
    family: Family,
    contender: &Contender,
) -> Figures {
    let scene = Scene::new(plane, family).await;
    let claims = scene.create_claims(settings.claims, settings.bare).await;
    let (before, servers_before) = (counters::requests(plane).await, counters::servers(plane));
    let start = Instant::now();
    let watch = tokio::spawn(bound_times(scene.claims(), claims.len(), start));
    let (mut child, mut taken) = (None, Vec::new());
    match contender {
        Contender::Floor => taken = floor::allocate(&scene, &claims).await,
        Contender::Controller => child = Some(scene.start(CONTROLLER)),
        Contender::Peer(command) => child = Some(scene.start(command)),
    }
    let times = watch.await.expect("the watch ends");
    let servers = counters::servers(plane) - servers_before;
    let middle = counters::requests(plane).await;

    let start = Instant::now();
    let gone = tokio::spawn(gone_time(scene.claims(), start));
    scene.delete(&claims).await;
    if matches!(contender, Contender::Floor) {
        floor::release(&scene, &claims, &taken).await;
    }
    let released = gone.await.expect("the watch ends");
    let after = counters::requests(plane).await;
    let pid = child.as_ref().map(std::process::Child::id);
    let (memory, processor) = (pid.and_then(counters::memory), pid.and_then(counters::processor));
    if let Some(mut child) = child {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    let requests = [(&before, &middle), (&middle, &after)]
        .map(|(before, after)| counters::each(before, after, claims.len()));
    Figures {
        who: contender.name(),
        bound: *times.last().expect("there are claims"),
        tenths: (1..=10).filter_map(|n| times.get((times.len() * n / 10).checked_sub(1)?).copied()).collect(),
        released,
        requests,
        memory,
        processor,
        servers,
    }
}
