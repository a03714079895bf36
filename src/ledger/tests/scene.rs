//! A ledger, and the objects as the API server has them.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::server::Server;
use super::words::words;
use super::{address_id, claim_id, pool_id};
use crate::api::{Family, Kind};
use crate::ledger::{
    Act, Address, Claim, Config, Id, Ledger, Notice, Now, Outcome, Pool, Seen, Shown, Uid, Write,
};

/// The kinds, in the order in which they are listed.
pub const KINDS: [Kind; 6] = [
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Pool,
    Kind::Cluster,
];

/// A ledger, and the objects as the API server has them.
pub struct Scene {
    pub ledger: Ledger,
    pub server: Server,
    /// Writes under way.
    pub sent: Vec<Write>,
    /// Lists of names are under way like writes; else each is answered at once, and no sentence says so.
    pub surveys_take_time: bool,
    now: Duration,
    rng: SmallRng,
}

impl Scene {
    /// Nothing is listed yet.
    pub fn unlisted() -> Self {
        Self::configured(Config::default())
    }

    fn configured(config: Config) -> Self {
        Self {
            ledger: Ledger::new(config, KINDS),
            server: Server::default(),
            sent: Vec::new(),
            surveys_take_time: false,
            now: Duration::from_secs(1000),
            rng: SmallRng::seed_from_u64(1),
        }
    }

    /// All is listed, there is this pool, and its status says so.
    pub fn with(pool: Pool) -> Self {
        Self::with_config(Config::default(), pool)
    }

    /// As [`Self::with`], where `status.indexes` is cut off at so many bytes.
    pub fn with_limit(indexes_limit: usize, pool: Pool) -> Self {
        Self::with_config(Config { indexes_limit, ..Config::default() }, pool)
    }

    /// As [`Self::with`], for a controller that serves a part of what there is.
    pub fn of_a_shard(pool: Pool) -> Self {
        Self::with_config(Config { is_shard: true, ..Config::default() }, pool)
    }

    fn with_config(config: Config, pool: Pool) -> Self {
        let mut scene = Self::configured(config);
        scene.list_all();
        scene.add(pool);
        scene.run();
        scene
    }

    /// Lists all kinds.
    pub fn list_all(&mut self) {
        for kind in KINDS {
            self.list(kind);
        }
    }

    /// Lists a kind.
    pub fn list(&mut self, kind: Kind) {
        self.ledger.list_begins(kind);
        self.end_list(kind, |_| true);
    }

    /// A list of a kind that was begun shows all of it that is there now and fits its selector, and ends.
    pub fn end_list(&mut self, kind: Kind, fits: impl Fn(&Id) -> bool) {
        let all = self.server.objects.values().filter(|seen| seen.id().kind == kind && fits(seen.id()));
        all.cloned().for_each(|seen| self.ledger.list_shows(seen));
        self.ledger.list_ends(kind);
    }

    /// Somebody makes an object, and the watch shows it.
    pub fn add(&mut self, object: impl Into<Seen>) -> Uid {
        let seen = self.server.create(object.into());
        self.ledger.observe(seen.clone());
        seen.meta().uid.clone()
    }

    /// Somebody makes an object of which the watches say nothing yet.
    pub fn add_unseen(&mut self, object: impl Into<Seen>) -> Uid {
        self.server.create(object.into()).meta().uid.clone()
    }

    /// Somebody changes an object, and the watch shows it.
    pub fn change(&mut self, id: &Id, change: impl FnOnce(&mut Seen)) {
        let seen = self.server.change(id, change);
        if seen.meta().is_gone() {
            self.ledger.deleted(id, &seen.meta().uid.clone());
        } else {
            self.ledger.observe(seen);
        }
    }

    pub fn change_claim(&mut self, name: &str, change: impl FnOnce(&mut Claim)) {
        self.change(&claim_id(name), |seen| {
            let Seen::Claim(claim) = seen else { return };
            change(claim);
        });
    }

    pub fn change_pool(&mut self, name: &str, change: impl FnOnce(&mut Pool)) {
        self.change(&pool_id(name), |seen| {
            let Seen::Pool(pool) = seen else { return };
            change(pool);
        });
    }

    pub fn change_address(&mut self, name: &str, change: impl FnOnce(&mut Address)) {
        self.change(&address_id(name), |seen| {
            let Seen::Address(address) = seen else { return };
            change(address);
        });
    }

    /// Somebody asks for an object's deletion.
    pub fn delete(&mut self, id: &Id) {
        self.change(id, |seen| super::server::meta_mut(seen).deleting = true);
    }

    /// An object is torn away, finalizers and all.
    pub fn tear_away(&mut self, id: &Id) {
        let gone = self.server.objects.remove(id).unwrap();
        self.ledger.deleted(id, &gone.meta().uid.clone());
    }

    /// What is due now, in words; from then on it is under way.
    pub fn due(&mut self) -> Vec<String> {
        self.due_at_most(usize::MAX)
    }

    /// At most so many writes of what is due now, in words.
    pub fn due_at_most(&mut self, room: usize) -> Vec<String> {
        let (now, mut said) = (self.time(), Vec::new());
        loop {
            let due = self.ledger.due(now, room - said.len(), &mut self.rng);
            self.ledger.check().unwrap();
            let at_once = |write: &Write| matches!(write.act, Act::Survey { .. }) && !self.surveys_take_time;
            let (surveys, due): (Vec<Write>, Vec<Write>) = due.into_iter().partition(at_once);
            said.extend(due.iter().map(words));
            self.sent.extend(due);
            if surveys.is_empty() {
                return said;
            }
            for survey in surveys {
                let outcome = self.server.carry_out(&survey);
                self.ledger.outcome(&survey, outcome, now, &mut self.rng);
            }
        }
    }

    /// All that is under way takes effect, and its replies arrive.
    pub fn done(&mut self) {
        while !self.sent.is_empty() {
            self.succeed();
        }
    }

    /// The first write under way takes effect, and its reply arrives.
    pub fn succeed(&mut self) {
        let outcome = self.server.carry_out(&self.sent[0]);
        self.reply(outcome);
    }

    /// The first write under way takes effect, and its reply is lost.
    pub fn lose_reply(&mut self) {
        self.server.carry_out(&self.sent[0]);
        self.lose();
    }

    /// The first write under way is lost, with or without effect.
    pub fn lose(&mut self) {
        self.reply(Outcome::Unknown("connection reset".into()));
    }

    /// The first write under way is answered so.
    pub fn reply(&mut self, outcome: Outcome) {
        let write = self.sent.remove(0);
        let now = self.time();
        self.ledger.outcome(&write, outcome, now, &mut self.rng);
    }

    /// All that is due, and what follows from it, until nothing is left to do at this time.
    pub fn run(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let due = self.due();
            if due.is_empty() {
                return all;
            }
            all.extend(due);
            assert!(all.len() < 10_000, "no end in sight: {:?}", &all[all.len() - 10..]);
            self.done();
        }
    }

    /// Ten minutes in which each request that `fails` says is answered so, after whatever goes through at that time. All that
    /// was due.
    pub fn ten_minutes(&mut self, fails: impl Fn(&Act) -> bool, outcome: &Outcome) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..600 {
            all.extend(self.due());
            while !self.sent.is_empty() {
                assert!(all.len() < 10_000, "without end: {:?}", &all[all.len() - 10..]);
                if let Some(at) = self.sent.iter().position(|write| !fails(&write.act)) {
                    let through = self.sent.remove(at);
                    self.sent.insert(0, through);
                    self.succeed();
                } else {
                    self.reply(outcome.clone());
                }
                all.extend(self.due());
            }
            self.pass(Duration::from_secs(1));
        }
        all
    }

    /// Somebody makes an object; all that follows from it.
    pub fn after(&mut self, object: impl Into<Seen>) -> Vec<String> {
        self.add(object);
        self.run()
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Time passes, and what is due then is done, and what follows from it.
    pub fn run_for(&mut self, time: Duration) -> Vec<String> {
        let (end, mut all) = (self.now + time, self.run());
        while let Some(at) = self.ledger.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            all.extend(self.run());
        }
        self.now = end;
        all
    }

    pub fn time(&self) -> Now {
        Now { elapsed: self.now, wall: i64::try_from(self.now.as_secs()).unwrap() }
    }

    pub fn notices(&mut self) -> Vec<Notice> {
        self.ledger.notices()
    }

    /// What a claim shows.
    pub fn shown(&self, claim: &Id) -> &Shown {
        match &self.server.objects[claim] {
            Seen::Claim(claim) => &claim.shown,
            other => panic!("{} is no claim", other.id()),
        }
    }

    /// Names of the address objects that claims publish, by the claims' names.
    pub fn bound(&self) -> Vec<(&str, &str)> {
        let claims = self.server.objects.values().filter_map(|seen| match seen {
            Seen::Claim(claim) => Some((&*claim.id.name, claim.shown.address.as_deref()?)),
            _ => None,
        });
        claims.collect()
    }
}
