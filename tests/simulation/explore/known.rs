//! The states that were reached, by their prints, and those of which it is open whether they lead to rest.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard};

use super::state::Step;

/// What all processors know.
#[derive(Default)]
pub struct Known {
    /// Locked one by one.
    shards: [Mutex<Shard>; SHARDS],
}

const SHARDS: usize = 32;

#[derive(Default)]
struct Shard {
    reached: HashSet<u64, BuildHasherDefault<Print>>,
    open: HashMap<u64, Open, BuildHasherDefault<Print>>,
}

/// A state of which it is not known yet whether it leads to rest.
#[derive(Default)]
struct Open {
    /// States that lead to it, and to none that is known to lead to rest.
    waiting: Vec<u64>,
    /// A way to it, once all that can happen in it was tried.
    way: Vec<Step>,
}

/// What is known of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was.
    New,
    /// Not whether it leads to rest.
    Open,
    /// That it leads to rest.
    Rests,
}

impl Known {
    fn shard(&self, print: u64) -> MutexGuard<'_, Shard> {
        // The tables go by the lowest bits and the uppermost.
        let at = usize::try_from(print >> 32).unwrap() % SHARDS;
        self.shards[at].lock().unwrap()
    }

    /// A state is reached.
    pub fn reach(&self, print: u64) -> Fate {
        let mut shard = self.shard(print);
        if shard.reached.insert(print) {
            shard.open.insert(print, Open::default());
            Fate::New
        } else if shard.open.contains_key(&print) {
            Fate::Open
        } else {
            Fate::Rests
        }
    }

    /// A state leads to rest, and with it all that lead to it.
    pub fn rests(&self, print: u64) {
        let mut rest = vec![print];
        while let Some(print) = rest.pop() {
            let open = self.shard(print).open.remove(&print);
            rest.extend(open.into_iter().flat_map(|open| open.waiting));
        }
    }

    /// One state leads to another, and waits for it as long as that is open. What is known of the other is said.
    pub fn follow(&self, from: u64, to: u64) -> Fate {
        match self.shard(to).open.get_mut(&to) {
            Some(open) => {
                open.waiting.push(from);
                Fate::Open
            }
            None => Fate::Rests,
        }
    }

    /// All that can happen in a state was tried, and it is open still.
    pub fn was_tried(&self, print: u64, way: Vec<Step>) {
        if let Some(open) = self.shard(print).open.get_mut(&print) {
            open.way = way;
        }
    }

    /// The shortest way to a state that does not lead to rest, once all is known.
    pub fn endless(self) -> Option<Vec<Step>> {
        let shards = self.shards.into_iter().map(|shard| shard.into_inner().unwrap());
        shards.flat_map(|shard| shard.open.into_values()).map(|open| open.way).min_by_key(Vec::len)
    }
}

/// A print is as good as a hash.
#[derive(Default)]
struct Print(u64);

impl Hasher for Print {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only prints are hashed")
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_rests_with_what_it_leads_to_and_the_others_stay_open() {
        let known = Known::default();
        assert_eq!(
            [1, 2, 3, 1].map(|print| known.reach(print)),
            [Fate::New, Fate::New, Fate::New, Fate::Open]
        );
        assert_eq!(known.follow(1, 2), Fate::Open);
        assert_eq!(known.follow(3, 3), Fate::Open);
        known.rests(2);
        assert_eq!([1, 2, 3].map(|print| known.reach(print)), [Fate::Rests, Fate::Rests, Fate::Open]);
        assert_eq!(known.follow(3, 1), Fate::Rests);
        known.was_tried(3, vec![Step::People]);
        assert_eq!(known.endless(), Some(vec![Step::People]));
    }
}
