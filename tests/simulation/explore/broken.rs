//! What must not be, and how it comes to that.

use std::fmt;

use super::state::{State, Step};
use super::world::World;

/// A state that must not be, and a way to it.
pub struct Broken {
    pub why: String,
    steps: Vec<String>,
}

impl Broken {
    /// How a world begins, which may be broken already.
    pub fn begin(world: World) -> Result<State, Self> {
        State::begin(world).map_err(|why| Self { why, steps: vec!["at the beginning".into()] })
    }

    /// Walks a way again, and tells it.
    pub fn after(mut state: State, way: &[Step], why: String) -> Self {
        let mut steps = Vec::new();
        for step in way {
            steps.push(state.tell(*step));
            // The last one is what must not be.
            if state.take(*step).is_err() {
                break;
            }
        }
        Self { why, steps }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        f.write_str(&self.why)
    }
}
