//! What there is of a kind and then what changes, as one stream without an end.
//!
//! What there is comes as the beginning of a watch: the API server has it in memory, while each page of a list after the
//! first is read from the store, which takes four times as long. Where it does not offer that, or does not bring it to an
//! end, the next try is to read it in pages.
//!
//! kube's watcher has such lists as well, and is not used for three things that a ledger relies on: it takes any version
//! that the API server happens to have, where this asks for the latest; it says that a list begins once the answer is
//! there, where this says so before it asks; and it passes over what is deleted while the list comes in.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt, unfold};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::apply::Pauses;
use crate::apply::lean::ends_first_list;

/// One thing after the other.
#[derive(Debug)]
pub(super) enum Event<K> {
    /// All that there is will be asked for now; what was said of an earlier list that did not end counts no more.
    Listing,
    /// There is this object.
    Listed(K),
    /// That was all that there is.
    ListDone,
    /// An object is new, or another than it was.
    Seen(K),
    /// An object is gone. This may be said while a list comes in.
    Deleted(K),
}

/// Why a stream has to ask once more; it does when it is polled again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Request(kube::Error),
    #[error("what the API server sent cannot be read")]
    Unreadable,
    #[error("the API server ends it: {} ({})", .0.message, .0.code)]
    Ended(Box<Status>),
    #[error("it ended before all objects were listed")]
    CutShort,
    #[error("nothing came within {0:?}")]
    Late(Duration),
    #[error("the API server ended the watch at once")]
    AtOnce,
    #[error("no resource version in what the API server sent")]
    NoVersion,
    #[error(
        "the API server is at version {now} and was at {latest}: its store was set back, and has forgotten what was given out since"
    )]
    SetBack { now: u64, latest: u64 },
}

impl Error {
    /// The API server does not serve the kind.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Request(kube::Error::Api(status)) if status.code == 404)
    }

    /// To ask again for the changes since a version is of no use: they are not kept any more (410), or it is none here.
    fn is_final(&self) -> bool {
        let (Self::Request(kube::Error::Api(status)) | Self::Ended(status)) = self else { return false };
        (400..500).contains(&status.code) && !matches!(status.code, 401 | 403 | 404 | 429)
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            // kube's reading of an event that is none, as a status of which nothing is there.
            kube::Error::Api(status) if status.code == 0 => Self::Unreadable,
            error => Self::Request(error),
        }
    }
}

/// How long the beginning of a watch may send nothing.
const QUIET: Duration = Duration::from_secs(10);
/// How long a page may take: after that the API server itself gives up.
const PAGE_TIME: Duration = Duration::from_mins(1);
/// How many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// How long a watch may take to begin.
const BEGIN_TIME: Duration = Duration::from_secs(30);
/// When the API server is to end a watch.
const WATCH_TIME: u32 = 290;
/// When a watch that says nothing is taken for dead: after the API server should have ended it.
const DEAD: Duration = Duration::from_secs(WATCH_TIME as u64 + 5);
/// A watch that ends sooner, and has said nothing, is no watch.
const SHORT: Duration = Duration::from_secs(1);
/// One that ends after this has lived its time.
const LIFE: Duration = Duration::from_secs(WATCH_TIME as u64 - 5);
/// After so many that said nothing, one after the other, all is listed: somebody on the way may keep to himself what is said, or
/// the store was set back, and says nothing before it is at the version again that is asked for. A watch with nothing to say
/// has a bookmark whenever the store tells where it is, by default each ten to eleven minutes.
const SILENCES: u32 = 3;
/// Asks for what there is at the moment of the request, and not for what the API server happens to know.
const LATEST: &str = "";

/// All objects behind `api` that have `labels`, where there are any, and what becomes of them. It never ends, and asks
/// for nothing before whoever listens has taken in what was said. `latest` is the latest version that was heard of.
pub(super) fn events<K>(
    api: Api<K>,
    labels: Option<String>,
    latest: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (state, pauses) = (State::Unknown, Pauses::default());
    let follower = Follower { api, labels, in_pages: false, state, pauses, silences: 0, latest };
    unfold(follower, async |mut follower| Some((follower.next().await, follower)))
}

type Watch<K> = BoxStream<'static, kube::Result<WatchEvent<K>>>;

struct Follower<K> {
    api: Api<K>,
    labels: Option<String>,
    /// The next try is in pages.
    in_pages: bool,
    state: State<K>,
    pauses: Pauses,
    /// How many watches have lived their time and said nothing, one after the other.
    silences: u32,
    /// The latest version that was heard of, by this stream or one before it.
    latest: Arc<AtomicU64>,
}

enum State<K> {
    /// Nothing is known.
    Unknown,
    /// All that there is is to be asked for.
    Asking,
    /// All that there is comes in as the beginning of a watch.
    Listing(Watch<K>),
    /// A page was read.
    Page { objects: std::vec::IntoIter<K>, next: Option<String>, version: String },
    /// All is known as it was in this version.
    Known(String),
    /// All is known as it was in this version, and changes come in; of a watch that has said nothing yet, since when.
    Watching { watch: Watch<K>, version: String, silent_since: Option<Instant> },
}

impl<K> Follower<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    async fn next(&mut self) -> Result<Event<K>, Error> {
        self.pauses.rest().await;
        loop {
            // Where a step fails and says nothing else, nothing is known.
            let state = std::mem::replace(&mut self.state, State::Unknown);
            let step = self.step(state).await;
            // A list that has begun is none yet, and one that is read in pages is of no use to whom the changes are refused.
            if let (Ok(_), State::Watching { silent_since: None, .. }) = (&step, &self.state) {
                self.pauses.succeeded();
                self.silences = 0;
            }
            match step {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(event),
                Err(error) => {
                    self.pauses.failed();
                    return Err(error);
                }
            }
        }
    }

    async fn step(&mut self, state: State<K>) -> Result<Option<Event<K>>, Error> {
        match state {
            State::Unknown => {
                self.state = State::Asking;
                Ok(Some(Event::Listing))
            }
            State::Asking if self.in_pages => self.read_page(None).await,
            State::Asking => self.begin().await,
            State::Listing(watch) => self.list(watch).await,
            State::Page { mut objects, next, version } => match (objects.next(), next) {
                (Some(object), next) => {
                    self.state = State::Page { objects, next, version };
                    Ok(Some(Event::Listed(object)))
                }
                (None, Some(next)) => self.read_page(Some(next)).await,
                (None, None) => {
                    self.state = State::Known(version);
                    Ok(Some(Event::ListDone))
                }
            },
            State::Known(version) => self.resume(version).await,
            State::Watching { watch, version, silent_since } => {
                self.watch(watch, version, silent_since).await
            }
        }
    }

    /// Asks for all that there is as the beginning of a watch.
    async fn begin(&mut self) -> Result<Option<Event<K>>, Error> {
        let params = WatchParams { send_initial_events: true, ..self.watch_params() };
        // Unless this comes to its end.
        self.in_pages = true;
        match in_time(QUIET, self.api.watch(&params, LATEST)).await {
            Ok(watch) => self.state = State::Listing(watch.boxed()),
            Err(Error::Request(kube::Error::Api(status))) if !matches!(status.code, 404 | 429) => {
                tracing::debug!(error = %status.message, "no list as the beginning of a watch: it is read in pages");
                self.state = State::Asking;
            }
            Err(error) => {
                if let Error::Request(cause) = &error {
                    // One whose memory is not filled yet asks for patience (429), and some never get there. Who cannot be
                    // reached, or does not know the kind, has not refused.
                    self.in_pages = matches!(cause, kube::Error::Api(status) if status.code == 429);
                }
                return Err(error);
            }
        }
        Ok(None)
    }

    async fn list(&mut self, mut watch: Watch<K>) -> Result<Option<Event<K>>, Error> {
        let event = timeout(QUIET, watch.next()).await.map_err(|_| Error::Late(QUIET))?;
        let event = match event.ok_or(Error::CutShort)?? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Some(Event::Listed(object)),
            WatchEvent::Deleted(object) => Some(Event::Deleted(object)),
            WatchEvent::Bookmark(mark) if ends_first_list(&mark) => {
                let version = version(Some(mark.metadata.resource_version))?;
                self.goes_on_at(&version)?;
                self.state = State::Watching { watch, version, silent_since: None };
                self.in_pages = false;
                return Ok(Some(Event::ListDone));
            }
            WatchEvent::Bookmark(_) => None,
            WatchEvent::Error(status) => return Err(Error::Ended(status)),
        };
        self.state = State::Listing(watch);
        Ok(event)
    }

    async fn read_page(&mut self, next: Option<String>) -> Result<Option<Event<K>>, Error> {
        let params = ListParams {
            label_selector: self.labels.clone(),
            limit: Some(PAGE),
            continue_token: next,
            ..ListParams::default()
        };
        // Whether or not all pages come, the list after this one is asked for as a stream.
        self.in_pages = false;
        let page = in_time(PAGE_TIME, self.api.list(&params)).await?;
        let version = version(page.metadata.resource_version)?;
        self.goes_on_at(&version)?;
        self.state = State::Page {
            objects: page.items.into_iter(),
            next: page.metadata.continue_.filter(|token| !token.is_empty()),
            version,
        };
        Ok(None)
    }

    /// All that there is was at this version, which is none before what was heard of. From a store that was set back, nothing is
    /// taken for all that there is: what was given out since would be given out again, and a person has to see to that first.
    fn goes_on_at(&self, version: &str) -> Result<(), Error> {
        let Ok(now) = version.parse() else { return Ok(()) };
        let latest = self.latest.fetch_max(now, Ordering::Relaxed);
        if now < latest { Err(Error::SetBack { now, latest }) } else { Ok(()) }
    }

    /// Asks for what changed since a version.
    async fn resume(&mut self, version: String) -> Result<Option<Event<K>>, Error> {
        match in_time(BEGIN_TIME, self.api.watch(&self.watch_params(), &version)).await {
            Ok(watch) => {
                let (watch, silent_since) = (watch.boxed(), Some(Instant::now()));
                self.state = State::Watching { watch, version, silent_since };
                Ok(None)
            }
            Err(error) => Err(self.interrupted(error, version)),
        }
    }

    /// Goes on from that version, where that is of use.
    fn interrupted(&mut self, error: Error, known: String) -> Error {
        if !error.is_final() {
            self.state = State::Known(known);
        }
        error
    }

    async fn watch(
        &mut self,
        mut watch: Watch<K>,
        known: String,
        silent_since: Option<Instant>,
    ) -> Result<Option<Event<K>>, Error> {
        let Ok(Some(event)) = timeout(DEAD, watch.next()).await else {
            let silence = silent_since.map(|since| since.elapsed());
            // One that was cut before had no time to say something.
            if silence.is_some_and(|silence| silence >= LIFE) {
                self.silences += 1;
            }
            if self.silences < SILENCES {
                self.state = State::Known(known);
            } else {
                self.silences = 0;
                tracing::debug!("watches have said nothing for long: all is listed");
            }
            return if silence.is_some_and(|silence| silence < SHORT) {
                Err(Error::AtOnce)
            } else {
                Ok(None)
            };
        };
        let (event, version) = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let now = version(object.resource_version())?;
                (Some(Event::Seen(object)), now)
            }
            Ok(WatchEvent::Deleted(object)) => {
                let now = version(object.resource_version())?;
                (Some(Event::Deleted(object)), now)
            }
            Ok(WatchEvent::Bookmark(mark)) => (None, version(Some(mark.metadata.resource_version))?),
            Ok(WatchEvent::Error(status)) => return Err(self.interrupted(Error::Ended(status), known)),
            Err(error) => {
                // Where the connection is at its end, so is the stream. One object that cannot be read is passed over.
                self.state = State::Watching { watch, version: known, silent_since };
                return Err(error.into());
            }
        };
        self.latest.fetch_max(version.parse().unwrap_or(0), Ordering::Relaxed);
        self.state = State::Watching { watch, version, silent_since: None };
        Ok(event)
    }

    fn watch_params(&self) -> WatchParams {
        WatchParams {
            label_selector: self.labels.clone(),
            timeout: Some(WATCH_TIME),
            ..WatchParams::default()
        }
    }
}

async fn in_time<T>(limit: Duration, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    timeout(limit, answer).await.map_err(|_| Error::Late(limit))?.map_err(Error::from)
}

fn version(version: Option<String>) -> Result<String, Error> {
    version.filter(|version| !version.is_empty()).ok_or(Error::NoVersion)
}

#[cfg(test)]
mod tests;
