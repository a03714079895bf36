//! What is told of reviews, to whoever counts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Malformed;

/// Hears of each review that arrives at an endpoint.
pub trait Observer: Send + Sync {
    /// A review has arrived at this path.
    fn begins(&self, path: &str);
    /// It has its answer, or whoever asked is gone.
    fn ends(&self, path: &str, end: Option<ReviewEnd>);
}

/// The answer to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewEnd {
    /// The verdict in one word: [`Verdict::word`](super::Verdict::word), or [`Malformed::WORD`].
    pub verdict: &'static str,
    /// The status of HTTP, which is 200 for every verdict.
    pub code: u16,
    /// Since the head of the request had arrived.
    pub took: Duration,
}

/// Hears nothing.
pub(super) struct NoOne;

impl Observer for NoOne {
    fn begins(&self, _path: &str) {}
    fn ends(&self, _path: &str, _end: Option<ReviewEnd>) {}
}

/// A review under way. Dropped before its end, it is told as one whose asker is gone.
pub(super) struct Review {
    observer: Arc<dyn Observer>,
    path: String,
    begun: Instant,
    end: Option<ReviewEnd>,
}

impl Review {
    pub fn begin(observer: Arc<dyn Observer>, path: String) -> Self {
        observer.begins(&path);
        Self { observer, path, begun: Instant::now(), end: None }
    }

    /// It is answered; without a verdict, what arrived could not even be read.
    pub fn end(mut self, verdict: Option<&'static str>, code: u16) {
        let (verdict, took) = (verdict.unwrap_or(Malformed::WORD), self.begun.elapsed());
        self.end = Some(ReviewEnd { verdict, code, took });
    }
}

impl Drop for Review {
    fn drop(&mut self) {
        self.observer.ends(&self.path, self.end);
    }
}
