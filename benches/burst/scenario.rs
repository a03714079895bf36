//! What is asked of whoever serves the claims, and what is timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DynamicObject;
use tokio::sync::oneshot;

use crate::floor::{self, Taken};
use crate::layout::{Layout, Strategy};
use crate::scene::{Scene, Served};
use crate::{Contender, Settings, counters, profile, watching};

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// All claims at once, then their release.
    Burst,
    /// The same on an IPv6 /64.
    Ipv6,
    /// The same on a pool of which all but these claims' addresses are held, so that 1 % is free, at random.
    Crowded,
    /// A full pool; a tenth as many addresses are freed as claims wait.
    Freed,
    /// All claims have their addresses; whoever serves them is killed and started again, and one claim waits.
    Restart,
}

impl Scenario {
    /// All of them, by the name that is typed.
    pub const ALL: [(&str, Self); 5] = [
        ("burst", Self::Burst),
        ("ipv6", Self::Ipv6),
        ("crowded", Self::Crowded),
        ("freed", Self::Freed),
        ("restart", Self::Restart),
    ];

    /// The pools that it takes.
    pub fn layout(self, claims: usize, pools: usize) -> Layout {
        match self {
            Self::Burst | Self::Restart => Layout::Wide(pools),
            Self::Ipv6 => Layout::Sixtyfour,
            Self::Crowded => Layout::Narrow(claims * 100, Strategy::Random),
            Self::Freed => Layout::Narrow((claims / 10).max(1), Strategy::Sequential),
        }
    }

    /// It in words.
    pub fn words(self, claims: usize, pools: usize) -> String {
        match self {
            Self::Burst if pools == 1 => format!("{claims} claims of one pool"),
            Self::Burst => format!("{claims} claims, spread over {pools} pools"),
            Self::Ipv6 => format!("{claims} claims of an IPv6 /64, at random"),
            Self::Crowded => format!("{claims} claims of a pool of {}, 99 % full, at random", claims * 100),
            Self::Freed => {
                format!("{claims} claims wait for a full pool, {} addresses are freed", claims / 10)
            }
            Self::Restart => format!("a restart with {claims} claims bound (pools: {pools})"),
        }
    }
}

/// What was measured of one contender.
pub struct Figures {
    pub who: &'static str,
    /// When each claim that counts was bound.
    pub bound: Vec<Duration>,
    /// When all were gone.
    pub released: Option<Duration>,
    /// Requests a claim until all were bound, and from then until all were gone.
    pub requests: [BTreeMap<String, f64>; 2],
    /// Peak, in KiB.
    pub memory: Option<u64>,
    /// Processor time of whoever serves, in seconds.
    pub processor: Option<f64>,
    /// Processor time of the API server and etcd until all were bound, in seconds.
    pub servers: f64,
}

/// Lets a contender do it.
pub async fn measure(scene: &Scene<'_>, settings: &Settings, contender: &Contender) -> Figures {
    match settings.scenario {
        Scenario::Burst | Scenario::Ipv6 | Scenario::Crowded => burst(scene, settings, contender).await,
        Scenario::Freed => freed(scene, settings, contender).await,
        Scenario::Restart => restart(scene, settings, contender).await,
    }
}

/// Starts to serve, or does the floor's writes for `claims`.
async fn serve(
    scene: &Scene<'_>,
    contender: &Contender,
    claims: &[DynamicObject],
    first: usize,
) -> (Option<Served>, Vec<Taken>) {
    match contender.command() {
        None => (None, floor::allocate(scene, claims, first).await),
        Some(command) => (Some(scene.start(command)), Vec::new()),
    }
}

async fn burst(scene: &Scene<'_>, settings: &Settings, contender: &Contender) -> Figures {
    let first = if settings.scenario == Scenario::Crowded { settings.claims * 99 } else { 0 };
    scene.occupy(first).await;
    let claims = scene.create_claims("claim", settings.claims, settings.bare).await;
    let before = Counts::now(scene).await;
    let start = Instant::now();
    let watch = tokio::spawn(watching::bound(scene.claims(), "claim", claims.len(), start));
    let profile = settings.profiles.as_ref().map(|folder| profile::begin(scene, contender, folder));
    let _readers = matches!(contender, Contender::WatchedFloor).then(|| watching::read(scene));
    let (served, taken) = serve(scene, contender, &claims, first).await;
    let bound = watch.await.expect("the watch ends");
    let middle = Counts::now(scene).await;
    if let Some(profile) = profile {
        profile.await.expect("the profile can be kept");
    }
    let (mut released, mut requests) = (None, [before.until(&middle, claims.len()), BTreeMap::new()]);
    if !settings.keep {
        let (tell, listed) = oneshot::channel();
        let gone = tokio::spawn(watching::gone(scene.claims(), tell));
        listed.await.expect("the watch begins");
        let start = Instant::now();
        match &served {
            None => floor::release(scene, &claims, &taken).await,
            Some(_) => scene.delete(&claims).await,
        }
        released = Some(gone.await.expect("the watch ends") - start);
        requests[1] = middle.until(&Counts::now(scene).await, claims.len());
    }
    Figures {
        released,
        requests,
        ..figures(contender, bound, served.as_ref(), middle.servers - before.servers)
    }
}

async fn freed(scene: &Scene<'_>, settings: &Settings, contender: &Contender) -> Figures {
    let room = (settings.claims / 10).max(1);
    let holders = scene.create_claims("holds", room, settings.bare).await;
    let watch = tokio::spawn(watching::bound(scene.claims(), "holds", room, Instant::now()));
    let (served, taken) = serve(scene, contender, &holders, 0).await;
    drop(watch.await.expect("the watch ends"));
    let waiting = scene.create_claims("waits", settings.claims, settings.bare).await;
    if served.is_some() {
        watching::waiting(scene.claims(), "waits", waiting.len()).await;
    }
    let before = Counts::now(scene).await;
    let start = Instant::now();
    let watch = tokio::spawn(watching::bound(scene.claims(), "waits", room, start));
    match &served {
        None => floor::hand_on(scene, &holders, &taken, &waiting).await,
        Some(_) => scene.delete(&holders).await,
    }
    let bound = watch.await.expect("the watch ends");
    let after = Counts::now(scene).await;
    let requests = [before.until(&after, room), BTreeMap::new()];
    Figures { requests, ..figures(contender, bound, served.as_ref(), after.servers - before.servers) }
}

async fn restart(scene: &Scene<'_>, settings: &Settings, contender: &Contender) -> Figures {
    let claims = scene.create_claims("claim", settings.claims, settings.bare).await;
    let watch = tokio::spawn(watching::bound(scene.claims(), "claim", claims.len(), Instant::now()));
    let (served, _) = serve(scene, contender, &claims, 0).await;
    drop(watch.await.expect("the watch ends"));
    // While nobody serves it, this claim waits.
    drop(served);
    let late = scene.create_claims("late", 1, settings.bare).await;
    let before = Counts::now(scene).await;
    let start = Instant::now();
    let watch = tokio::spawn(watching::bound_alone(scene.claims(), late[0].name_any(), start));
    let (served, _) = serve(scene, contender, &late, settings.claims).await;
    let bound = watch.await.expect("the watch ends");
    let after = Counts::now(scene).await;
    let requests = [before.until(&after, 1), BTreeMap::new()];
    Figures { requests, ..figures(contender, bound, served.as_ref(), after.servers - before.servers) }
}

fn figures(contender: &Contender, bound: Vec<Duration>, served: Option<&Served>, servers: f64) -> Figures {
    Figures {
        who: contender.name(),
        bound,
        released: None,
        requests: Default::default(),
        memory: served.map(Served::pid).and_then(counters::memory),
        processor: served.map(Served::pid).and_then(counters::processor),
        servers,
    }
}

/// What was counted up to a moment.
struct Counts {
    requests: BTreeMap<String, f64>,
    servers: f64,
}

impl Counts {
    async fn now(scene: &Scene<'_>) -> Self {
        Self { requests: counters::requests(scene.plane).await, servers: counters::servers(scene.plane) }
    }

    /// The requests from here to there, a claim.
    fn until(&self, later: &Self, claims: usize) -> BTreeMap<String, f64> {
        counters::each(&self.requests, &later.requests, claims)
    }
}
