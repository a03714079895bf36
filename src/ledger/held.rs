//! Which address objects name a claim.

use super::Text;

/// Names of a claim's address objects. Almost always one.
#[derive(Clone, Default, Hash)]
pub(super) struct Held(Vec<Text>);

impl Held {
    pub fn insert(&mut self, name: Text) -> bool {
        let absent = !self.0.contains(&name);
        if absent {
            // There is hardly ever a second one, so no room is kept for it.
            self.0.reserve_exact(1);
            self.0.push(name);
        }
        absent
    }

    pub fn remove(&mut self, name: &Text) {
        self.0.retain(|held| held != name);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Text> {
        self.0.iter()
    }
}
