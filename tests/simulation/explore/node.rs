//! A controller of a small world, and a number for what it knows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use ipam::api::Kind;
use ipam::ledger::{Id, Now, Seen, Write};

use crate::controller::{Controller, Sent};
use crate::server::{Event, Server};

/// A controller, and a number for what it knows.
#[derive(Clone)]
pub struct Node {
    pub controller: Controller,
    /// The last version of each object that it was told of, in whatever way.
    told: BTreeMap<Id, u64>,
    /// The watch that is late: that keeps silent while time passes, or whatever happens in a swift world.
    pub silent: Option<Kind>,
    /// The write whose reply is late.
    pub held: Option<u64>,
    /// None yet where it is 0.
    pub print: u64,
}

/// A number for anything.
pub fn print(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A number for a write, whichever its own is.
pub fn print_write(write: &Write) -> u64 {
    print(&(&write.subject, &write.uid, format!("{:?}", write.act)))
}

impl Node {
    /// One that knows nothing.
    pub fn new(fences: bool) -> Self {
        Self {
            controller: Controller::new(fences),
            told: BTreeMap::new(),
            silent: None,
            held: None,
            print: 0,
        }
    }

    /// The next that the watch of a kind has to tell.
    pub fn next_event<'a>(&self, server: &'a Server, kind: Kind) -> Option<&'a Event> {
        server.log.get(&kind)?.get(self.controller.position(kind)?)
    }

    /// Notes that it has seen this.
    pub fn is_told(&mut self, seen: &Seen) {
        let version = self.told.entry(seen.id().clone()).or_default();
        *version = seen.meta().version.max(*version);
    }

    /// Whether an event is no news.
    pub fn knows(&self, event: &Event) -> bool {
        let (Event::Seen(seen) | Event::Deleted(seen)) = event;
        self.told.get(seen.id()).is_some_and(|version| seen.meta().version <= *version)
    }

    /// Works its number out again.
    pub fn renew_print(&mut self, now: Now) {
        let mut sent: Vec<(u64, u64)> = Vec::new();
        for Sent { write, outcome } in &self.controller.sent {
            let (outcome, is_held) =
                (outcome.as_ref().map(|o| format!("{o:?}")), self.held == Some(write.number));
            sent.push((print(&(print_write(write), outcome, is_held)), write.number));
        }
        sent.sort_unstable();
        let ledger = self.controller.ledger.digest(now, sent.iter().map(|(_, number)| *number));
        let sent: Vec<u64> = sent.iter().map(|(print, _)| *print).collect();
        self.print = print(&(ledger, sent, self.silent, self.controller.fences));
    }
}
