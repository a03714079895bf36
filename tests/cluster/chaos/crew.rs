//! The controllers of one storm: started, killed, stopped and started again, each behind a proxy of its own.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::process::Signal;
use testbed::proxy::{Handle, Match, Proxy, Rule};

use super::faults::{FAULTS, action, targets};
use super::tally::Tally;
use crate::history::Writers;
use crate::replica::Replica;
use crate::scene::Scene;

/// How many controllers there are, and how they agree who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manning {
    /// One, which is started again when it dies.
    Alone,
    /// Two, of which one writes by a lease.
    Pair,
    /// Two that both write.
    Crowd,
}

/// The lease of a pair: short, so that a storm sees it change hands.
const LEASE: [&str; 4] = [
    "--leader-elect",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=200ms",
];

/// A controller that runs, and until when it is stopped.
struct Member {
    replica: Replica,
    asleep: Option<Instant>,
}

pub struct Crew {
    manning: Manning,
    members: Vec<Member>,
    /// Those that are dead; what they asked for is still judged.
    past: Vec<Replica>,
    faults: Vec<(&'static str, usize, Handle)>,
    targets: Vec<(&'static str, Match)>,
    tally: Tally,
}

impl Crew {
    pub async fn start(manning: Manning, scene: &Scene, tally: Tally) -> Self {
        let (members, past) = (Vec::new(), Vec::new());
        let mut crew = Self { manning, members, past, faults: Vec::new(), targets: targets(), tally };
        if manning == Manning::Pair {
            crate::replica::grant_lease(scene).await;
        }
        for _ in 0..if manning == Manning::Alone { 1 } else { 2 } {
            crew.hire(scene).await;
        }
        crew
    }

    /// How many have written so far, and in what order.
    pub fn writers(&self) -> Writers {
        match self.manning {
            Manning::Crowd => Writers::Several,
            Manning::Alone if !self.past.is_empty() => Writers::Heirs,
            Manning::Alone | Manning::Pair => Writers::One,
        }
    }

    async fn hire(&mut self, scene: &Scene) {
        let flags: &[&str] = if self.manning == Manning::Pair { &LEASE } else { &["--ignore-leader"] };
        let name = format!("c{}", self.members.len() + self.past.len());
        let proxy = Proxy::start(&scene.plane).await.unwrap();
        let replica = Replica::behind(proxy, scene, &name, flags);
        self.members.push(Member { replica, asleep: None });
    }

    /// The proxy of one of them.
    pub fn any_proxy(&self, rng: &mut SmallRng) -> &Proxy {
        &self.members[rng.random_range(0..self.members.len())].replica.proxy
    }

    /// One of the next requests of one of them meets a fault.
    pub fn trouble(&mut self, rng: &mut SmallRng) {
        let (target, on) = self.targets[rng.random_range(0..self.targets.len())].clone();
        let fault = rng.random_range(0..FAULTS.len());
        let rule = Rule::new(on, action(fault)).skip(rng.random_range(0..3)).times(rng.random_range(1..3));
        let met = self.any_proxy(rng).add(rule);
        self.faults.push((target, fault, met));
    }

    /// SIGKILL for one of them, and another in its place.
    pub async fn kill(&mut self, scene: &Scene, rng: &mut SmallRng) {
        let mut member = self.members.remove(rng.random_range(0..self.members.len()));
        member.replica.signal(Signal::KILL);
        let _status = member.replica.ended().await;
        self.past.push(member.replica);
        self.hire(scene).await;
        self.tally.add("processes", "SIGKILL", 1);
    }

    /// SIGTERM for one of them, and another in its place at once, as in an upgrade.
    pub async fn replace(&mut self, scene: &Scene, rng: &mut SmallRng) {
        let at = rng.random_range(0..self.members.len());
        if self.members[at].asleep.is_some() {
            return;
        }
        self.hire(scene).await;
        let mut member = self.members.remove(at);
        member.replica.signal(Signal::TERM);
        let _status = member.replica.ended().await;
        self.past.push(member.replica);
        self.tally.add("processes", "SIGTERM, replaced", 1);
    }

    /// SIGSTOP for one of them, for some time.
    pub fn stop(&mut self, rng: &mut SmallRng) {
        let at = rng.random_range(0..self.members.len());
        let member = &mut self.members[at];
        if member.asleep.is_none() && member.replica.end().is_none() {
            member.replica.signal(Signal::STOP);
            member.asleep = Some(Instant::now() + Duration::from_millis(rng.random_range(100..4500)));
            self.tally.add("processes", "SIGSTOP and SIGCONT", 1);
        }
    }

    /// Wakes up who has slept long enough, and starts anew who has ended by itself, where that may be.
    pub async fn tend(&mut self, scene: &Scene) {
        for at in (0..self.members.len()).rev() {
            let member = &mut self.members[at];
            if member.asleep.is_some_and(|until| until <= Instant::now()) {
                member.replica.signal(Signal::CONT);
                member.asleep = None;
            }
            if member.replica.end().is_some() {
                let member = self.members.remove(at);
                self.may_end(&member.replica);
                self.past.push(member.replica);
                self.hire(scene).await;
            }
        }
    }

    /// Nobody ends by itself but who has lost the lease, or finds no API server at its start.
    fn may_end(&self, replica: &Replica) {
        let log = replica.log();
        let what = if self.manning == Manning::Pair && log.contains("the lease is lost") {
            "ended: the lease was lost"
        } else if self.manning != Manning::Pair && log.contains("cannot reach the API server") {
            "ended: no API server at the start"
        } else {
            panic!("a controller ended by itself:\n{log}");
        };
        self.tally.add("processes", what, 1);
    }

    /// The faults end, and all are awake.
    pub fn calm(&mut self) {
        for (target, fault, met) in self.faults.drain(..) {
            met.release();
            self.tally.fault(target, fault, met.count());
        }
        for member in &mut self.members {
            member.asleep = Some(Instant::now()).filter(|_| member.asleep.is_some());
        }
    }

    /// How many changes they have asked for so far, those of the lease and events aside.
    pub fn writes(&self) -> usize {
        let of =
            |replica: &Replica| replica.writes() - replica.proxy.count(&Match::writes().resource("events"));
        self.members.iter().map(|member| of(&member.replica)).chain(self.past.iter().map(of)).sum()
    }

    /// What those that run have logged last.
    pub fn logs(&self) -> String {
        let tail = |member: &Member| {
            let log = member.replica.log();
            let lines: Vec<&str> = log.lines().rev().take(60).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        self.members.iter().map(tail).collect::<Vec<_>>().join("\n\nand another\n")
    }

    /// No controller of a pair asks for a change once its successor has.
    pub fn judge_terms(&self) {
        if self.manning != Manning::Pair {
            return;
        }
        let all = self.members.iter().map(|member| &member.replica).chain(&self.past);
        let mut terms: Vec<(Instant, Instant, String)> = all.filter_map(term).collect();
        terms.sort();
        for pair in terms.windows(2) {
            let [(_, last, log), (first, _, next)] = pair else { continue };
            assert!(
                last < first,
                "a change was asked for {:?} after the successor's first\n{log}\n\n{next}",
                *last - *first
            );
        }
        self.tally.add("what came of it", "terms of leaders", terms.len());
    }
}

/// When a controller asked for its first change and for its last, those of the lease and events aside.
fn term(replica: &Replica) -> Option<(Instant, Instant, String)> {
    let entries = replica.proxy.log();
    let mut changes = entries.iter().filter(|entry| {
        entry.call.verb.is_write() && !matches!(entry.call.resource.as_str(), "leases" | "events")
    });
    let first = changes.next()?.started;
    Some((first, changes.next_back().map_or(first, |entry| entry.started), replica.log()))
}
