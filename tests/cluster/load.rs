//! Claims of both kinds that keep coming, and how long each waits for its address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ipam::api::{Family, Kind};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::scene::{Scene, published};

/// How often it is looked who is bound.
const LOOK: Duration = Duration::from_millis(50);

/// When each claim was made, and how long it had to wait.
type Waits = Arc<Mutex<BTreeMap<(Family, String), (Instant, Option<Duration>)>>>;

/// A load that goes on until it is stopped.
pub struct Load {
    waits: Waits,
    maker: JoinSet<()>,
    watcher: JoinSet<()>,
}

impl Load {
    /// A claim on pool `p` each `pause`.
    pub fn start(scene: Arc<Scene>, pause: Duration) -> Self {
        let (waits, mut maker, mut watcher) = (Waits::default(), JoinSet::new(), JoinSet::new());
        maker.spawn(make(scene.clone(), pause, waits.clone()));
        watcher.spawn(watch(scene, waits.clone()));
        Self { waits, maker, watcher }
    }

    /// How many claims are bound so far.
    pub fn bound(&self) -> usize {
        self.waits.lock().unwrap().values().filter(|(_, wait)| wait.is_some()).count()
    }

    /// The longest wait of the claims that were made after `since`; all of them have to be bound.
    pub fn longest_since(&self, since: Instant) -> Duration {
        let waits = self.waits.lock().unwrap();
        let later = waits.iter().filter(|(_, (made, _))| *made >= since);
        later
            .map(|((_, name), (_, wait))| wait.unwrap_or_else(|| panic!("{name} is not bound")))
            .max()
            .unwrap_or_default()
    }

    /// No more claims come; waits until each has an address. How many there were.
    pub async fn stop(&mut self, scene: &Scene) -> usize {
        self.maker.shutdown().await;
        let all = self.waits.lock().unwrap().len();
        let look = || async { (self.bound() == all).then_some(()) };
        scene.until("every claim of the load is bound", look).await;
        self.watcher.shutdown().await;
        all
    }
}

async fn make(scene: Arc<Scene>, pause: Duration, waits: Waits) {
    for n in 0.. {
        let (family, name) = (Family::ALL[n % 2], format!("load{n}"));
        let made = Instant::now();
        // Where the API server is away there is no claim, and nothing to wait for.
        if scene.try_create_claim(family, &name, "p", json!({})).await.is_ok() {
            waits.lock().unwrap().insert((family, name), (made, None));
        }
        tokio::time::sleep(pause).await;
    }
}

async fn watch(scene: Arc<Scene>, waits: Waits) {
    loop {
        for family in Family::ALL {
            let claims = scene.of_kind(Kind::Claim(family)).list(&ListParams::default()).await;
            let claims: Vec<DynamicObject> = claims.map(|list| list.items).unwrap_or_default();
            let mut waits = waits.lock().unwrap();
            for claim in claims.iter().filter(|claim| published(claim).is_some()) {
                if let Some((made, wait @ None)) = waits.get_mut(&(family, claim.name_any())) {
                    *wait = Some(made.elapsed());
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
