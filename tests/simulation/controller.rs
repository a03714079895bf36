//! One controller's end: its ledger, its watches, and its writes on their way.

use std::collections::{BTreeMap, BTreeSet};

use ipam::api::{Family, Kind};
use ipam::ledger::{Act, Config, Ledger, Outcome, Seen, Write};

use crate::server::{Event, KINDS, Server};

/// A write on its way.
#[derive(Clone)]
pub struct Sent {
    pub write: Write,
    /// What the controller is going to be told, once the server has decided.
    pub outcome: Option<Outcome>,
}

/// Where a watch stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Watch {
    #[default]
    Before,
    /// Listed; the next event is that at this position of the log.
    At(usize),
    /// The kind is not served.
    Absent,
}

/// A controller.
#[derive(Clone)]
pub struct Controller {
    pub ledger: Ledger,
    pub sent: Vec<Sent>,
    /// It reads the other family before it publishes. The controller that this project replaces does not.
    pub fences: bool,
    /// It gets to do something. A leader that lost its lease without knowing is asleep, and may wake up.
    pub awake: bool,
    /// Kinds whose watches are held back for a while.
    pub held: BTreeSet<Kind>,
    watches: BTreeMap<Kind, Watch>,
}

impl Controller {
    pub fn new(fences: bool) -> Self {
        Self::configured(fences, Config::default())
    }

    pub fn configured(fences: bool, config: Config) -> Self {
        Self {
            ledger: Ledger::new(config, KINDS),
            sent: Vec::new(),
            fences,
            awake: true,
            held: BTreeSet::new(),
            watches: KINDS.map(|kind| (kind, Watch::Before)).into(),
        }
    }

    /// Takes in the next that the watch of a kind has to tell: true if there was something.
    pub fn hear(&mut self, server: &Server, kind: Kind) -> bool {
        match self.watches[&kind] {
            Watch::At(_) | Watch::Before if !server.is_served(kind) => self.lose(kind),
            Watch::At(at) => match server.log.get(&kind).and_then(|log| log.get(at)) {
                Some(event) => {
                    self.watches.insert(kind, Watch::At(at + 1));
                    match event {
                        Event::Seen(seen) => self.ledger.observe((**seen).clone()),
                        Event::Deleted(seen) => self.ledger.deleted(seen.id(), &seen.meta().uid),
                    }
                }
                None => return false,
            },
            Watch::Absent if !server.is_served(kind) => {
                // It is looked for, and missed, again and again.
                self.ledger.serves_not(kind);
                return false;
            }
            Watch::Before | Watch::Absent => {
                let list = self.begin_list(server, kind);
                self.end_list(kind, list);
            }
        }
        true
    }

    /// The first kind of which it is not known what there is.
    pub fn unknown(&self) -> Option<Kind> {
        KINDS.into_iter().find(|kind| self.watches[kind] == Watch::Before)
    }

    /// Whether the watch of a kind is at work, so that it can break and start over.
    pub fn is_watching(&self, kind: Kind) -> bool {
        matches!(self.watches[&kind], Watch::At(_))
    }

    /// Where the watch of a kind stands in its log; nowhere before the first list.
    pub fn position(&self, kind: Kind) -> Option<usize> {
        match self.watches[&kind] {
            Watch::At(at) => Some(at),
            Watch::Before | Watch::Absent => None,
        }
    }

    fn lose(&mut self, kind: Kind) {
        self.watches.insert(kind, Watch::Absent);
        self.ledger.serves_not(kind);
    }

    /// A list is asked for; what it says is taken in by [`Controller::end_list`], after whatever happens meanwhile.
    pub fn begin_list(&mut self, server: &Server, kind: Kind) -> (usize, Vec<Seen>) {
        if matches!(kind, Kind::Claim(Family::Capi) | Kind::Address(Family::Capi)) {
            self.ledger.serves(Kind::Address(Family::Capi));
            self.ledger.serves(Kind::Claim(Family::Capi));
        }
        self.ledger.list_begins(kind);
        let objects = server.objects.values().map(|object| &object.seen);
        let position = server.log.get(&kind).map_or(0, Vec::len);
        (position, objects.filter(|seen| seen.id().kind == kind).cloned().collect())
    }

    pub fn end_list(&mut self, kind: Kind, (position, objects): (usize, Vec<Seen>)) {
        for seen in objects {
            self.ledger.list_shows(seen);
        }
        self.ledger.list_ends(kind);
        self.watches.insert(kind, Watch::At(position));
    }

    /// What the server answers to this controller, which may not care for what the other family has.
    pub fn answer(&self, write: &Write, outcome: Outcome) -> Outcome {
        let other = Kind::Address(write.subject.family().other());
        match &write.act {
            // That a kind is not served counts only once its watch has said so.
            Act::Survey { kind } if outcome == Outcome::Gone && self.ledger.is_served(*kind) => {
                Outcome::Unknown("its kind is not served".into())
            }
            Act::Survey { .. } if !self.fences => Outcome::Names { names: BTreeSet::new(), complete: true },
            Act::Look { object, .. }
                if !self.fences && object.kind == other && matches!(write.subject.kind, Kind::Claim(_)) =>
            {
                Outcome::Gone
            }
            _ => outcome,
        }
    }
}
