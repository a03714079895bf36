//! One due change → one guarded request; its answer → an outcome.
//!
//! Nothing else in the controller and the plugin writes to the API server, but for Events, which kube's recorder sends.
//! Behaviour does not belong here: which change is due is decided by the ledger, or by a plan that a person agreed to.

mod body;
mod change;
mod connect;
pub mod lean;
mod outcome;
mod pauses;
mod reply;
mod review;
mod traffic;
mod write;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

pub use change::{Change, DryRun, PatchOp, Target, pointer_token};
pub use connect::{connect, connect_through};
pub use outcome::outcome;
pub use pauses::Pauses;
pub use reply::Reply;
pub use review::{may_read, owner_of};
use traffic::Wait;
pub use traffic::{Directed, Observer, Permit, Rate, Traffic};
pub use write::change;

/// Carries out changes in the name of one field manager.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    manager: Arc<str>,
    timeout: Duration,
    dry_run: DryRun,
}

impl Applier {
    /// An applier that gives each request `timeout` for its whole answer. The wait for its turn, where requests are
    /// limited, is none of that.
    ///
    /// `client` must not repeat requests by itself, as one by [`connect`] does not: a repeated POST hides what became
    /// of the first.
    pub fn new(client: Client, manager: &str, timeout: Duration) -> Self {
        Self { client, manager: manager.into(), timeout, dry_run: DryRun::No }
    }

    /// The same applier, whose changes the API server checks in full and does not keep.
    #[must_use]
    pub fn on_trial(self) -> Self {
        Self { dry_run: DryRun::Server, ..self }
    }

    /// Sends one change, once, and says what became of it.
    pub async fn carry_out(&self, change: &Change) -> Reply {
        let request = match change.request(&self.manager, self.dry_run) {
            Ok(request) => request,
            Err(error) => return Reply::Refused { code: 0, message: error.to_string() },
        };
        self.in_time(request, change.target()).await
    }

    async fn in_time(&self, mut request: http::Request<Vec<u8>>, target: &Target) -> Reply {
        let (wait, mut told) = Wait::new();
        request.extensions_mut().insert(wait);
        let mut exchange = std::pin::pin!(self.exchange(request, target));
        loop {
            let waits = *told.borrow_and_update();
            tokio::select! {
                biased;
                reply = &mut exchange => return reply,
                // The time begins anew.
                Ok(()) = told.changed() => {}
                () = tokio::time::sleep(self.timeout), if !waits => {
                    return Reply::Unknown { message: format!("no answer within {:?}", self.timeout) };
                }
            }
        }
    }

    async fn exchange(&self, request: http::Request<Vec<u8>>, target: &Target) -> Reply {
        use http_body_util::BodyExt;

        let response = match self.client.send(request.map(kube::client::Body::from)).await {
            Ok(response) => response,
            Err(error) => return Reply::Unknown { message: chain(&error) },
        };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Reply::read(head.status.as_u16(), &head.headers, &body.to_bytes(), target),
            Err(error) => Reply::Unknown { message: format!("the answer broke off: {error}") },
        }
    }
}

/// The error and its causes; kube's own errors repeat their cause, so one that is already said is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use http_body_util::Full;
    use kube::client::Body;
    use tokio::time::Instant;
    use tower::{BoxError, Layer};

    use super::*;
    use crate::api::{Family, Kind};

    const TIMEOUT: Duration = Duration::from_secs(15);

    /// An applier whose requests pass `traffic` on their way to a server that answers as `answer` does.
    fn applier<F>(traffic: &Traffic, answer: impl Fn() -> F + Clone + Send + 'static) -> Applier
    where
        F: Future<Output = Response<Full<hyper::body::Bytes>>> + Send + 'static,
    {
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = answer();
            async { Ok::<_, BoxError>(answer.await) }
        });
        Applier::new(Client::new(traffic.layer(server), "default"), "tests", TIMEOUT)
    }

    fn read() -> Change {
        let kind = Kind::Claim(Family::Metal3);
        Change::Read {
            target: Target { resource: kind.resource(), namespace: "ns".into(), name: "c".into() },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_answered_in_time_ends_and_what_became_of_it_is_not_known() {
        let start = Instant::now();
        let reply = applier(&Traffic::default(), std::future::pending).carry_out(&read()).await;
        assert_eq!(reply, Reply::Unknown { message: "no answer within 15s".to_owned() });
        assert_eq!(start.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_turn_takes_nothing_of_the_time_for_the_answer() {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let rate = Some(Rate::new(1.0, 1));
        let applier = applier(&Traffic { rate, ..Traffic::default() }, move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(TIMEOUT * 9 / 10).await;
                Response::builder().status(404).body(Full::default()).unwrap()
            }
        });
        let change = read();
        let replies = futures::future::join_all((0..64).map(|_| applier.carry_out(&change))).await;
        assert_eq!(sent.load(Ordering::SeqCst), 64);
        assert!(replies.iter().all(|reply| !matches!(reply, Reply::Unknown { .. })), "{replies:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_the_answer_begins_at_the_turn() {
        let rate = Some(Rate::new(0.1, 1));
        let applier = applier(&Traffic { rate, ..Traffic::default() }, std::future::pending);
        let (start, change) = (Instant::now(), read());
        let late = || async {
            let reply = applier.carry_out(&change).await;
            assert!(matches!(reply, Reply::Unknown { .. }), "{reply:?}");
            start.elapsed().as_secs()
        };
        assert_eq!(futures::join!(late(), late()), (15, 25));
    }
}
