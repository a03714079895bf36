//! Watch streams on their way to the client: passed on, held back, cut, or declared too old.

use std::{collections::VecDeque, sync::Arc};

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use tokio::sync::watch;

use super::{BoxError, Call, Reply, happens};
use crate::Error;

/// How the API server begins an event that tells nothing but a resource version.
const BOOKMARK: &[u8] = br#"{"type":"BOOKMARK""#;

/// What is to become of the watches of a proxy, now and later.
#[derive(Debug, Default)]
pub(super) struct Watches {
    orders: watch::Sender<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    holds: Vec<Arc<Hold>>,
    /// All ends that were ever ordered. A stream obeys those that came after it.
    ends: Vec<End>,
}

#[derive(Clone, Debug)]
struct End {
    resource: String,
    /// The last event; none if the connection is cut.
    event: Option<Bytes>,
}

#[derive(Debug)]
struct Hold {
    resource: String,
    buffered: watch::Sender<u64>,
}

impl Watches {
    pub(super) fn hold(self: &Arc<Self>, resource: &str) -> WatchHold {
        let hold = Arc::new(Hold { resource: resource.to_owned(), buffered: watch::Sender::default() });
        self.orders.send_modify(|orders| orders.holds.push(hold.clone()));
        WatchHold { watches: self.clone(), hold }
    }

    pub(super) fn end(&self, resource: &str, last: Option<&Reply>) {
        let end = End { resource: resource.to_owned(), event: last.map(Reply::event) };
        self.orders.send_modify(|orders| orders.ends.push(end));
    }

    /// The stream of `call` as the client is to see it.
    pub(super) fn relay(&self, call: Call, upstream: Body) -> Relay {
        let orders = self.orders.subscribe();
        let obeyed = orders.borrow().ends.len();
        Relay { call, upstream, orders, obeyed, line: Vec::new(), ready: VecDeque::new(), over: false }
    }
}

/// Watch events that are held back. Dropping it lets them go.
#[derive(Debug)]
#[must_use = "dropping it lets the events go"]
pub struct WatchHold {
    watches: Arc<Watches>,
    hold: Arc<Hold>,
}

impl WatchHold {
    /// Waits until `n` events have come that are held back, bookmarks aside.
    ///
    /// # Errors
    /// [`Error::NeverHappened`].
    pub async fn buffered(&self, n: u64) -> Result<(), Error> {
        let mut buffered = self.hold.buffered.subscribe();
        let reached = async { buffered.wait_for(|count| *count >= n).await.is_ok() };
        happens(reached, || format!("holding back {n} events of `{}`", self.hold.resource)).await
    }

    /// Lets the events go, in the order in which they came.
    pub fn release(self) {}
}

impl Drop for WatchHold {
    fn drop(&mut self) {
        self.watches.orders.send_modify(|orders| orders.holds.retain(|hold| !Arc::ptr_eq(hold, &self.hold)));
    }
}

/// One watch stream. Only whole events are passed on, so that it can be stopped between two of them.
pub(super) struct Relay {
    call: Call,
    upstream: Body,
    orders: watch::Receiver<Orders>,
    /// How many of the ordered ends are done with.
    obeyed: usize,
    /// The beginning of an event of which the rest is to come.
    line: Vec<u8>,
    ready: VecDeque<Bytes>,
    over: bool,
}

impl Relay {
    /// The next piece for the client; an error cuts its connection.
    pub(super) async fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        loop {
            if let Some(End { event, .. }) = self.ordered_end() {
                self.over = true;
                self.ready.clear();
                match event {
                    Some(event) => return Some(Ok(Frame::data(event))),
                    None => return Some(Err("the watch was cut".into())),
                }
            }
            if self.over && self.ready.is_empty() {
                return None;
            }
            if !self.is_held()
                && let Some(event) = self.ready.pop_front()
            {
                return Some(Ok(Frame::data(event)));
            }
            tokio::select! {
                biased;
                changed = self.orders.changed() => changed.ok()?,
                frame = self.upstream.frame(), if !self.over => match frame {
                    Some(Ok(frame)) => self.take(&frame.into_data().unwrap_or_default()),
                    Some(Err(error)) => return Some(Err(error.into())),
                    None => self.over = true,
                },
            }
        }
    }

    fn ordered_end(&mut self) -> Option<End> {
        let orders = self.orders.borrow_and_update();
        let ordered = &orders.ends[self.obeyed..];
        self.obeyed += ordered.len();
        ordered.iter().find(|end| !self.over && self.call.is_about(&end.resource)).cloned()
    }

    fn is_held(&self) -> bool {
        self.orders.borrow().holds.iter().any(|hold| self.call.is_about(&hold.resource))
    }

    fn take(&mut self, data: &[u8]) {
        self.line.extend_from_slice(data);
        let orders = self.orders.borrow();
        let holds = orders.holds.iter().filter(|hold| self.call.is_about(&hold.resource));
        let mut events = 0;
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let event = std::mem::replace(&mut self.line, rest);
            events += u64::from(!event.starts_with(BOOKMARK));
            self.ready.push_back(event.into());
        }
        holds.for_each(|hold| hold.buffered.send_modify(|count| *count += events));
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// A stream of pods, opened now; what comes is given to [`Relay::take`].
    fn relay(watches: &Watches) -> Relay {
        let (head, ()) = Request::get("/api/v1/pods?watch=true").body(()).unwrap().into_parts();
        watches.relay(Call::new(&head, Bytes::new()), Body::empty())
    }

    #[test]
    fn only_whole_events_are_passed_on_wherever_the_pieces_are_cut() {
        let mut relay = relay(&Watches::default());
        for piece in ["{\"a\"", ":1}\n{\"b\":", "2}\n{\"c\":3}\n{"] {
            relay.take(piece.as_bytes());
        }
        let expected = ["{\"a\":1}\n", "{\"b\":2}\n", "{\"c\":3}\n"];
        assert_eq!(relay.ready, expected.map(Bytes::from));
        assert_eq!(relay.line, b"{");
    }

    #[test]
    fn a_hold_counts_events_of_its_kind_but_no_bookmarks() {
        let watches = Arc::new(Watches::default());
        let (pods, nodes) = (watches.hold("pods"), watches.hold("nodes"));
        let mut relay = relay(&watches);
        relay.take(b"{\"type\":\"ADDED\"}\n{\"type\":\"BOOKMARK\"}\n");
        assert!(relay.is_held());
        assert_eq!((*pods.hold.buffered.borrow(), *nodes.hold.buffered.borrow()), (1, 0));
        pods.release();
        assert!(!relay.is_held());
    }

    #[test]
    fn a_stream_obeys_only_ends_of_its_kind_that_were_ordered_after_it_was_opened() {
        let watches = Watches::default();
        watches.end("pods", None);
        let mut relay = relay(&watches);
        assert!(relay.ordered_end().is_none());
        watches.end("nodes", None);
        assert!(relay.ordered_end().is_none());
        watches.end("pods", Some(&Reply::expired()));
        assert!(relay.ordered_end().unwrap().event.unwrap().starts_with(b"{\"type\":\"ERROR\""));
        assert!(relay.ordered_end().is_none());
    }
}
