//! The real ledger over a model of the API server, with every fault that is known to have hurt a system of this kind.
//!
//! A seed decides every interleaving. `SEEDS=n` runs that many, `SEED=n` one, with a trace of what happens.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod check;
mod controller;
mod explore;
mod people;
mod restore;
mod server;
mod world;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::{Skip, StepBy};
use std::ops::Range;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use world::World;

/// The fixed share of every test run.
const SEEDS: u64 = 2_000;

/// Those of one processor.
type Seeds = StepBy<Skip<Range<u64>>>;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = setting("SEED") {
        World::new(seed, true).run().unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let (seeds, start) = (setting("SEEDS").unwrap_or(SEEDS), Instant::now());
    let steps = in_parallel(seeds, run);
    let took = start.elapsed();
    let rate = u128::from(steps) * 1000 / took.as_millis().max(1);
    println!("{seeds} seeds, {steps} steps in {took:.1?}: {rate} steps/s");
}

/// How likely something is in a mood: up to so many orders of magnitude less than what is most likely.
fn likely(mood: u64, orders: f64, what: &impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    (mood, what).hash(&mut hasher);
    let chance = SmallRng::seed_from_u64(hasher.finish()).random_range(-orders..0.0);
    10_f64.powf(chance)
}

/// Shares seeds among all processors, and sums up what each makes of its own.
fn in_parallel(seeds: u64, run: impl Fn(Seeds) -> u64 + Sync) -> u64 {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let run = &run;
        let runs =
            (0..workers).map(|worker| scope.spawn(move || run((0..seeds).skip(worker).step_by(workers))));
        let runs: Vec<_> = runs.collect();
        runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
    })
}

fn run(seeds: Seeds) -> u64 {
    seeds
        .map(|seed| {
            let mut world = World::new(seed, false);
            if let Err(broken) = world.run() {
                panic!("seed {seed}: {broken}\nreplay: make simulate SEED={seed}");
            }
            world.steps
        })
        .sum()
}
