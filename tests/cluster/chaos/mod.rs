//! Fault campaigns on a control plane of their own: every kind of write × every answer, and then whatever a seed says.
//!
//! A seed decides what is done and in which order, not how long the processes take over it: a replay does the same to
//! the controllers, and they may be elsewhere when it happens.

mod crew;
mod faults;
mod leases;
mod matrix;
mod people;
mod settle;
mod storm;
mod tally;

use std::sync::Arc;
use std::time::Instant;

use testbed::{ControlPlane, Options};

use crate::scene::{CAPI_CRDS, install};
use storm::Storm;
use tally::Tally;

/// The fixed share of every test run: one seed of each crew. `make chaos` sets more.
const SEEDS: u64 = 3;
/// So many seeds share a control plane, which forgets nothing of what was written.
const SEEDS_A_PLANE: u64 = 15;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// A control plane that keeps its whole history and may be broken.
async fn plane() -> Arc<ControlPlane> {
    let options = Options { controller_manager: false, ..Options::with_history() };
    let plane = ControlPlane::start(options).await.unwrap();
    install(&plane, &CAPI_CRDS).await;
    Arc::new(plane)
}

#[tokio::test]
async fn no_seed_of_faults_doubles_leaks_or_strands_an_address() {
    let seeds: Vec<u64> = match setting("CHAOS_SEED") {
        Some(seed) => vec![seed],
        None => (0..setting("CHAOS_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let (tally, start) = (Tally::default(), Instant::now());
    let lanes = setting("CHAOS_LANES").map_or(1, |lanes| usize::try_from(lanes).unwrap().max(1));
    let each = seeds.chunks(seeds.len().div_ceil(lanes)).map(|seeds| lane(seeds, &tally));
    let failed = futures::future::join_all(each).await.concat();
    let passed = seeds.len() - failed.len();
    println!("{tally}{passed} of {} seeds passed, in {:.0?}", seeds.len(), start.elapsed());
    assert!(failed.is_empty(), "these seeds failed: {failed:?}; CHAOS_SEED=n runs one");
    for what in ["claims made", "claims bound at the end"] {
        assert!(tally.of("what came of it", what) > 0, "no {what}: this would prove nothing");
    }
}

/// Seeds one after the other, on control planes of their own; returns those that failed.
async fn lane(seeds: &[u64], tally: &Tally) -> Vec<u64> {
    let mut failed = Vec::new();
    let mut plane = plane().await;
    for (n, seed) in (0..).zip(seeds) {
        if n > 0 && n % SEEDS_A_PLANE == 0 {
            plane = self::plane().await;
        }
        let storm = Storm::run(plane.clone(), *seed, tally.clone());
        // A task of its own, so that one seed that fails does not hide the others.
        if tokio::spawn(storm).await.is_err() {
            println!("seed {seed} failed; CHAOS_SEED={seed} runs it again");
            failed.push(*seed);
            plane = self::plane().await;
        }
    }
    failed
}
