//! One moment of a small world, and all that can happen next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipam::api::{Family, Kind};
use ipam::ledger::{Now, Outcome, Write};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::form::Form;
use super::judge::{Judge, at_rest};
use super::node::{Node, form_of_write};
use super::world::{
    Deed, Faults, LATE_BY, Pace, World, change_pool, claim_id, create_claim, create_pool, tear_pool,
};
use crate::controller::{Controller, Sent};
use crate::server::{Event, KINDS, Server};

/// One moment. What a step does not touch is shared with the moment before.
#[derive(Clone)]
pub struct State {
    pub world: World,
    hub: Arc<Hub>,
    pub nodes: Vec<Arc<Node>>,
    /// Writes that were given up, and may still arrive and do something.
    pub late: Vec<Write>,
    pub now: Duration,
    /// People have done so much.
    pub done: usize,
    left: Faults,
    /// Who went on last, and how often another may while that one could: where there is a bound.
    turn: Option<(usize, u8)>,
    /// Controllers stand in an order that only depends on what they are.
    sorted: bool,
}

/// The server, and what it holds.
#[derive(Clone)]
struct Hub {
    server: Server,
    judge: Judge,
    /// One for each event of each log.
    events: BTreeMap<Kind, Vec<Form>>,
    /// None while it has to be worked out anew.
    form: Option<Form>,
}

/// What can happen. Numbers say which controller, and which of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A controller takes in the next event, or the first list, of a kind.
    Hear(usize, Kind),
    /// It looks at what it has to, and sends what is due.
    Decide(usize),
    /// The server carries out a write.
    Execute(usize, usize),
    /// The controller learns what became of it.
    Reply(usize, usize),
    /// The controller gives a write up; it is late.
    Delay(usize, usize),
    /// The server carries it out, and the reply is late.
    Hold(usize, usize),
    /// A watch is late from here on, until it has told all there is: from what it has to tell already, or from what
    /// happens now. If it were late from some moment before, nobody could tell.
    Lag(usize, Kind, Option<Change>),
    /// A late write arrives.
    Land(usize),
    /// A controller dies and starts again.
    Crash(usize),
    /// People do what is next.
    People,
    /// Nothing else is left to do, and time passes.
    Pass,
}

/// What may give the watches something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Execute(usize, usize),
    Hold(usize, usize),
    Land(usize),
    People,
}

impl Change {
    /// It as a step of its own.
    pub fn step(self) -> Step {
        match self {
            Self::Execute(which, at) => Step::Execute(which, at),
            Self::Hold(which, at) => Step::Hold(which, at),
            Self::Land(at) => Step::Land(at),
            Self::People => Step::People,
        }
    }
}

impl Step {
    /// The change that it is, if it is one.
    fn change(self) -> Option<Change> {
        match self {
            Self::Execute(which, at) => Some(Change::Execute(which, at)),
            Self::Hold(which, at) => Some(Change::Hold(which, at)),
            Self::Land(at) => Some(Change::Land(at)),
            Self::People => Some(Change::People),
            _ => None,
        }
    }

    /// The controller that goes on with it, if one does; none goes on by crashing.
    fn who(self) -> Option<usize> {
        match self {
            Self::Hear(which, _)
            | Self::Decide(which)
            | Self::Execute(which, _)
            | Self::Reply(which, _)
            | Self::Delay(which, _)
            | Self::Hold(which, _) => Some(which),
            Self::Lag(_, _, Some(change)) => change.step().who(),
            Self::Lag(_, _, None) | Self::Land(_) | Self::Crash(_) | Self::People | Self::Pass => None,
        }
    }
}

/// What a controller learns of that others write: pools are heard of at once in any case.
const WATCHES: [Kind; 4] = [
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
];

/// Chance has no part in a small world.
fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

impl State {
    /// The pool is ours, the claims that are to have an address have it, and nobody has seen the fresh ones.
    pub fn begin(world: World) -> Result<Self, String> {
        let mut server = Server::default();
        create_pool(&mut server, world.addresses);
        world.bound.iter().for_each(|name| create_claim(&mut server, *name));
        let hub =
            Hub { server, judge: Judge::of(world.controllers.len()), events: BTreeMap::new(), form: None };
        let node = |fences: &bool| Arc::new(Node::new(*fences));
        let nodes = world.controllers.iter().map(node).collect();
        let (now, left) = (Duration::from_secs(1000), Faults::default());
        let mut state = Self {
            world,
            hub: Arc::new(hub),
            nodes,
            late: Vec::new(),
            now,
            done: usize::MAX,
            left,
            turn: None,
            sorted: false,
        };
        state.hub_changed()?;
        while let Some(step) = state.steps().first() {
            state.take(*step)?;
        }
        (state.done, state.left) = (0, world.faults);
        state.turn = world.switches.map(|switches| (0, switches));
        world.fresh.iter().for_each(|name| create_claim(&mut Arc::make_mut(&mut state.hub).server, *name));
        state.hub_changed()?;
        Ok(state)
    }

    /// A number for the state: two with the same one have the same future. Controllers have no names.
    pub fn print(&mut self) -> u64 {
        let mut nodes = self.forms_of_nodes();
        nodes.sort_unstable();
        let mut late: Vec<Form> = self.late.iter().map(form_of_write).collect();
        late.sort_unstable();
        let counts = Form::of(&(self.done, self.left, self.turn.map(|(_, switches)| switches), late.len()));
        Form::all(self.hub.form.iter().chain(&nodes).chain(&late).chain([&counts])).print()
    }

    /// From here on, controllers stand in an order that only depends on what they are: they take in what comes by itself
    /// one after the other, and two states with one print have to have one future.
    pub fn sort_nodes(&mut self) {
        self.sorted = true;
        let forms = self.forms_of_nodes();
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|which| &forms[*which]);
        self.nodes = order.iter().map(|which| self.nodes[*which].clone()).collect();
        if let Some((last, _)) = &mut self.turn {
            *last = order.iter().position(|which| which == last).unwrap_or_default();
        }
    }

    fn forms_of_nodes(&mut self) -> Vec<Form> {
        let now = self.time();
        for node in self.nodes.iter_mut().filter(|node| node.form.is_none()) {
            Arc::make_mut(node).form(now, &self.hub.server);
        }
        if self.hub.form.is_none() {
            Arc::make_mut(&mut self.hub).work_out();
        }
        let is_turn = |which| self.turn.is_some_and(|(last, _)| which == last);
        let form = |(which, node): (usize, &Arc<Node>)| {
            let known = node.form.as_ref().into_iter().chain(self.unheard(node));
            Form::all(known.chain([&self.left_of(node), &Form::of(&is_turn(which))]))
        };
        self.nodes.iter().enumerate().map(form).collect()
    }

    /// What a controller's watches have still to tell.
    fn unheard<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Form> {
        KINDS.into_iter().flat_map(|kind| {
            let events = self.hub.events.get(&kind).map_or(&[][..], Vec::as_slice);
            node.controller.position(kind).map_or(&[][..], |at| &events[at..])
        })
    }

    /// How much of it is of each kind, and which of it is news.
    fn left_of(&self, node: &Node) -> Form {
        let left = |kind| -> Option<Vec<bool>> {
            let unheard = node.unheard(&self.hub.server, kind)?;
            Some(unheard.iter().map(|event| node.knows(event)).collect())
        };
        Form::of(&KINDS.map(left))
    }

    fn time(&self) -> Now {
        // Time stamps decide nothing: all are the same.
        Now { elapsed: self.now, wall: 1000 }
    }

    /// All that can happen, least of all the passing of time.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..self.nodes.len()).flat_map(|which| self.steps_of(which)).collect();
        if steps.iter().all(|step| matches!(step, Step::Hear(..))) && self.can_pass(&steps) {
            steps.push(Step::Pass);
        }
        if let Some((last, 0)) = self.turn
            && self.goes_on(last)
        {
            steps.retain(|step| step.who().is_none_or(|which| which == last));
        }
        steps.extend((0..self.late.len()).map(Step::Land));
        if self.left.crashes + self.left.losses > 0 {
            steps.extend((0..self.nodes.len()).map(Step::Crash));
        }
        let next = self.world.people.get(self.done);
        let is_free = |name| !self.hub.server.objects.contains_key(&claim_id(name));
        if next.is_some_and(|deed| !matches!(deed, Deed::Create(name) if !is_free(*name))) {
            steps.push(Step::People);
        }
        if self.left.lags > 0 && self.is_swift() {
            let lags: Vec<Step> = self.lags(&steps).collect();
            steps.extend(lags);
        }
        steps
    }

    /// Each watch that may be late of what it has to tell, or of what can happen now.
    fn lags<'a>(&'a self, steps: &'a [Step]) -> impl Iterator<Item = Step> + 'a {
        let in_time = (0..self.nodes.len()).filter(|which| self.nodes[*which].silent.is_none());
        let watches = in_time.flat_map(|which| WATCHES.map(|kind| (which, kind)));
        watches.flat_map(move |(which, kind)| {
            let has_to_tell = self.nodes[which].next_event(&self.hub.server, kind).is_some();
            let already = has_to_tell.then_some(None);
            let changes = steps.iter().filter_map(|step| step.change());
            let now = changes.filter(move |change| self.changes(*change) == Some(kind)).map(Some);
            already.into_iter().chain(now).map(move |change| Step::Lag(which, kind, change))
        })
    }

    /// The kind that a change is to one object of, if it is any.
    fn changes(&self, change: Change) -> Option<Kind> {
        let write = match change {
            Change::Execute(which, at) | Change::Hold(which, at) => {
                &self.nodes[which].controller.sent[at].write
            }
            Change::Land(at) => &self.late[at],
            Change::People => {
                return match self.world.people.get(self.done)? {
                    Deed::Create((family, _)) | Deed::Delete((family, _)) => Some(Kind::Claim(*family)),
                    Deed::Change(..) | Deed::Tear | Deed::Renew => None,
                };
            }
        };
        (!write.act.is_read()).then(|| write.kind())
    }

    /// Nothing is left to do, unless people do something or a fault comes up.
    pub fn is_at_rest(steps: &[Step]) -> bool {
        steps.iter().all(|step| matches!(step, Step::Lag(..) | Step::Land(_) | Step::Crash(_) | Step::People))
    }

    /// What has to hold where nothing is left to do.
    pub fn judge_rest(&self) -> Result<(), String> {
        let over = self.done >= self.world.people.len();
        at_rest(&self.hub.server, over.then_some(self.world.served))
    }

    /// Whether a controller is in the middle of something. One that waits for its watches is not.
    fn goes_on(&self, which: usize) -> bool {
        self.steps_of(which).iter().any(|step| !matches!(step, Step::Hear(..)))
    }

    fn steps_of(&self, which: usize) -> Vec<Step> {
        let controller = &self.nodes[which].controller;
        let mut steps = Vec::new();
        if let Some(kind) = controller.unknown() {
            steps.push(Step::Hear(which, kind));
        } else {
            let tells = |kind: &Kind| self.nodes[which].next_event(&self.hub.server, *kind).is_some();
            steps.extend(KINDS.into_iter().filter(tells).map(|kind| Step::Hear(which, kind)));
        }
        if self.may_decide(&self.nodes[which]) {
            steps.push(Step::Decide(which));
        }
        for (at, sent) in controller.sent.iter().enumerate() {
            if sent.outcome.is_some() {
                steps.push(Step::Reply(which, at));
                continue;
            }
            steps.push(Step::Execute(which, at));
            if self.left.delays > 0 && !sent.write.act.is_read() {
                steps.push(Step::Delay(which, at));
            }
            if self.left.delays > 0 && self.is_swift() {
                steps.push(Step::Hold(which, at));
            }
        }
        steps
    }

    /// Time passes when all is heard, but for one watch where that may be.
    fn can_pass(&self, unheard: &[Step]) -> bool {
        let all_listed = self.nodes.iter().all(|node| node.controller.unknown().is_none());
        let may_be_silent = match unheard {
            [] => true,
            [Step::Hear(which, kind)] => self.nodes[*which].silent == Some(*kind) || self.left.lags > 0,
            _ => false,
        };
        all_listed && may_be_silent && self.next_wake().is_some()
    }

    fn next_wake(&self) -> Option<Duration> {
        self.nodes.iter().filter_map(|node| node.controller.ledger.next_wake()).min()
    }

    /// A step happens, and what follows from it at once.
    pub fn take(&mut self, step: Step) -> Result<(), String> {
        if let (Some((last, switches)), Some(which)) = (self.turn, step.who())
            && which != last
        {
            self.turn = Some((which, switches - u8::from(self.goes_on(last))));
        }
        self.happen(step)?;
        if self.world.pace != Pace::Leisurely {
            (0..self.nodes.len()).try_for_each(|which| self.be_prompt(which))?;
        }
        if self.sorted {
            self.sort_nodes();
        }
        Ok(())
    }

    fn happen(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Hear(which, kind) => self.hear(which, kind),
            Step::Decide(which) => self.decide(which)?,
            Step::Execute(which, at) => self.execute(which, at)?,
            Step::Hold(which, at) => {
                self.left.delays -= 1;
                self.execute(which, at)?;
                let node = self.node(which);
                node.held = Some(node.controller.sent[at].write.number);
            }
            Step::Lag(which, kind, change) => {
                self.left.lags -= 1;
                self.node(which).silent = Some(kind);
                if let Some(change) = change {
                    self.happen(change.step())?;
                }
                if self.nodes[which].next_event(&self.hub.server, kind).is_none() {
                    // It came to nothing.
                    self.left.lags += 1;
                    self.node(which).silent = None;
                }
            }
            Step::Reply(which, at) => self.reply(which, at),
            Step::Delay(which, at) => {
                self.left.delays -= 1;
                let sent = &mut self.node(which).controller.sent[at];
                sent.outcome = Some(Outcome::Unknown("the request is late".into()));
                let write = sent.write.clone();
                self.late.extend(Some(write).filter(|write| self.hub.server.may_heed(write)));
            }
            Step::Land(at) => {
                let write = self.late.remove(at);
                self.carry_out(&write)?;
            }
            Step::Crash(which) => self.crash(which),
            Step::People => self.people()?,
            Step::Pass => self.pass(),
        }
        Ok(())
    }

    fn execute(&mut self, which: usize, at: usize) -> Result<(), String> {
        let write = self.nodes[which].controller.sent[at].write.clone();
        let outcome = self.carry_out(&write)?;
        let controller = &mut self.node(which).controller;
        controller.sent[at].outcome = Some(controller.answer(&write, outcome));
        Ok(())
    }

    /// A controller that is about to change.
    fn node(&mut self, which: usize) -> &mut Node {
        let node = Arc::make_mut(&mut self.nodes[which]);
        node.form = None;
        node
    }

    fn hear(&mut self, which: usize, kind: Kind) {
        let (hub, is_swift) = (self.hub.clone(), self.is_swift());
        let node = self.node(which);
        if let Some(Event::Seen(seen) | Event::Deleted(seen)) = node.next_event(&hub.server, kind) {
            node.is_told(seen);
        } else {
            let listed = hub.server.objects.values().map(|object| &object.seen);
            listed.filter(|seen| seen.id().kind == kind).for_each(|seen| node.is_told(seen));
        }
        node.controller.hear(&hub.server, kind);
        if kind == Kind::Pool && node.controller.unknown().is_some() {
            // There is no Cluster in a small world.
            node.controller.hear(&hub.server, Kind::Cluster);
        }
        let stays_late = is_swift && node.next_event(&hub.server, kind).is_some();
        if node.silent == Some(kind) && !stays_late {
            node.silent = None;
        }
    }

    /// Takes in what comes by itself, and decides.
    fn be_prompt(&mut self, which: usize) -> Result<(), String> {
        loop {
            let node = &self.nodes[which];
            if let Some(at) = self.next_reply(node) {
                self.reply(which, at);
            } else if let Some(kind) = self.next_heard(node) {
                self.hear(which, kind);
            } else if self.may_decide(node) {
                self.decide(which)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Whether a controller has something to look at, and room for what may be due.
    fn may_decide(&self, node: &Node) -> bool {
        let Controller { ledger, sent, .. } = &node.controller;
        sent.len() < self.world.room && ledger.next_wake().is_some_and(|at| at <= self.now)
    }

    fn is_swift(&self) -> bool {
        self.world.pace == Pace::Swift
    }

    /// A reply that arrives at once.
    fn next_reply(&self, node: &Node) -> Option<usize> {
        let is_there = |sent: &Sent| sent.outcome.is_some() && node.held != Some(sent.write.number);
        node.controller.sent.iter().position(is_there).filter(|_| self.is_swift())
    }

    /// A watch that tells what is no news, or tells at once whatever there is.
    fn next_heard(&self, node: &Node) -> Option<Kind> {
        if let Some(kind) = node.controller.unknown().filter(|_| self.is_swift()) {
            return Some(kind);
        }
        let tells = |kind: &Kind| {
            let unheard = node.unheard(&self.hub.server, *kind).map_or(0, <[_]>::len);
            let may_wait = node.silent == Some(*kind) && unheard <= LATE_BY;
            let is_prompt = self.is_swift() && !may_wait;
            node.next_event(&self.hub.server, *kind).is_some_and(|event| is_prompt || node.knows(event))
        };
        KINDS.into_iter().find(tells)
    }

    fn decide(&mut self, which: usize) -> Result<(), String> {
        let now = self.time();
        let room = self.world.room;
        let controller = &mut self.node(which).controller;
        let room = room.saturating_sub(controller.sent.len());
        for write in controller.ledger.due(now, room, &mut rng()) {
            let is_twin = |sent: &Sent| sent.write.subject == write.subject && sent.write.uid == write.uid;
            if controller.sent.iter().any(is_twin) {
                return Err(format!("two writes are under way for {}", write.subject));
            }
            controller.sent.push(Sent { write, outcome: None });
        }
        controller.ledger.check()?;
        self.do_at_once(which)
    }

    /// What a pool shows decides nothing about its claims: its own writes take effect, and are heard of, at once.
    fn do_at_once(&mut self, which: usize) -> Result<(), String> {
        let is_pools = |sent: &Sent| sent.write.subject.kind == Kind::Pool;
        while let Some(at) = self.nodes[which].controller.sent.iter().position(is_pools) {
            self.happen(Step::Execute(which, at))?;
            self.reply(which, at);
            for which in 0..self.nodes.len() {
                while self.nodes[which].next_event(&self.hub.server, Kind::Pool).is_some() {
                    self.hear(which, Kind::Pool);
                }
            }
            self.decide(which)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, write: &Write) -> Result<Outcome, String> {
        let outcome = Arc::make_mut(&mut self.hub).server.carry_out(write);
        self.hub_changed()?;
        Ok(outcome)
    }

    fn reply(&mut self, which: usize, at: usize) {
        let now = self.time();
        let node = self.node(which);
        let sent = node.controller.sent.remove(at);
        if let Some(outcome) = sent.outcome {
            if let Outcome::Seen(seen) = &outcome {
                node.is_told(seen);
            }
            node.controller.ledger.outcome(&sent.write, outcome, now, &mut rng());
        }
    }

    fn crash(&mut self, which: usize) {
        let is_lost = self.left.crashes == 0;
        let left = if is_lost { &mut self.left.losses } else { &mut self.left.crashes };
        *left -= 1;
        let node = self.node(which);
        let sent = std::mem::take(&mut node.controller.sent);
        *node = Node::new(node.controller.fences);
        if is_lost {
            return;
        }
        let unanswered = sent.into_iter().filter(|sent| sent.outcome.is_none()).map(|sent| sent.write);
        let server = &self.hub.server;
        self.late.extend(unanswered.filter(|write| !write.act.is_read() && server.may_heed(write)));
    }

    fn people(&mut self) -> Result<(), String> {
        let deed = self.world.people[self.done];
        self.done += 1;
        let server = &mut Arc::make_mut(&mut self.hub).server;
        match deed {
            Deed::Create(name) => create_claim(server, name),
            Deed::Delete(name) => server.delete(&claim_id(name)),
            Deed::Change(first, last) => change_pool(server, first, last),
            Deed::Tear => tear_pool(server),
            Deed::Renew => create_pool(server, self.world.addresses),
        }
        self.hub_changed()
    }

    fn pass(&mut self) {
        let unheard = (0..self.nodes.len()).flat_map(|which| self.steps_of(which)).next();
        if let Some(Step::Hear(which, kind)) = unheard
            && self.nodes[which].silent != Some(kind)
        {
            self.left.lags -= 1;
            self.node(which).silent = Some(kind);
        }
        (0..self.nodes.len()).for_each(|which| self.node(which).form = None);
        self.now = self.now.max(self.next_wake().unwrap_or_default());
    }

    fn hub_changed(&mut self) -> Result<(), String> {
        let hub = Arc::make_mut(&mut self.hub);
        hub.form = None;
        self.late.retain(|write| hub.server.may_heed(write));
        hub.judge.look(&hub.server)
    }
}

impl Hub {
    fn work_out(&mut self) {
        for (kind, log) in &self.server.log {
            let forms = self.events.entry(*kind).or_default();
            forms.extend(log.iter().skip(forms.len()).map(Form::of));
        }
        self.form = Some(Form::of(&(&self.server.objects, &self.server.indexes, &self.judge)));
    }
}
