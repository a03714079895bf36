//! One controller of several writes: client-go's leader election, with a lease that those use too.
//!
//! What is to be done about the lease is decided in `decide`; here it is done.

mod authority;
mod decide;
mod record;

use std::time::Duration;

use kube::Client;
use rand::RngExt;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub(super) use authority::Authority;
pub use decide::Terms;
use decide::{Candidate, JITTER, Step};
use record::Record;

use super::clock::{since_boot, wall};
use crate::api::{LEASE, SYSTEM_NAMESPACE};
use crate::apply::{Applier, Change, Reply};

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// How long the lease may take to be given back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two tries to give it back.
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// The namespace that this process runs in: the pod's, else that of the shipped manifests.
pub(super) fn own_namespace() -> String {
    let file = std::fs::read_to_string(NAMESPACE_FILE).ok();
    let namespace = file.or_else(|| std::env::var("POD_NAMESPACE").ok());
    let namespace = namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    namespace.unwrap_or_else(|| SYSTEM_NAMESPACE.to_owned())
}

/// An election to take part in.
#[derive(Clone, Debug)]
pub struct Election {
    terms: Terms,
    namespace: String,
    identity: String,
}

impl Election {
    /// The election among the replicas of this pod's Deployment.
    pub fn of_this_pod(terms: Terms) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let identity = format!("{host}_{:016x}", rand::random::<u64>());
        Self { terms, namespace: own_namespace(), identity }
    }

    /// How the lease is kept.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Takes part from now on. `client` must have short timeouts and connections of its own.
    pub(super) fn enter(self, client: Client, authority: Authority) -> Office {
        let (tell, standing) = watch::channel(Standing::Unknown);
        let (leave, left) = oneshot::channel();
        let applier = Applier::new(client, "ipam-controller", self.terms.request_timeout());
        let Self { terms, namespace, identity } = self;
        let candidate = Candidate::new(identity);
        let campaign =
            Campaign { terms, namespace, applier, candidate, authority, tell, mine: None, complaint: None };
        Office { standing, leave, campaign: tokio::spawn(campaign.run(left)) }
    }
}

/// Where this controller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The lease was not read yet.
    Unknown,
    /// Another leads, or nobody yet.
    Standby,
    /// This one leads.
    Leading,
    /// This one led, and could not keep the lease.
    Lost,
}

/// A part in an election.
pub(super) struct Office {
    pub standing: watch::Receiver<Standing>,
    leave: oneshot::Sender<()>,
    campaign: JoinHandle<()>,
}

impl Office {
    /// Gives the lease back. All work that it guards must have stopped.
    pub async fn leave(self) {
        if self.leave.send(()).is_ok() && tokio::time::timeout(RELEASE_TIMEOUT, self.campaign).await.is_err()
        {
            tracing::warn!("the lease could not be given back in time: it runs out by itself");
        }
    }
}

struct Campaign {
    terms: Terms,
    namespace: String,
    applier: Applier,
    candidate: Candidate,
    authority: Authority,
    tell: watch::Sender<Standing>,
    /// Our own record, and when it was sent.
    mine: Option<(Record, Duration)>,
    /// What went wrong last.
    complaint: Option<String>,
}

/// What came of one round.
enum Round {
    /// The lease is ours, by a request sent at that time.
    Held(Record, Duration),
    /// It is another's, at least for so long.
    NotOurs(Duration),
    /// It could not be read or written.
    Failed(String),
}

impl Campaign {
    async fn run(mut self, mut left: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                more = self.round() => if !more { return },
                asked = &mut left => {
                    self.authority.revoke();
                    // Without being asked: what the lease guards may not have stopped, and it has to run out.
                    return if asked.is_ok() { self.release().await };
                }
            }
        }
    }

    /// One round, and the pause after it; false once the lease is lost.
    async fn round(&mut self) -> bool {
        let before = self.candidate.holder().map(str::to_owned);
        let round = match self.time_left() {
            // One that was asleep learns here that its time is over, and asks for nothing more.
            Some(Duration::ZERO) => return self.lose("it was not renewed in time"),
            Some(left) => match tokio::time::timeout(left, self.attempt()).await {
                Ok(round) => round,
                Err(_) => return self.lose("it could not be renewed in time"),
            },
            None => self.attempt().await,
        };
        let pause = match round {
            Round::Held(record, sent) => self.hold(record, sent),
            Round::NotOurs(_) if self.mine.is_some() => return self.lose("somebody else has had it"),
            Round::NotOurs(left) => {
                self.stand(Standing::Standby);
                left.min(self.jittered())
            }
            Round::Failed(why) => self.complain(why),
        };
        if self.candidate.holder() != before.as_deref() {
            let holder = self.candidate.holder().unwrap_or("nobody");
            tracing::info!(holder, lease = LEASE, namespace = self.namespace, "who leads");
        }
        tokio::time::sleep(pause).await;
        true
    }

    /// How long this controller leads without another sign of life; none where it does not lead.
    fn time_left(&self) -> Option<Duration> {
        let (_, sent) = self.mine.as_ref()?;
        Some((*sent + self.terms.renew_deadline()).saturating_sub(since_boot()))
    }

    fn hold(&mut self, record: Record, sent: Duration) -> Duration {
        self.authority.grant(sent + self.terms.renew_deadline());
        self.candidate.saw(&record, sent);
        self.mine = Some((record, sent));
        self.complaint = None;
        self.stand(Standing::Leading);
        self.terms.retry()
    }

    /// Says what is wrong, each thing once.
    fn complain(&mut self, why: String) -> Duration {
        if self.complaint.as_ref() != Some(&why) {
            tracing::warn!(
                lease = LEASE,
                namespace = self.namespace,
                "the lease cannot be kept or had: {why}"
            );
            self.complaint = Some(why);
        }
        let Some(left) = self.time_left() else {
            self.stand(Standing::Standby);
            return self.jittered();
        };
        left.min(self.terms.retry())
    }

    fn lose(&mut self, why: &str) -> bool {
        self.authority.revoke();
        tracing::error!(lease = LEASE, "the lease is lost: {why}");
        self.stand(Standing::Lost);
        false
    }

    fn stand(&self, standing: Standing) {
        self.tell.send_if_modified(|now| std::mem::replace(now, standing) != standing);
    }

    /// Tries once to have the lease.
    async fn attempt(&mut self) -> Round {
        // The leader renews what it knows; where that is not the latest, it reads first.
        if let Some((record, _)) = &self.mine {
            let renewal = record::renew(&self.namespace, record, self.terms.lease(), wall());
            if let held @ Round::Held(..) = self.send(&renewal).await {
                return held;
            }
        }
        let record = match self.applier.carry_out(&record::read(&self.namespace)).await {
            Reply::NotFound => None,
            reply => match read(reply) {
                Ok(record) => Some(record),
                Err(why) => return Round::Failed(why),
            },
        };
        let (lease, identity) = (self.terms.lease(), self.candidate.identity().to_owned());
        let change = match self.candidate.next(record, since_boot()) {
            Step::Create => record::create(&self.namespace, &identity, lease, wall()),
            // Whoever had it in between may have written.
            Step::Take(_) if self.mine.is_some() => return Round::NotOurs(Duration::ZERO),
            Step::Take(seen) => record::take(&self.namespace, &seen, &identity, lease, wall()),
            Step::Renew(seen) => record::renew(&self.namespace, &seen, lease, wall()),
            Step::Wait(left) => return Round::NotOurs(left),
        };
        self.send(&change).await
    }

    /// Sends a change that makes the lease ours, or keeps it so.
    async fn send(&self, change: &Change) -> Round {
        // The others count from when they see it, which is later.
        let sent = since_boot();
        match self.applier.carry_out(change).await {
            // Somebody was quicker, and who is read in the next round.
            Reply::GuardFailed { .. } | Reply::AlreadyExists if self.mine.is_none() => {
                Round::NotOurs(self.terms.retry())
            }
            reply => match read(reply) {
                Ok(record) => Round::Held(record, sent),
                Err(why) => Round::Failed(why),
            },
        }
    }

    fn jittered(&self) -> Duration {
        self.terms.retry().mul_f64(1.0 + rand::rng().random_range(0.0..JITTER))
    }

    /// Gives the lease back, however often that takes: a renewal that was cut off may still arrive, after which what was
    /// read just before counts no more. Whoever waits for this knows for how long.
    async fn release(&self) {
        while let Err(why) = self.try_to_release().await {
            tracing::debug!(lease = LEASE, "the lease is not given back yet: {why}");
            tokio::time::sleep(RELEASE_PAUSE).await;
        }
    }

    async fn try_to_release(&self) -> Result<(), String> {
        let record = match self.applier.carry_out(&record::read(&self.namespace)).await {
            Reply::NotFound => return Ok(()),
            reply => read(reply)?,
        };
        if record.holder == self.candidate.identity() {
            read(self.applier.carry_out(&record::release(&self.namespace, &record, wall())).await)?;
            tracing::info!(lease = LEASE, "the lease is given back");
        }
        Ok(())
    }
}

/// The lease in a reply, or why there is none.
fn read(reply: Reply) -> Result<Record, String> {
    match reply {
        Reply::Object(object) => Record::of(*object).map_err(|error| format!("it cannot be read: {error}")),
        Reply::Refused { code: 403, message } => {
            Err(format!("{message}; hint: the Role for leases in the manifests grants it"))
        }
        Reply::Refused { code: 401, message } => Err(format!(
            "{message}; hint: its account may have been made anew; a new pod has a token of that one"
        )),
        Reply::Refused { message, .. }
        | Reply::GuardFailed { message }
        | Reply::NotNow { message, .. }
        | Reply::Unknown { message } => Err(message),
        Reply::NotFound | Reply::NotServed | Reply::Deleted => Err("there is none".into()),
        Reply::AlreadyExists => Err("it exists already".into()),
    }
}
