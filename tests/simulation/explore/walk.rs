//! Chance: ways through a world that is too large to be seen whole.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::broken::Broken;
use super::state::{State, Step};
use super::world::World;
use crate::likely;

/// A way that is this long leads nowhere.
const LONG: usize = 100_000;

/// How often a will changes, by the step.
const CHANGES: f64 = 0.05;

/// Goes one way for each seed, until nothing is left that can happen, and says how many steps that were. What must hold
/// in each state does, what must hold at rest does, and each comes to rest.
pub fn walk(world: World, seeds: impl Iterator<Item = u64>) -> Result<u64, Broken> {
    let begin = Broken::begin(world)?;
    let mut steps = 0;
    for seed in seeds {
        let (mut state, mut way) = (begin.clone(), Vec::new());
        let end = go(&mut state, &mut Will::of(seed), &mut way);
        steps += u64::try_from(way.len()).unwrap();
        end.map_err(|why| Broken::after(begin.clone(), &way, format!("seed {seed}: {why}")))?;
    }
    Ok(steps)
}

fn go(state: &mut State, will: &mut Will, way: &mut Vec<Step>) -> Result<(), String> {
    while way.len() < LONG {
        let steps = state.steps();
        if State::is_at_rest(&steps) {
            state.judge_rest()?;
        }
        let Some(step) = will.choose(&steps) else { return Ok(()) };
        way.push(step);
        state.take(step)?;
    }
    Err("this way finds no rest".into())
}

/// How likely each step is. A way has a will of its own, a strong one, and changes it now and then: where all steps are
/// as likely, all ways look alike, and on none of them has one thing to wait for long while the others go on.
struct Will {
    rng: SmallRng,
    mood: u64,
}

impl Will {
    fn of(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mood = rng.random();
        Self { rng, mood }
    }

    fn choose(&mut self, steps: &[Step]) -> Option<Step> {
        if self.rng.random_bool(CHANGES) {
            self.mood = self.rng.random();
        }
        steps.choose_weighted(&mut self.rng, |step| likely(self.mood, 3.0, step)).ok().copied()
    }
}
