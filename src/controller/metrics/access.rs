//! Who may read the metrics: whom the API server knows by their token and allows to get the path.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::apply::{may_read, owner_of};

/// How long is remembered whose token it is, or that it is nobody's.
const TOKEN: Duration = Duration::from_mins(1);
/// How long is remembered that somebody may read.
const ALLOWED: Duration = Duration::from_mins(5);
/// How long is remembered that somebody may not.
const DENIED: Duration = Duration::from_secs(30);
/// How long a question to the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// As many questions are under way at once: whoever sends random tokens must not crowd out the lease, which is renewed on
/// the same client.
const AT_ONCE: usize = 4;
/// How long a question may wait until it is asked.
const WAIT: Duration = Duration::from_secs(2);
/// As many answers are remembered; whoever sends random tokens must not fill the memory.
const MOST: usize = 1000;

/// Who may read the metrics.
#[derive(Clone)]
pub(in super::super) struct Access {
    client: Client,
    tokens: Arc<Memory<Option<UserInfo>>>,
    readers: Arc<Memory<bool>>,
    turns: Arc<Semaphore>,
}

/// Why somebody may not read.
pub(super) type Denial = (StatusCode, String);

impl Access {
    pub fn new(client: Client) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, tokens: Arc::default(), readers: Arc::default(), turns }
    }

    /// Whether who sends this `Authorization` header may read `path`.
    pub async fn check(&self, authorization: Option<&str>, path: &str) -> Result<(), Denial> {
        let unknown = || (StatusCode::UNAUTHORIZED, "a bearer token of the cluster is needed\n".to_owned());
        let token = authorization.and_then(bearer).ok_or_else(unknown)?;
        let user = self.user(token).await.map_err(|why| why.told("whose token it is"))?;
        let user = user.ok_or_else(unknown)?;
        if self.allowed(&user, path).await.map_err(|why| why.told("who may read"))? {
            return Ok(());
        }
        let who = user.username.unwrap_or_default();
        let why = format!(
            "`{who}` may not get the path {path}; a ClusterRole with nonResourceURLs [{path}] grants it\n"
        );
        Err((StatusCode::FORBIDDEN, why))
    }

    async fn user(&self, token: &str) -> Result<Option<UserInfo>, Unanswered> {
        let key = self.tokens.key(&token);
        if let Some(user) = self.tokens.recall(key, Instant::now()) {
            return Ok(user);
        }
        let user = self.ask(owner_of(self.client.clone(), token)).await?;
        self.tokens.keep(key, user.clone(), TOKEN, Instant::now());
        Ok(user)
    }

    async fn allowed(&self, user: &UserInfo, path: &str) -> Result<bool, Unanswered> {
        let key = self.readers.key(&(format!("{user:?}"), path));
        if let Some(allowed) = self.readers.recall(key, Instant::now()) {
            return Ok(allowed);
        }
        let allowed = self.ask(may_read(self.client.clone(), user, path)).await?;
        self.readers.keep(key, allowed, if allowed { ALLOWED } else { DENIED }, Instant::now());
        Ok(allowed)
    }

    async fn ask<T>(&self, question: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
        let Ok(_turn) = tokio::time::timeout(WAIT, self.turns.acquire()).await else {
            return Err(Unanswered::TooMany);
        };
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(answer) => answer.map_err(|error| Unanswered::Failed(error.to_string())),
            Err(_) => Err(Unanswered::Failed(format!("no answer within {PATIENCE:?}"))),
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    /// Too many others ask.
    TooMany,
    /// The API server does not answer.
    Failed(String),
}

impl Unanswered {
    fn told(self, what: &str) -> Denial {
        match self {
            Self::TooMany => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many ask at once; try again later\n".to_owned())
            }
            Self::Failed(why) => {
                // The details are for the log: who asks may be anybody.
                tracing::warn!(error = why, "the API server does not say {what}");
                (StatusCode::INTERNAL_SERVER_ERROR, format!("the API server does not say {what}\n"))
            }
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Answers, each for some time, by a hash of what was asked: no token stays in memory.
struct Memory<T> {
    hashers: [RandomState; 2],
    answers: Mutex<BTreeMap<[u64; 2], (T, Instant)>>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { hashers: [RandomState::new(), RandomState::new()], answers: Mutex::default() }
    }
}

impl<T: Clone> Memory<T> {
    fn key(&self, question: &impl Hash) -> [u64; 2] {
        [self.hashers[0].hash_one(question), self.hashers[1].hash_one(question)]
    }

    fn recall(&self, key: [u64; 2], now: Instant) -> Option<T> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(&key).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    fn keep(&self, key: [u64; 2], answer: T, lasts: Duration, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() < MOST {
            answers.insert(key, (answer, now + lasts));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_questions_are_asked_at_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let silent = tower::service_fn(move |_: http::Request<kube::client::Body>| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<http::Response<kube::client::Body>, Infallible>>()
        });
        let access = Access::new(Client::new(silent, "default"));
        let tokens: Vec<String> = (0..AT_ONCE + 6).map(|n| format!("Bearer {n}")).collect();
        let checks = tokens.iter().map(|token| access.check(Some(token), "/metrics"));
        let answers = futures::future::join_all(checks).await;
        let codes =
            |code: u16| answers.iter().filter(|answer| answer.as_ref().unwrap_err().0 == code).count();
        assert_eq!((codes(500), codes(503)), (AT_ONCE, 6));
        assert_eq!(asked.load(Ordering::SeqCst), AT_ONCE);
    }

    #[test]
    fn an_answer_is_remembered_for_its_time() {
        let (memory, start) = (Memory::default(), Instant::now());
        let key = memory.key(&"token");
        assert_eq!(memory.recall(key, start), None);
        memory.keep(key, true, TOKEN, start);
        assert_eq!(memory.recall(key, start + TOKEN - Duration::from_secs(1)), Some(true));
        assert_eq!(memory.recall(key, start + TOKEN), None);
        assert_eq!(memory.recall(memory.key(&"other"), start), None);
    }

    #[test]
    fn the_memory_does_not_grow_without_end() {
        let (memory, start) = (Memory::default(), Instant::now());
        for n in 0..MOST + 5 {
            memory.keep(memory.key(&n), true, DENIED, start);
        }
        assert_eq!(memory.answers.lock().unwrap().len(), MOST);
        memory.keep(memory.key(&"later"), true, DENIED, start + DENIED);
        assert_eq!(memory.answers.lock().unwrap().len(), 1);
    }

    #[test]
    fn only_a_bearer_token_is_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for header in ["Basic abc", "Bearer ", "Bearer", "abc"] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }
}
