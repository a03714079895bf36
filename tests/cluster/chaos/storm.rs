//! One seed: some seconds of faults under a mixed load, and then everything has to settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipam::api::{Family, Kind};
use kube::api::ListParams;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use testbed::proxy::WatchHold;
use testbed::{Component, ControlPlane};
use tokio::task::JoinHandle;

use super::crew::{Crew, Manning};
use super::people::{People, make_pools};
use super::settle::settled;
use super::tally::Tally;
use crate::history::History;
use crate::scene::Scene;

/// How long the faults last.
const STORM: Duration = Duration::from_millis(2500);
const WATCHED: [&str; 5] = [
    "ippools",
    "ipclaims",
    "ipaddressclaims",
    "ipaddresses.ipam.metal3.io",
    "ipaddresses.ipam.cluster.x-k8s.io",
];

pub struct Storm {
    scene: Scene,
    rng: SmallRng,
    crew: Crew,
    people: People,
    tally: Tally,
    /// Watches that lag, and until when.
    lags: Vec<(Instant, WatchHold)>,
    /// A part of the control plane that was killed comes back.
    repair: Option<JoinHandle<()>>,
}

impl Storm {
    pub async fn run(plane: Arc<ControlPlane>, seed: u64, tally: Tally) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let scene = Scene::on(plane, Family::Metal3, &format!("chaos-{seed}")).await;
        let history = History::begin(&scene).await;
        make_pools(&scene, &mut rng).await;
        let manning = [Manning::Alone, Manning::Pair, Manning::Crowd][usize::try_from(seed % 3).unwrap()];
        let crew = Crew::start(manning, &scene, tally.clone()).await;
        let people = People::new(tally.clone(), crew.writers());
        let mut storm = Self { scene, rng, crew, people, tally, lags: Vec::new(), repair: None };
        storm.rage().await;
        storm.calm().await;
        settled(&storm.scene, &mut storm.crew, &storm.tally).await;
        let revisions = history.judge(&storm.scene, storm.crew.writers()).await;
        storm.crew.judge_terms();
        storm.tally.add("what came of it", "revisions judged", revisions);
    }

    async fn rage(&mut self) {
        let end = Instant::now() + STORM;
        while Instant::now() < end {
            match self.rng.random_range(0..100) {
                0..45 => self.people.meddle(&self.scene, &mut self.rng).await,
                45..82 => self.crew.trouble(&mut self.rng),
                82..87 => self.crew.kill(&self.scene, &mut self.rng).await,
                87..89 => self.crew.replace(&self.scene, &mut self.rng).await,
                89..92 => self.crew.stop(&mut self.rng),
                92..98 => self.disturb_watches(),
                _ => self.break_plane(),
            }
            self.lags.retain(|(until, _)| *until > Instant::now());
            self.crew.tend(&self.scene).await;
            // So that the controllers get somewhere between two faults.
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..40))).await;
        }
    }

    /// Watches lag, are cut, or are declared too old.
    fn disturb_watches(&mut self) {
        let kind = WATCHED[self.rng.random_range(0..WATCHED.len())];
        let what = self.rng.random_range(0..4);
        let time = Duration::from_millis(self.rng.random_range(100..1500));
        let proxy = self.crew.any_proxy(&mut self.rng);
        match what {
            0 => proxy.cut_watches(kind),
            1 => proxy.expire_watches(kind),
            _ => {
                let hold = proxy.hold_watch(kind);
                self.lags.push((Instant::now() + time, hold));
            }
        }
        self.tally.add("watches", ["cut", "expired", "held back", "held back"][what], 1);
    }

    /// A part of the control plane is killed and comes back, or stands still for some time.
    fn break_plane(&mut self) {
        if self.repair.as_ref().is_some_and(|repair| !repair.is_finished()) {
            return;
        }
        let plane = self.scene.plane.clone();
        let still = Duration::from_millis(self.rng.random_range(200..2000));
        let (what, component) = [
            ("API server killed and started", Component::ApiServer),
            ("etcd killed and started", Component::Etcd),
            ("API server stopped for a while", Component::ApiServer),
        ][self.rng.random_range(0..3)];
        let stops = what.contains("stopped");
        self.tally.add("control plane", what, 1);
        self.repair = Some(tokio::spawn(async move {
            if stops {
                plane.pause(component);
                tokio::time::sleep(still).await;
                plane.resume(component);
            } else {
                plane.restart(component).await.unwrap();
            }
        }));
    }

    /// The kinds are served a moment after the API server says that it is ready.
    async fn serves(&self) -> Option<()> {
        for kind in [Kind::Pool, Kind::Claim(Family::Metal3), Kind::Claim(Family::Capi)] {
            self.scene.of_kind(kind).list(&ListParams::default().limit(1)).await.ok()?;
        }
        Some(())
    }

    async fn calm(&mut self) {
        self.lags.clear();
        self.crew.calm();
        if let Some(repair) = self.repair.take() {
            repair.await.unwrap();
        }
        self.scene.until("the API server serves again", || self.serves()).await;
        self.people.leave(&self.scene).await;
    }
}
