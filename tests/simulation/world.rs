//! One run: a seed decides what happens next.

use std::time::Duration;

use ipam::api::Kind;
use ipam::ledger::{Act, Now, Outcome, Shown, Write};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::check::Check;
use crate::controller::{Controller, Sent};
use crate::likely;
use crate::restore::{Lost, sweeps_one_in_use};
use crate::server::{KINDS, Server, nth};

/// One run.
#[expect(clippy::struct_excessive_bools, reason = "each is a circumstance of its own")]
pub struct World {
    pub server: Server,
    /// The controllers that run; more than one is a fault that has to do no harm.
    pub controllers: Vec<Controller>,
    /// Writes whose reply the controller was told to be lost, and which may still take effect.
    late: Vec<(Write, Whose)>,
    now: Duration,
    pub rng: SmallRng,
    pub check: Check,
    /// Objects that were lost, and may come back from a backup.
    pub lost: Vec<Lost>,
    /// There was more than one controller.
    crowded: bool,
    /// Faults and people's doings still happen.
    stormy: bool,
    /// What is likely for a while.
    mood: u64,
    /// People only make claims and delete them.
    pub polite: bool,
    pub steps: u64,
    trace: bool,
}

/// What a controller does, and what is done with its writes.
#[derive(Clone, Copy, Hash)]
enum Deed {
    Hear,
    Decide,
    Execute,
    Reply,
}

/// Who sent a write, as far as its effect is judged by that.
#[derive(Clone, Copy)]
pub struct Whose {
    /// It reads the other family before it publishes.
    pub fences: bool,
    /// Nobody else writes, and nothing comes late: what it does must be right at the moment at which it is done.
    pub alone: bool,
}

impl World {
    /// A world of its own for each seed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut world = Self {
            server: Server::default(),
            controllers: vec![Controller::new(true)],
            late: Vec::new(),
            now: Duration::from_secs(1),
            rng: SmallRng::seed_from_u64(seed),
            check: Check::default(),
            lost: Vec::new(),
            crowded: false,
            stormy: true,
            mood: seed,
            polite: false,
            steps: 0,
            trace,
        };
        world.polite = world.chance(0.3);
        world.server.without_capi = world.chance(0.2);
        if world.chance(0.4) {
            let fences = world.chance(0.7);
            world.controllers.push(Controller::new(fences));
            world.crowded = true;
        }
        for name in ["p", "q"] {
            if world.chance(0.8) {
                world.create_pool(name);
            }
        }
        if world.chance(0.7) {
            world.create_cluster();
        }
        world
    }

    /// Storm, then calm; afterwards everything has to be in order.
    ///
    /// # Errors
    ///
    /// What is not, in words.
    pub fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.random_range(50..400) {
            self.storm()?;
        }
        self.calm();
        self.settle()?;
        Check::at_the_end(&self.server)?;
        let before = self.server.writes;
        for _ in 0..20 {
            self.now += Duration::from_mins(1);
            self.settle()?;
        }
        if self.server.writes == before {
            Ok(())
        } else {
            Err("writes go on although nothing changes".into())
        }
    }

    /// No faults any more, and one controller. What the other one had sent may still come.
    fn calm(&mut self) {
        self.stormy = false;
        self.say("--- the storm is over");
        while self.controllers.len() > 1 {
            self.dies(self.controllers.len() - 1);
        }
        self.controllers[0].awake = true;
        self.controllers[0].held.clear();
    }

    pub fn say(&self, what: impl std::fmt::Display) {
        if self.trace {
            println!("{:>8.3}  {what}", self.now.as_secs_f64());
        }
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    pub fn now(&self) -> Now {
        Now { elapsed: self.now, wall: i64::try_from(self.now.as_secs()).unwrap() }
    }

    fn storm(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.now += Duration::from_millis(self.rng.random_range(0..40));
        if self.chance(0.02) {
            self.mood = self.rng.random();
        }
        let which = self.rng.random_range(0..self.controllers.len());
        let awake = self.controllers[which].awake;
        match self.rng.random_range(0..100) {
            0..85 => self.go_on(which)?,
            85..95 => self.meddle(),
            95 => self.hold(which),
            96 => self.controllers[which].awake = !awake || self.controllers.len() == 1,
            97 => self.crash(which),
            98 => self.relist(which),
            _ => self.now += Duration::from_millis(self.rng.random_range(0..20_000)),
        }
        self.check.always(&self.server)
    }

    /// A controller or its API server does something of what is theirs to do. For a while, they like some of it much more than
    /// the rest: so a watch may lag behind the others, or a reply come long after what it tells of.
    fn go_on(&mut self, which: usize) -> Result<(), String> {
        const ALL: [(Deed, f64); 4] =
            [(Deed::Hear, 25.0), (Deed::Decide, 25.0), (Deed::Execute, 20.0), (Deed::Reply, 15.0)];
        let mood = self.mood;
        let likely = |(deed, often): &(Deed, f64)| often * likely(mood, 1.5, &(which, deed));
        let awake = self.controllers[which].awake;
        match ALL.choose_weighted(&mut self.rng, likely).unwrap().0 {
            Deed::Execute => self.execute(which)?,
            Deed::Hear if awake => self.hear(which),
            Deed::Decide if awake => self.decide(which)?,
            Deed::Reply if awake => self.reply(which),
            _ => {}
        }
        Ok(())
    }

    /// Whatever is under way ends, and time passes, until nothing is left to do.
    fn settle(&mut self) -> Result<(), String> {
        while let Some((write, whose)) = self.late.pop() {
            self.land_late(&write, whose)?;
        }
        for _ in 0..20_000 {
            self.steps += 1;
            let heard = self.hear_all();
            self.decide(0)?;
            let busy = !self.controllers[0].sent.is_empty();
            while !self.controllers[0].sent.is_empty() {
                self.execute(0)?;
                self.reply(0);
            }
            self.check.always(&self.server)?;
            if heard || busy {
                continue;
            }
            match self.controllers[0].ledger.next_wake() {
                None => return Ok(()),
                Some(at) => self.now = self.now.max(at) + Duration::from_millis(1),
            }
        }
        Err(format!("does not settle: {} writes so far", self.server.writes))
    }

    /// A controller takes in what one of its watches has for it.
    fn hear(&mut self, which: usize) {
        // Without a liking for what is missing yet, most runs would be over before the first decision.
        let mood = self.mood;
        let some = KINDS.choose_weighted(&mut self.rng, |kind| likely(mood, 1.5, &(which, kind))).unwrap();
        let kind = self.controllers[which].unknown().unwrap_or(*some);
        if !self.controllers[which].held.contains(&kind) {
            self.controllers[which].hear(&self.server, kind);
        }
    }

    /// The events of a kind are held back from a controller, or no longer.
    fn hold(&mut self, which: usize) {
        let kind = self.some_kind();
        let held = &mut self.controllers[which].held;
        if !held.remove(&kind) {
            held.insert(kind);
        }
    }

    fn some_kind(&mut self) -> Kind {
        KINDS[self.rng.random_range(0..KINDS.len())]
    }

    /// A watch breaks and starts over with a list; between the list and its end, replies come in.
    fn relist(&mut self, which: usize) {
        let kind = self.some_kind();
        if !self.controllers[which].awake
            || !self.controllers[which].is_watching(kind)
            || !self.server.is_served(kind)
        {
            return;
        }
        self.say(format_args!("relist {kind:?}"));
        let list = self.controllers[which].begin_list(&self.server, kind);
        for _ in 0..self.rng.random_range(0..3) {
            self.reply(which);
        }
        self.controllers[which].end_list(kind, list);
    }

    fn hear_all(&mut self) -> bool {
        let mut heard = false;
        for kind in KINDS {
            while self.controllers[0].hear(&self.server, kind) {
                heard = true;
            }
        }
        heard
    }

    fn decide(&mut self, which: usize) -> Result<(), String> {
        let (now, room) = (self.now(), self.rng.random_range(1..8));
        let due = self.controllers[which].ledger.due(now, room, &mut self.rng);
        for write in due {
            self.say(format_args!("due [{which}] {} for {}", write.act, write.subject));
            let sent = &mut self.controllers[which].sent;
            let is_twin = |sent: &Sent| sent.write.subject == write.subject && sent.write.uid == write.uid;
            if sent.iter().any(|sent| sent.outcome.is_none() && is_twin(sent)) {
                return Err(format!("two writes are under way for {}", write.subject));
            }
            sent.push(Sent { write, outcome: None });
        }
        self.controllers[which].ledger.check()
    }

    fn whose(&self, which: usize) -> Whose {
        Whose { fences: self.controllers[which].fences, alone: !self.crowded }
    }

    /// The server gets one of the writes that were sent.
    fn execute(&mut self, which: usize) -> Result<(), String> {
        let sent = &self.controllers[which].sent;
        let waiting: Vec<usize> = (0..sent.len()).filter(|&i| sent[i].outcome.is_none()).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let at = waiting[self.rng.random_range(0..waiting.len())];
        let (write, whose) = (sent[at].write.clone(), self.whose(which));
        let fault = if self.stormy { self.rng.random_range(0..100) } else { 99 };
        let outcome = match fault {
            0..4 => {
                self.effect(&write, whose)?;
                Outcome::Unknown("the reply is lost".into())
            }
            4..7 => Outcome::Unknown("the request is lost".into()),
            7..10 => {
                self.late.push((write.clone(), Whose { alone: false, ..whose }));
                Outcome::Unknown("the request is late".into())
            }
            10..12 => Outcome::NotNow(Some(Duration::from_millis(300))),
            12..14 => Outcome::Refused("no".into()),
            14..16 => Outcome::GuardFailed("no".into()),
            16..30 if !self.late.is_empty() => {
                let (late, whose) = self.late.remove(0);
                return self.land_late(&late, whose);
            }
            _ => self.effect(&write, whose)?,
        };
        let outcome = self.controllers[which].answer(&write, outcome);
        self.say(format_args!("    [{which}] {} for {}: {}", write.act, write.subject, brief(&outcome)));
        self.controllers[which].sent[at].outcome = Some(outcome);
        Ok(())
    }

    fn land_late(&mut self, write: &Write, whose: Whose) -> Result<(), String> {
        self.say(format_args!("    late: {} for {}", write.act, write.subject));
        self.effect(write, whose).map(drop)
    }

    fn effect(&mut self, write: &Write, whose: Whose) -> Result<Outcome, String> {
        self.check.before(&self.server, write, whose)?;
        let in_use = sweeps_one_in_use(&self.server, write);
        let outcome = self.server.carry_out(write);
        if in_use && matches!(outcome, Outcome::Seen(_)) {
            return Err(format!("{} takes effect although that is published", write.act));
        }
        self.check.after(&self.server, write, &outcome, whose);
        Ok(outcome)
    }

    /// A controller learns what became of a write.
    fn reply(&mut self, which: usize) {
        let sent = &self.controllers[which].sent;
        let decided: Vec<usize> = (0..sent.len()).filter(|&i| sent[i].outcome.is_some()).collect();
        if decided.is_empty() {
            return;
        }
        let at = decided[self.rng.random_range(0..decided.len())];
        let (now, controller) = (self.now(), &mut self.controllers[which]);
        let sent = controller.sent.remove(at);
        if let Some(outcome) = sent.outcome {
            controller.ledger.outcome(&sent.write, outcome, now, &mut self.rng);
        }
    }

    /// A controller dies and starts again, knowing nothing.
    fn crash(&mut self, which: usize) {
        self.say(format_args!("crash of [{which}]"));
        let fences = self.controllers[which].fences;
        self.dies(which);
        self.controllers.insert(which, Controller::new(fences));
        self.check.start_over(&self.server);
    }

    /// What a controller had sent when it died may be lost, or late, or done.
    fn dies(&mut self, which: usize) {
        let fences = self.controllers[which].fences;
        for sent in self.controllers.remove(which).sent {
            if sent.outcome.is_none() && self.rng.random_bool(0.5) {
                self.late.push((sent.write, Whose { fences, alone: false }));
            }
        }
    }
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Seen(seen) => format!("seen at {}", nth(seen.meta().version)),
        other => format!("{other:?}"),
    }
}

/// The status that a write publishes an address with, if it does.
pub fn publishes(act: &Act) -> Option<&Shown> {
    match act {
        Act::Publish { status, .. } if status.ready.as_ref().is_some_and(|ready| ready.is) => Some(status),
        _ => None,
    }
}
