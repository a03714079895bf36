//! Watches that go on: what may pass by itself ends none of them.

use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use ipam::apply::Pauses;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use kube::runtime::watcher::{Config, Error as Failure, Event};

use crate::error::{Asked, Error, may_pass};

/// What a watch has to say.
pub enum Said {
    Event(Box<Event<DynamicObject>>),
    /// It cannot go on at the moment, and why; it tries again.
    Trouble(String),
}

struct Watch {
    asked: Asked,
    events: BoxStream<'static, watcher::Result<Event<DynamicObject>>>,
    pauses: Pauses,
}

/// Follows the objects behind `api`, which are `asked` for, until something fails that will not pass by itself.
pub fn events(
    api: Api<DynamicObject>,
    config: Config,
    asked: Asked,
) -> impl Stream<Item = Result<Said, Error>> + Send {
    let watch = Watch { asked, events: watcher(api, config).boxed(), pauses: Pauses::default() };
    unfold(watch, async |mut watch| Some((watch.next().await?, watch)))
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Said, Error>> {
        loop {
            self.pauses.rest().await;
            match self.events.next().await? {
                Ok(event) => {
                    // A list that is about to be asked for is no answer.
                    if !matches!(event, Event::Init) {
                        self.pauses.succeeded();
                    }
                    return Some(Ok(Said::Event(Box::new(event))));
                }
                Err(error) => {
                    self.pauses.failed();
                    if let Some(said) = said_by(&self.asked, error) {
                        return Some(said);
                    }
                }
            }
        }
    }
}

/// What there is to say of a failure, if anything.
fn said_by(asked: &Asked, error: Failure) -> Option<Result<Said, Error>> {
    let passes = match &error {
        // What it goes on from is not kept any more: it lists anew, which is no trouble.
        Failure::WatchError(status) if status.code == 410 => return None,
        Failure::WatchError(_) => true,
        Failure::InitialListFailed(why) | Failure::WatchStartFailed(why) | Failure::WatchFailed(why) => {
            may_pass(why)
        }
        Failure::NoResourceVersion => false,
    };
    Some(if passes { Ok(Said::Trouble(cause(&error))) } else { Err(lost(asked, error)) })
}

/// What a failure means that will not pass by itself.
fn lost(asked: &Asked, error: Failure) -> Error {
    match error {
        Failure::InitialListFailed(why) => Asked { verb: "list", ..asked.clone() }.failed(why),
        Failure::WatchStartFailed(why) | Failure::WatchFailed(why) => asked.failed(why),
        Failure::WatchError(status) => asked.failed(kube::Error::Api(status)),
        Failure::NoResourceVersion => {
            asked.cannot().caused_by("no resource version in what the API server sent")
        }
    }
}

/// What is at the bottom of a failure: the rest says through which layers it came.
fn cause(error: &Failure) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
