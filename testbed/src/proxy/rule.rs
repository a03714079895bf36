//! Which requests meet which fault.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{Call, Reply, Verb, happens};
use crate::Error;

/// Some requests, told by what they ask. All conditions have to hold; without any, every request is meant.
#[derive(Clone, Debug, Default)]
pub struct Match {
    verb: Option<Verb>,
    writes: bool,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    query: Option<String>,
    body: Option<String>,
    user_agent: Option<String>,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this verb.
    pub fn verb(verb: Verb) -> Self {
        Self { verb: Some(verb), ..Self::default() }
    }

    /// Watches that begin with all that there is, as a controller lists a kind.
    pub fn first_list() -> Self {
        Self::verb(Verb::Watch).query("sendInitialEvents=true")
    }

    /// Requests that change something.
    pub fn writes() -> Self {
        Self { writes: true, ..Self::default() }
    }

    /// About this kind: a plural, or `plural.group` where several groups have that plural. Its subresources are meant,
    /// too.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        Self { resource: Some(resource.to_owned()), ..self }
    }

    /// About this subresource; about the object itself if empty.
    #[must_use]
    pub fn subresource(self, subresource: &str) -> Self {
        Self { subresource: Some(subresource.to_owned()), ..self }
    }

    /// In this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// About an object whose name contains `part`.
    #[must_use]
    pub fn name(self, part: &str) -> Self {
        Self { name: Some(part.to_owned()), ..self }
    }

    /// With a query that contains `part`.
    #[must_use]
    pub fn query(self, part: &str) -> Self {
        Self { query: Some(part.to_owned()), ..self }
    }

    /// With a body that contains `part`.
    #[must_use]
    pub fn body(self, part: &str) -> Self {
        Self { body: Some(part.to_owned()), ..self }
    }

    /// From a client whose `User-Agent` contains `part`.
    #[must_use]
    pub fn user_agent(self, part: &str) -> Self {
        Self { user_agent: Some(part.to_owned()), ..self }
    }

    /// Whether `call` is one of the requests that are meant.
    pub fn includes(&self, call: &Call) -> bool {
        let holds = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(test);
        self.verb.is_none_or(|verb| verb == call.verb)
            && (!self.writes || call.verb.is_write())
            && holds(&self.resource, &|resource| call.is_about(resource))
            && holds(&self.subresource, &|subresource| call.subresource == subresource)
            && holds(&self.namespace, &|namespace| call.namespace == namespace)
            && holds(&self.name, &|part| call.name.contains(part))
            && holds(&self.user_agent, &|part| call.user_agent.contains(part))
            && holds(&self.query, &|part| call.uri.query().unwrap_or_default().contains(part))
            && holds(&self.body, &|part| String::from_utf8_lossy(&call.body).contains(part))
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// The proxy answers; the request never reaches the API server.
    AnswerBefore(Reply),
    /// The request takes effect, and then the proxy gives another answer.
    AnswerAfter(Reply),
    /// The connection is cut; the request never reaches the API server.
    CutBefore,
    /// The request takes effect, and then the connection is cut instead of an answer.
    CutAfter,
    /// The request is sent on some time later.
    DelayBefore(Duration),
    /// The answer is given some time later.
    DelayAfter(Duration),
    /// The request is parked until [`Handle::release`], and sent on then, even if the client has given up meanwhile.
    HoldBefore,
    /// The request takes effect, and its answer is parked until [`Handle::release`].
    HoldAfter,
}

/// A fault for some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    on: Match,
    skip: u64,
    times: u64,
    action: Action,
}

impl Rule {
    /// Each of these requests meets `action`.
    pub fn new(on: Match, action: Action) -> Self {
        Self { on, skip: 0, times: u64::MAX, action }
    }

    /// The first `n` of them do not.
    #[must_use]
    pub fn skip(self, n: u64) -> Self {
        Self { skip: n, ..self }
    }

    /// Only `n` of them do.
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self { times: n, ..self }
    }

    /// Only the first one does.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// How often a rule has acted.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    matched: u64,
    seen: u64,
    parked: u64,
    done: u64,
}

/// A rule that a proxy follows.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) rule: Rule,
    tally: watch::Sender<Tally>,
    released: watch::Sender<bool>,
}

impl Active {
    /// Whether the rule acts on this request, which it counts.
    fn takes(&self, call: &Call) -> bool {
        if *self.released.borrow() || !self.rule.on.includes(call) {
            return false;
        }
        let mut takes = false;
        self.tally.send_modify(|tally| {
            takes = (self.rule.skip..self.rule.skip.saturating_add(self.rule.times)).contains(&tally.matched);
            tally.matched += 1;
            tally.seen += u64::from(takes);
        });
        takes
    }

    /// Parks the request until the rule is released.
    pub(super) async fn park(&self) {
        self.tally.send_modify(|tally| tally.parked += 1);
        // Cannot fail while `self` has the sender.
        self.released.subscribe().wait_for(|released| *released).await.ok();
    }

    pub(super) fn action(&self) -> &Action {
        &self.rule.action
    }

    pub(super) fn done(&self) {
        self.tally.send_modify(|tally| tally.done += 1);
    }

    async fn reaches(&self, what: &str, n: u64, count: impl Fn(&Tally) -> u64) -> Result<(), Error> {
        let mut tally = self.tally.subscribe();
        let reached = async { tally.wait_for(|tally| count(tally) >= n).await.is_ok() };
        happens(reached, || format!("{n} × {what} by {:?}", self.rule)).await
    }
}

/// The rules of a proxy, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<Arc<Active>>>);

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> Handle {
        let active =
            Arc::new(Active { rule, tally: watch::Sender::default(), released: watch::Sender::new(false) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(active.clone());
        Handle(active)
    }

    /// The first rule that acts on the request.
    pub(super) fn decide(&self, call: &Call) -> Option<Arc<Active>> {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().find(|active| active.takes(call)).cloned()
    }
}

/// A rule at work. Dropping the handle leaves the rule in force.
///
/// Every wait ends with an error after half a minute.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Active>);

impl Handle {
    /// Waits until the rule has acted on `n` requests, whatever became of them.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn seen(&self, n: u64) -> Result<(), Error> {
        self.0.reaches("seen", n, |tally| tally.seen).await
    }

    /// Waits until `n` requests have been parked.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn parked(&self, n: u64) -> Result<(), Error> {
        self.0.reaches("parked", n, |tally| tally.parked).await
    }

    /// Waits until `n` requests on which the rule acted have had their end: an answer or a cut.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn done(&self, n: u64) -> Result<(), Error> {
        self.0.reaches("done", n, |tally| tally.done).await
    }

    /// On how many requests the rule has acted.
    pub fn count(&self) -> u64 {
        self.0.tally.borrow().seen
    }

    /// Ends the rule: what is parked goes on, and later requests do not meet it.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, body::Bytes};

    use super::*;

    fn patch(name: &str) -> Call {
        let uri = format!("/apis/ipam.metal3.io/v1alpha1/namespaces/n/ipclaims/{name}/status?force=true");
        let request = Request::patch(uri).header("user-agent", "controller/1").body(()).unwrap();
        Call::new(&request.into_parts().0, Bytes::from_static(b"[{\"op\":\"test\"}]"))
    }

    #[test]
    fn each_condition_of_a_match_has_to_hold() {
        let call = patch("claim-7");
        let all = Match::verb(Verb::Patch)
            .resource("ipclaims")
            .subresource("status")
            .namespace("n")
            .name("im-7")
            .query("force")
            .body("\"op\"")
            .user_agent("controller");
        assert!(all.includes(&call) && Match::any().includes(&call) && Match::writes().includes(&call));
        let others = [
            Match::verb(Verb::Put),
            all.clone().resource("ippools"),
            all.clone().subresource(""),
            all.clone().namespace("m"),
            all.clone().name("im-8"),
            all.clone().query("dryRun"),
            all.clone().body("metadata"),
            all.clone().user_agent("kubectl"),
        ];
        for other in others {
            assert!(!other.includes(&call), "{other:?}");
        }
    }

    #[test]
    fn a_rule_acts_on_the_requests_between_skip_and_times() {
        let rules = Rules::default();
        let rule = rules.add(Rule::new(Match::any(), Action::CutBefore).skip(1).times(2));
        let acted: Vec<bool> = (0..5).map(|_| rules.decide(&patch("c")).is_some()).collect();
        assert_eq!(acted, [false, true, true, false, false]);
        assert_eq!(rule.count(), 2);
    }

    #[test]
    fn the_first_rule_that_is_due_acts_and_a_released_one_is_over() {
        let rules = Rules::default();
        let first = rules.add(Rule::new(Match::any(), Action::CutBefore));
        let second = rules.add(Rule::new(Match::any(), Action::CutAfter));
        assert!(rules.decide(&patch("c")).is_some());
        assert_eq!((first.count(), second.count()), (1, 0));
        first.release();
        assert!(rules.decide(&patch("c")).is_some());
        assert_eq!((first.count(), second.count()), (1, 1));
    }
}
