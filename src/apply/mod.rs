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
    /// An applier that gives each request `timeout` for its whole answer.
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
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Reply::Unknown { message: format!("no answer within {:?}", self.timeout) },
        }
    }

    async fn exchange(&self, request: http::Request<Vec<u8>>) -> Reply {
        use http_body_util::BodyExt;

        let response = match self.client.send(request.map(kube::client::Body::from)).await {
            Ok(response) => response,
            Err(error) => return Reply::Unknown { message: chain(&error) },
        };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Reply::read(head.status.as_u16(), &head.headers, &body.to_bytes()),
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
