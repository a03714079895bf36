//! Many claims on one pool at once: the controller beside the floor, on the same API server, in one run.
//!
//! The floor is a bare client that does nothing but the two unavoidable writes of an allocation (create the address,
//! publish it) and the three of a release, 64 at a time. Claims carry our finalizer when they are made, as admission
//! leaves them; `--bare` makes them without, so that the controller has to add it.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use ipam::api::{Family, IPClaim, IPPool, Kind};
use ipam::apply::{Applier, Change, PatchOp, Reply, Target, connect};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testbed::{ControlPlane, Options};

/// Requests of the bench's own, and of the floor, under way at once.
const AT_ONCE: usize = 64;

struct Settings {
    claims: usize,
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

struct Scene<'a> {
    plane: &'a ControlPlane,
    client: Client,
    namespace: String,
    applier: Applier,
}

/// What was measured of one contender.
struct Figures {
    who: &'static str,
    bound: Duration,
    tenths: (f64, f64),
    released: Duration,
    requests: BTreeMap<String, f64>,
    memory: Option<u64>,
    processor: Option<f64>,
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else has");
    let settings = settings();
    let plane = ControlPlane::start(Options::default()).await.expect("the control plane starts");
    for (_, yaml) in ipam::api::crd_files() {
        plane.apply_yaml(&yaml).await.expect("the CRDs can be applied");
    }
    let contenders = [Contender::Floor, Contender::Controller];
    let contenders = contenders.into_iter().chain(settings.peer.clone().map(Contender::Peer));
    let mut rows = Vec::new();
    for contender in contenders {
        rows.push(measure(&plane, &settings, contender).await);
    }
    report(&settings, &rows);
}

/// The controller, which nobody asks how it is.
const CONTROLLER: &str = concat!(
    env!("CARGO_BIN_EXE_ipam-controller"),
    " --health-addr 0 --diagnostics-address 0 --webhook-port 0"
);

#[expect(clippy::panic, reason = "an unknown argument ends the run before it began")]
fn settings() -> Settings {
    let mut settings = Settings { claims: 2000, bare: false, peer: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--claims" => {
                settings.claims = arguments.next().and_then(|n| n.parse().ok()).expect("--claims N");
            }
            "--bare" => settings.bare = true,
            "--peer" => settings.peer = Some(arguments.next().expect("--peer COMMAND")),
            // What cargo adds.
            "--bench" => {}
            other => panic!("unknown argument {other}; there are --claims N, --bare and --peer COMMAND"),
        }
    }
    settings
}

async fn measure(plane: &ControlPlane, settings: &Settings, contender: Contender) -> Figures {
    let namespace = plane.create_namespace("bench").await.expect("a namespace");
    let client = connect(plane.config()).expect("the CA that was made at the start can be read");
    let applier = Applier::new(client.clone(), "bench", Duration::from_mins(1));
    let scene = Scene { plane, client, namespace, applier };
    let claims = scene.prepare(settings).await;
    let before = requests(plane).await;
    let start = Instant::now();
    let watch = tokio::spawn(bound_times(scene.claims(), claims.len(), start));
    let child = match &contender {
        Contender::Floor => {
            scene.allocate(&claims).await;
            None
        }
        Contender::Controller => Some(scene.start(CONTROLLER)),
        Contender::Peer(command) => Some(scene.start(command)),
    };
    let times = watch.await.expect("the watch ends");
    let bound = *times.last().expect("there are claims");
    let middle = requests(plane).await;

    let start = Instant::now();
    let gone = tokio::spawn(gone_time(scene.claims(), start));
    scene.delete(&claims).await;
    if matches!(contender, Contender::Floor) {
        scene.release(&claims).await;
    }
    let released = gone.await.expect("the watch ends");
    let spent = child.as_ref().map(|child| (memory(child.id()), processor(child.id())));
    if let Some(mut child) = child {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    let who = match contender {
        Contender::Floor => "floor",
        Contender::Controller => "controller",
        Contender::Peer(_) => "peer",
    };
    let requests = difference(&before, &middle, claims.len());
    let (memory, processor) = spent.map_or((None, None), |(memory, processor)| (memory, processor));
    Figures { who, bound, tenths: tenths(&times), released, requests, memory, processor }
}

impl Scene<'_> {
    fn claims(&self) -> Api<IPClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn target(&self, kind: Kind, name: &str) -> Target {
        Target { resource: kind.resource(), namespace: self.namespace.clone(), name: name.to_owned() }
    }

    /// A pool, and claims that nobody serves yet: their names and UIDs.
    async fn prepare(&self, settings: &Settings) -> Vec<(String, String)> {
        let pools: Api<IPPool> = Api::namespaced(self.client.clone(), &self.namespace);
        let pool = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p"},
            "spec": {"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/8"}], "prefix": 8, "gateway": "10.0.0.1",
                     "allocationStrategy": "sequential"},
        });
        let pool = serde_json::from_value(pool).expect("a pool");
        pools.create(&PostParams::default(), &pool).await.expect("the pool can be made");
        let finalizers = if settings.bare { json!([]) } else { json!(["ipclaim.ipam.metal3.io"]) };
        let made = futures::stream::iter(0..settings.claims).map(|n| {
            let (claims, name) = (self.claims(), format!("claim-{n:06}"));
            let claim = json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
                "metadata": {"name": name, "finalizers": finalizers}, "spec": {"pool": {"name": "p"}},
            });
            async move {
                let claim = serde_json::from_value(claim).expect("a claim");
                let made = claims.create(&PostParams::default(), &claim).await.expect("a claim can be made");
                (made.name_any(), made.uid().unwrap_or_default())
            }
        });
        made.buffered(AT_ONCE).collect().await
    }

    fn start(&self, command: &str) -> Child {
        Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .env("KUBECONFIG", self.plane.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts")
    }

    /// The two writes of each allocation.
    async fn allocate(&self, claims: &[(String, String)]) {
        let work = futures::stream::iter(claims.iter().enumerate()).map(|(n, (name, uid))| async move {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0002 + u32::try_from(n).expect("fewer claims"));
            let object = format!("p-{}", ip.to_string().replace('.', "-"));
            let spec = json!({
                "address": ip, "prefix": 8, "gateway": "10.0.0.1",
                "pool": {"name": "p", "namespace": self.namespace}, "claim": {"name": name, "namespace": self.namespace},
            });
            let metadata = json!({
                "finalizers": ["ipaddress.ipam.metal3.io"], "annotations": {"ipam.metal3.io/claim-uid": uid},
            });
            let target = self.target(Kind::Address(Family::Metal3), &object);
            self.must(Change::Create { target, object: json!({"metadata": metadata, "spec": spec}) }).await;
            let ready = json!({
                "type": "Ready", "status": "True", "reason": "AddressAllocated", "message": "The address is allocated",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            let status = json!({"address": {"name": object}, "conditions": [ready]});
            let ops = vec![PatchOp::test_uid(uid.as_str()), PatchOp::add("/status", status)];
            let target = self.target(Kind::Claim(Family::Metal3), name);
            self.must(Change::Patch { target, subresource: Some("status"), ops }).await;
        });
        work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// The three writes of each release.
    async fn release(&self, claims: &[(String, String)]) {
        let work = futures::stream::iter(claims.iter().enumerate()).map(|(n, (name, uid))| async move {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0002 + u32::try_from(n).expect("fewer claims"));
            let object = format!("p-{}", ip.to_string().replace('.', "-"));
            let address = self.target(Kind::Address(Family::Metal3), &object);
            self.must(Change::Delete { target: address.clone(), uid: None, version: None }).await;
            let strip = || vec![PatchOp::remove("/metadata/finalizers/0")];
            self.must(Change::Patch { target: address, subresource: None, ops: strip() }).await;
            let target = self.target(Kind::Claim(Family::Metal3), name);
            let ops = [vec![PatchOp::test_uid(uid.as_str())], strip()].concat();
            self.must(Change::Patch { target, subresource: None, ops }).await;
        });
        work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn delete(&self, claims: &[(String, String)]) {
        let api = self.claims();
        let work = futures::stream::iter(claims).map(|(name, _)| {
            let api = api.clone();
            async move {
                drop(api.delete(name, &DeleteParams::default()).await.expect("a claim can be deleted"));
            }
        });
        work.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn must(&self, change: Change) {
        let reply = self.applier.carry_out(&change).await;
        assert!(matches!(reply, Reply::Object(_) | Reply::Deleted), "{change:?}: {reply:?}");
    }
}

/// When each claim was seen to publish its address, in order.
async fn bound_times(claims: Api<IPClaim>, count: usize, start: Instant) -> Vec<Duration> {
    let mut events = std::pin::pin!(watcher(claims, watcher::Config::default()).default_backoff());
    let mut times = BTreeMap::new();
    while times.len() < count {
        if let Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) =
            events.try_next().await.expect("the watch goes on")
            && claim.status.as_ref().is_some_and(|status| status.address.is_some())
        {
            times.entry(claim.name_any()).or_insert_with(|| start.elapsed());
        }
    }
    let mut times: Vec<Duration> = times.into_values().collect();
    times.sort_unstable();
    times
}

/// When the last claim was seen to be gone.
async fn gone_time(claims: Api<IPClaim>, start: Instant) -> Duration {
    let mut events = std::pin::pin!(watcher(claims, watcher::Config::default()).default_backoff());
    let mut left = std::collections::BTreeSet::new();
    let mut listed = false;
    while !listed || !left.is_empty() {
        match events.try_next().await.expect("the watch goes on") {
            Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) => {
                left.insert(claim.name_any());
            }
            Some(watcher::Event::Delete(claim)) => {
                left.remove(&claim.name_any());
            }
            Some(watcher::Event::InitDone) => listed = true,
            Some(watcher::Event::Init) | None => {}
        }
    }
    start.elapsed()
}

/// Claims a second in the first and in the last tenth.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn tenths(times: &[Duration]) -> (f64, f64) {
    let tenth = times.len() / 10;
    if tenth < 2 {
        return (f64::NAN, f64::NAN);
    }
    let rate = |part: &[Duration]| {
        (part.len() - 1) as f64 / part[part.len() - 1].saturating_sub(part[0]).as_secs_f64()
    };
    (rate(&times[..tenth]), rate(&times[times.len() - tenth..]))
}

/// Requests on the kinds of this project, by verb and resource, as the API server counts them.
async fn requests(plane: &ControlPlane) -> BTreeMap<String, f64> {
    let metrics = plane.metrics().await.expect("the API server tells its metrics");
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| line.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        if label("group") != Some("ipam.metal3.io") {
            continue;
        }
        let (Some(verb), Some(resource), Some(sub), Some(code)) =
            (label("verb"), label("resource"), label("subresource"), label("code"))
        else {
            continue;
        };
        let slash = if sub.is_empty() { "" } else { "/" };
        let count: f64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        *counts.entry(format!("{verb} {resource}{slash}{sub} {code}")).or_insert(0.0) += count;
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "requests a claim")]
fn difference(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
    claims: usize,
) -> BTreeMap<String, f64> {
    let each = |(key, count): (&String, &f64)| {
        (key.clone(), (count - before.get(key).unwrap_or(&0.0)) / claims as f64)
    };
    after.iter().map(each).filter(|(_, count)| *count > 0.0).collect()
}

/// Peak memory of a process, in KiB.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|line| line.starts_with("VmHWM"))?.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time of a process, in seconds.
fn processor(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "rates")]
fn report(settings: &Settings, rows: &[Figures]) {
    let finalizer =
        if settings.bare { "without finalizer" } else { "with finalizer, as admission leaves them" };
    println!("{} claims of one pool, {finalizer}; {AT_ONCE} requests at once", settings.claims);
    let floor = &rows[0];
    for row in rows {
        let rate = settings.claims as f64 / row.bound.as_secs_f64();
        let release = settings.claims as f64 / row.released.as_secs_f64();
        println!("\n{}", row.who);
        println!(
            "  bound        {rate:>8.1} claims/s   {:>5.2} of the floor",
            floor.bound.as_secs_f64() / row.bound.as_secs_f64()
        );
        println!("  first tenth  {:>8.1} claims/s   last tenth {:.1} claims/s", row.tenths.0, row.tenths.1);
        println!(
            "  released     {release:>8.1} claims/s   {:>5.2} of the floor",
            floor.released.as_secs_f64() / row.released.as_secs_f64()
        );
        if let (Some(memory), Some(processor)) = (row.memory, row.processor) {
            println!("  memory peak  {:>8.1} MiB        processor {processor:.2} s", memory as f64 / 1024.0);
        }
        println!("  requests a claim, until all were bound:");
        for (request, count) in row.requests.iter().filter(|(_, count)| **count >= 0.0005) {
            println!("    {count:>7.3}  {request}");
        }
    }
}
