//! Watches → ledger → applier. What is to be done is decided in the ledger; here is only the order of things.

pub mod certificates;
mod clock;
mod events;
mod leader;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use kube::Client;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use clock::Clock;
use events::Events;
pub use leader::{Leader, current_leader};
use watch::{News, Watches};

use crate::admission::{Live, Question};
use crate::api::{CapiVersion, Family, Kind};
use crate::apply::{self, Applier};
use crate::ledger::{self, Id, Ledger, Outcome, Write};

/// What a controller is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one namespace that is served; all where it is empty.
    pub namespace: String,
    /// Value of the watch-filter label of the pools and claims that are served; all where it is empty.
    pub watch_filter: String,
    /// The most requests under way at once.
    pub in_flight: usize,
    /// How long an address must have been without its claim before it is released.
    pub grace: Duration,
}

/// The kinds that are watched, in the order in which they are listed first: an address is known before the claim that
/// it belongs to, and both before the pool.
const KINDS: [Kind; 6] = [
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Pool,
    Kind::Cluster,
];

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves claims until `stop` resolves; then lets the writes under way finish.
pub async fn run(client: Client, options: &Options, stop: impl Future<Output = ()>) {
    let (_, nobody_asks) = Live::new();
    run_and_answer(client, options, nobody_asks, stop).await;
}

/// As [`run`], and answers what admission asks.
pub async fn run_and_answer(
    client: Client,
    options: &Options,
    questions: mpsc::Receiver<Question>,
    stop: impl Future<Output = ()>,
) {
    let (news, inbox) = mpsc::channel(1024);
    let watches = Watches {
        client: client.clone(),
        namespace: options.namespace.clone(),
        filter: options.watch_filter.clone(),
        news,
    };
    let mut controller = Controller {
        ledger: Ledger::new(ledger::Config { grace: options.grace, ..ledger::Config::default() }, KINDS),
        clock: Clock::start(),
        rng: SmallRng::from_rng(&mut rand::rng()),
        applier: Applier::new(client.clone(), "ipam-controller", REQUEST_TIMEOUT),
        events: Events::new(client),
        lists: BTreeMap::new(),
        known: BTreeSet::new(),
        capi: CapiVersion::default(),
        room: options.in_flight,
        ready: false,
    };
    let mut followers = JoinSet::new();
    controller.work(watches, inbox, questions, &mut followers, stop).await;
}

struct Controller {
    ledger: Ledger,
    clock: Clock,
    rng: SmallRng,
    applier: Applier,
    events: Events,
    /// Lists that are under way.
    lists: BTreeMap<Kind, BTreeSet<Id>>,
    /// Kinds of which it is known which objects there are, or that they are not installed.
    known: BTreeSet<Kind>,
    /// The version in which Cluster API's claims and addresses are served.
    capi: CapiVersion,
    room: usize,
    ready: bool,
}

impl Controller {
    async fn work(
        &mut self,
        watches: Watches,
        mut inbox: mpsc::Receiver<News>,
        mut questions: mpsc::Receiver<Question>,
        followers: &mut JoinSet<()>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut under_way = FuturesUnordered::new();
        let mut kinds = KINDS.into_iter();
        if let Some(kind) = kinds.next() {
            followers.spawn(watches.clone().follow(kind));
        }
        loop {
            let wake = self.wake_time(under_way.len());
            tokio::select! {
                () = &mut stop => break,
                Some(news) = inbox.recv() => {
                    let mut news = Some(news);
                    while let Some(latest) = news {
                        // The next kind is listed once this one is.
                        if self.hear(latest) && let Some(kind) = kinds.next() {
                            followers.spawn(watches.clone().follow(kind));
                        }
                        news = inbox.try_recv().ok();
                    }
                }
                Some(Question { pool, within, answer }) = questions.recv() => {
                    // Without an answer the question is dropped, and whoever asked learns that it is not known yet.
                    if let Some(held) = self.ledger.held(&pool, &within) {
                        answer.send(held).ok();
                    }
                }
                Some((write, outcome)) = under_way.next() => self.land(&write, outcome),
                () = self.clock.sleep_until(wake) => {}
            }
            let room = self.room.saturating_sub(under_way.len());
            for write in self.ledger.due(self.clock.now(), room, &mut self.rng) {
                under_way.push(carry_out(self.applier.clone(), write, self.capi));
            }
            self.events.publish(self.ledger.notices());
        }
        tracing::info!(under_way = under_way.len(), "stopping: the writes under way finish");
        followers.abort_all();
        while let Some((write, outcome)) = under_way.next().await {
            self.land(&write, outcome);
        }
    }

    /// When there may be something to do, where there is room to do it.
    fn wake_time(&self, under_way: usize) -> Option<Duration> {
        (under_way < self.room).then(|| self.ledger.next_wake()).flatten()
    }

    fn land(&mut self, write: &Write, outcome: Outcome) {
        tracing::debug!(object = %write.subject, act = %write.act, outcome = %brief(&outcome), "write");
        self.ledger.outcome(write, outcome, self.clock.now(), &mut self.rng);
    }

    /// Takes in one piece of news; true if it is known of a kind for the first time which objects there are.
    fn hear(&mut self, news: News) -> bool {
        match news {
            News::Listing(kind, version) => self.listing(kind, version),
            News::Listed(seen) => {
                self.served(seen.id().kind);
                if let Some(list) = self.lists.get_mut(&seen.id().kind) {
                    list.insert(seen.id().clone());
                }
                self.ledger.observe(seen);
            }
            News::ListDone(kind) => {
                self.served(kind);
                let list = self.lists.remove(&kind).unwrap_or_default();
                return self.listed(kind, &list);
            }
            News::Seen(seen) => self.ledger.observe(seen),
            News::Deleted(id, uid) => self.ledger.deleted(&id, &uid),
            News::NotServed(kind) => return self.not_served(kind),
        }
        false
    }

    fn listing(&mut self, kind: Kind, version: CapiVersion) {
        self.lists.insert(kind, BTreeSet::new());
        self.ledger.listing(kind);
        if let Kind::Claim(Family::Capi) | Kind::Address(Family::Capi) = kind {
            self.capi = version;
        }
    }

    /// The API server has begun to answer a list, so there is such a kind.
    fn served(&mut self, kind: Kind) {
        self.ledger.serves(kind);
        if let Kind::Claim(Family::Capi) | Kind::Address(Family::Capi) = kind {
            // The two come together: no claim is looked at while its family's addresses are not known.
            self.ledger.serves(Kind::Address(Family::Capi));
            self.ledger.serves(Kind::Claim(Family::Capi));
        }
    }

    /// The kinds of Cluster API may be missing; those of this project may not.
    fn not_served(&mut self, kind: Kind) -> bool {
        if kind.versions().len() < 2 {
            tracing::error!(
                kind = kind.name(),
                "the API server does not serve the kind; hint: install the CRDs with `kubectl apply -k config/crd`"
            );
            return false;
        }
        let first = self.known.insert(kind);
        if first || self.ledger.was_listed(kind) {
            tracing::info!(kind = kind.name(), group = kind.group(), "not installed; served when it is");
        }
        self.ledger.serves_not(kind);
        self.tell_readiness();
        first
    }

    fn listed(&mut self, kind: Kind, list: &BTreeSet<Id>) -> bool {
        if !self.ledger.was_listed(kind) {
            tracing::info!(kind = kind.name(), group = kind.group(), objects = list.len(), "listed");
        }
        self.ledger.relisted(kind, list);
        self.tell_readiness();
        self.known.insert(kind)
    }

    fn tell_readiness(&mut self) {
        if self.ledger.is_ready() && !self.ready {
            self.ready = true;
            tracing::info!("ready: all kinds are listed, claims are served");
        }
    }
}

async fn carry_out(applier: Applier, write: Write, capi: CapiVersion) -> (Write, Outcome) {
    let reply = applier.carry_out(&apply::change(&write, capi)).await;
    let outcome = apply::outcome(&write, reply);
    (write, outcome)
}

/// An outcome in a few words, for the log.
fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Seen(seen) => format!("version {}", seen.meta().version),
        Outcome::Names { names, complete: true } => format!("{} names", names.len()),
        Outcome::Names { names, complete: false } => format!("{} names and more", names.len()),
        Outcome::Gone => "gone".into(),
        Outcome::Exists => "the name is taken".into(),
        Outcome::GuardFailed(why) | Outcome::Refused(why) | Outcome::Unknown(why) => why.clone(),
        Outcome::NotNow(_) => "not now".into(),
    }
}
