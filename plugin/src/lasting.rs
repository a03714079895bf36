//! Watches that go on: what may pass by itself ends none of them.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Error, Event};

use crate::error::may_pass;

/// What a watch has to say.
pub enum Said {
    Event(Box<Event<DynamicObject>>),
    /// It cannot go on at the moment, and why; it tries again.
    Trouble(String),
}

struct Watch {
    events: BoxStream<'static, watcher::Result<Event<DynamicObject>>>,
    pause: Option<Duration>,
    pauses: ExponentialBackoff,
}

/// A person waits: kube's own pauses go up to half a minute, and it begins with the shortest before each list.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(3))
        .with_jitter();
    pauses.without_max_times().build()
}

/// Follows the objects behind `api` until something fails that will not pass by itself.
pub fn events(api: Api<DynamicObject>, config: Config) -> impl Stream<Item = Result<Said, Error>> + Send {
    let watch = Watch { events: watcher(api, config).boxed(), pause: None, pauses: pauses() };
    unfold(watch, async |mut watch| Some((watch.next().await?, watch)))
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Said, Error>> {
        loop {
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
            }
            match self.events.next().await? {
                Ok(event) => {
                    // A list that is about to be asked for is no answer.
                    if !matches!(event, Event::Init) {
                        self.pauses = pauses();
                    }
                    return Some(Ok(Said::Event(Box::new(event))));
                }
                Err(error) => {
                    self.pause = self.pauses.next();
                    if let Some(said) = said_by(error) {
                        return Some(said);
                    }
                }
            }
        }
    }
}

/// What there is to say of a failure, if anything.
fn said_by(error: Error) -> Option<Result<Said, Error>> {
    match &error {
        // What it goes on from is not kept any more: it lists anew, which is no trouble.
        Error::WatchError(status) if status.code == 410 => None,
        Error::WatchError(_) => Some(Ok(Said::Trouble(cause(&error)))),
        Error::InitialListFailed(why) | Error::WatchStartFailed(why) | Error::WatchFailed(why)
            if may_pass(why) =>
        {
            Some(Ok(Said::Trouble(cause(&error))))
        }
        _ => Some(Err(error)),
    }
}

/// What is at the bottom of a failure: the rest says through which layers it came.
fn cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
