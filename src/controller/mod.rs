//! Watches → ledger → applier. What is to be done is decided in the ledger; here is only the order of things.

pub mod certificates;
mod clock;
mod errand;
mod events;
mod health;
mod leader;
mod lease;
mod listen;
mod metrics;
mod process;
mod tls;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use kube::Client;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use clock::Clock;
use errand::Errand;
use events::Events;
pub use health::Check;
use health::Pulse;
pub use leader::{Leader, current_leader};
use lease::Standing;
pub use lease::{Election, Terms};
pub use listen::Listen;
use metrics::{Asked, Metrics};
pub use process::{Endpoints, Error as ProcessError, Process};
pub use tls::TlsPolicy;
use watch::{News, Watches};

use crate::admission::Question;
use crate::api::{CapiVersion, Family, Kind};
use crate::apply::Applier;
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

impl Options {
    fn ledger(&self) -> ledger::Config {
        let is_shard = !self.watch_filter.is_empty();
        ledger::Config { grace: self.grace, is_shard, ..ledger::Config::default() }
    }
}

/// The kinds that are watched.
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

/// How often the loop turns at least, as a sign of life.
const BEAT: Duration = Duration::from_secs(5);

/// How long the writes under way may take at the end: with the lease's release it is less than the 10 s that
/// the contract gives a process, of the 25 s that a pod has.
const LAST_WRITES: Duration = Duration::from_secs(7);

/// What ties the loop to the rest of the process.
struct Links {
    /// Whether this controller leads.
    standing: tokio::sync::watch::Receiver<Standing>,
    /// Questions for figures.
    asked: Asked,
    /// Questions of admission.
    questions: mpsc::Receiver<Question>,
    pulse: Pulse,
    metrics: Metrics,
}

/// How the work ended.
enum End {
    /// As asked, with nothing under way.
    Done,
    /// As asked, with writes under way that took too long.
    CutShort,
    /// Another may lead.
    LeaseLost,
}

/// Serves claims until `stop` resolves, as the only controller there is, and answers what admission asks: the loop without
/// the process around it.
pub async fn run_alone(
    client: Client,
    options: &Options,
    questions: mpsc::Receiver<Question>,
    stop: impl Future<Output = ()>,
) {
    let (_unchanged, standing) = tokio::sync::watch::channel(Standing::Leading);
    let (_nobody, asked) = mpsc::channel(1);
    let links = Links { standing, asked, questions, pulse: Pulse::default(), metrics: Metrics::new() };
    // The lease of nobody cannot be lost, so the end is as asked.
    let (End::Done | End::CutShort | End::LeaseLost) = work(client, options, links, stop).await;
}

/// Serves claims until `stop` resolves; then lets the writes under way finish.
async fn work(client: Client, options: &Options, links: Links, stop: impl Future<Output = ()>) -> End {
    // Each round of watches has a channel of its own.
    let (news, _) = mpsc::channel(1);
    let watches = Watches {
        client: client.clone(),
        namespace: options.namespace.clone(),
        filter: options.watch_filter.clone(),
        metrics: links.metrics.clone(),
        news,
        heard: watch::Heard::default(),
    };
    let mut controller = Controller {
        ledger: Ledger::new(options.ledger(), KINDS),
        clock: Clock::start(),
        rng: SmallRng::from_rng(&mut rand::rng()),
        applier: Applier::new(client.clone(), "ipam-controller", REQUEST_TIMEOUT),
        events: Events::new(client),
        lists: BTreeMap::new(),
        missing: BTreeSet::new(),
        capi: CapiVersion::default(),
        room: options.in_flight,
        ready: false,
        set_back: false,
        leading: false,
        pulse: links.pulse.clone(),
        metrics: links.metrics.clone(),
    };
    controller.work(watches, links, stop).await
}

/// The watches of one round of lists. Dropping it ends them, and what they have said since is not heard.
struct Round {
    inbox: mpsc::Receiver<News>,
    followers: JoinSet<()>,
}

impl Round {
    /// All kinds are asked for at once: nothing is decided before all are known, in whatever order they come in.
    fn begin(watches: &Watches) -> Self {
        let (news, inbox) = mpsc::channel(1024);
        let watches = Watches { news, ..watches.clone() };
        let follow = |kind| watches.clone().follow(kind);
        Self { inbox, followers: KINDS.into_iter().map(follow).collect() }
    }
}

/// A list that is under way.
struct List {
    /// The version in which Cluster API's kinds are listed.
    version: CapiVersion,
    /// How many objects it has shown so far.
    shown: usize,
}

struct Controller {
    ledger: Ledger,
    clock: Clock,
    rng: SmallRng,
    applier: Applier,
    events: Events,
    /// Lists that are under way.
    lists: BTreeMap<Kind, List>,
    /// Kinds that are not installed, as far as this was said.
    missing: BTreeSet<Kind>,
    /// The version in which Cluster API's claims and addresses are served.
    capi: CapiVersion,
    room: usize,
    ready: bool,
    /// The API server has forgotten what was given out: a person has to see to that before anything more is.
    set_back: bool,
    /// This controller leads, and its lists are of its term.
    leading: bool,
    pulse: Pulse,
    metrics: Metrics,
}

impl Controller {
    async fn work(&mut self, watches: Watches, mut links: Links, stop: impl Future<Output = ()>) -> End {
        let mut stop = std::pin::pin!(stop);
        let mut under_way = FuturesUnordered::new();
        tokio::select! {
            () = &mut stop => return End::Done,
            // Where this controller leads at once, one round of lists does.
            _ = links.standing.wait_for(|standing| *standing != Standing::Unknown) => {}
        }
        self.leading = *links.standing.borrow_and_update() == Standing::Leading;
        let mut round = Round::begin(&watches);
        let mut beat = tokio::time::interval(BEAT);
        loop {
            self.pulse.beat();
            self.metrics.stands(self.leading, self.ready);
            self.metrics.in_flight(under_way.len());
            let wake = self.wake_time(under_way.len());
            tokio::select! {
                () = &mut stop => break,
                changed = links.standing.changed() => match changed.map(|()| *links.standing.borrow_and_update()) {
                    Ok(Standing::Leading) => round = self.begin_term(&watches),
                    Ok(Standing::Standby | Standing::Unknown) => {}
                    Ok(Standing::Lost) | Err(_) => return End::LeaseLost,
                },
                Some(news) = round.inbox.recv() => {
                    let mut news = Some(news);
                    while let Some(latest) = news {
                        self.hear(latest);
                        news = round.inbox.try_recv().ok();
                    }
                }
                Some(ended) = round.followers.join_next() => {
                    // Without one kind's news, what is known of it grows old and says nothing of that.
                    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                        std::panic::resume_unwind(panic);
                    }
                }
                Some((write, outcome)) = under_way.next() => self.land(&write, outcome),
                Some(tell) = links.asked.recv() => self.tell_figures(tell),
                Some(question) = links.questions.recv() => self.tell_held(question),
                () = self.clock.sleep_until(wake) => {}
                _ = beat.tick() => {}
            }
            if !self.leading || self.set_back {
                self.ledger.stand_by();
                continue;
            }
            let room = self.room.saturating_sub(under_way.len());
            for write in self.ledger.due(self.clock.now(), room, &mut self.rng) {
                let errand = Errand::new(write, self.capi, &self.ledger);
                under_way.push(errand.run(self.applier.clone(), self.metrics.clone()));
            }
            let notices = self.ledger.notices();
            self.events.publish(notices, &self.ledger);
        }
        drop(round);
        tracing::info!(under_way = under_way.len(), "stopping: the writes under way finish");
        let land_all = async {
            while let Some((write, outcome)) = under_way.next().await {
                self.land(&write, outcome);
            }
        };
        if timeout(LAST_WRITES, land_all).await.is_ok() {
            return End::Done;
        }
        tracing::warn!(under_way = under_way.len(), "stopping although writes are under way");
        End::CutShort
    }

    /// This controller leads from now on: it decides once all kinds are listed anew.
    fn begin_term(&mut self, watches: &Watches) -> Round {
        tracing::info!("this controller leads: all kinds are listed anew");
        self.leading = true;
        self.ready = false;
        self.lists.clear();
        self.ledger.begin_term(KINDS);
        Round::begin(watches)
    }

    /// Only who decides knows who waits.
    fn tell_figures(&self, tell: tokio::sync::oneshot::Sender<Option<ledger::Figures>>) {
        let figures = (self.leading && self.ledger.is_ready()).then(|| self.ledger.figures());
        // Whoever asked may have gone.
        drop(tell.send(figures));
    }

    /// Without an answer the question is dropped, and whoever asked learns that it is not known yet.
    fn tell_held(&self, Question { pool, within, answer }: Question) {
        if let Some(held) = self.ledger.held(&pool, &within) {
            answer.send(held).ok();
        }
    }

    /// When there may be something to do, where there is room to do it.
    fn wake_time(&self, under_way: usize) -> Option<Duration> {
        (self.leading && !self.set_back && under_way < self.room).then(|| self.ledger.next_wake()).flatten()
    }

    fn land(&mut self, write: &Write, outcome: Outcome) {
        self.metrics.landed(write, &outcome);
        if tracing::enabled!(tracing::Level::DEBUG) {
            let ledger::Parties { claim, pool, address } = self.ledger.parties(write);
            let (claim, pool, address) = (place(claim), place(pool), place(address));
            tracing::debug!(claim, pool, address, act = %write.act, outcome = %brief(&outcome), "write");
        }
        self.ledger.outcome(write, outcome, self.clock.now(), &mut self.rng);
    }

    /// Takes in one piece of news.
    fn hear(&mut self, news: News) {
        match news {
            News::Listing(kind, version, tell) => {
                self.lists.insert(kind, List { version, shown: 0 });
                self.ledger.list_begins(kind);
                // Its watch may have ended meanwhile.
                tell.send(()).ok();
            }
            News::Listed(seen) => {
                self.served(seen.id().kind);
                if let Some(list) = self.lists.get_mut(&seen.id().kind) {
                    list.shown += 1;
                }
                self.ledger.list_shows(seen);
            }
            News::ListDone(kind) => {
                self.served(kind);
                let shown = self.lists.remove(&kind).map_or(0, |list| list.shown);
                self.listed(kind, shown);
            }
            News::Seen(seen) => self.ledger.observe(seen),
            News::Deleted(id, uid) => self.ledger.deleted(&id, &uid),
            News::NotServed(kind) => self.not_served(kind),
            News::SetBack => {
                self.set_back = true;
                self.ready = false;
            }
        }
    }

    /// The API server has begun to answer a list, so there is such a kind.
    fn served(&mut self, kind: Kind) {
        self.ledger.serves(kind);
        if let Kind::Claim(Family::Capi) | Kind::Address(Family::Capi) = kind {
            if let Some(list) = self.lists.get(&kind) {
                self.capi = list.version;
            }
            // The two come together: no claim is looked at while its family's addresses are not known.
            self.ledger.serves(Kind::Address(Family::Capi));
            self.ledger.serves(Kind::Claim(Family::Capi));
        }
    }

    /// The kinds of Cluster API may be missing; those of this project may not.
    fn not_served(&mut self, kind: Kind) {
        if !kind.is_optional() {
            self.metrics.watch_failed(kind);
            tracing::error!(
                kind = kind.name(),
                "the API server does not serve the kind; hint: install the CRDs with `kubectl apply -k config/crd`"
            );
            return;
        }
        if self.missing.insert(kind) {
            tracing::info!(kind = kind.name(), group = kind.group(), "not installed; served when it is");
        }
        self.ledger.serves_not(kind);
        self.tell_readiness();
    }

    fn listed(&mut self, kind: Kind, objects: usize) {
        if !self.ledger.was_listed(kind) {
            tracing::info!(kind = kind.name(), group = kind.group(), objects, "listed");
        }
        self.ledger.list_ends(kind);
        self.missing.remove(&kind);
        self.tell_readiness();
    }

    fn tell_readiness(&mut self) {
        if self.ledger.is_ready() && !self.ready && !self.set_back {
            self.ready = true;
            self.pulse.synced();
            let what = if self.leading { "claims are served" } else { "this controller stands by" };
            tracing::info!("ready: all kinds are listed, {what}");
        }
    }
}

/// Where an object is, for the log.
fn place(id: Option<Id>) -> Option<String> {
    id.map(|Id { namespace, name, .. }| format!("{namespace}/{name}"))
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
