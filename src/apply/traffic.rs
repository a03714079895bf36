//! What each request of a client passes on its way out, last of all: the rate, the permit to write, the count.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Frame, SizeHint};
use kube::client::Body;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// Whether a change may be sent at this very moment.
pub type Permit = Arc<dyn Fn() -> bool + Send + Sync>;
/// Told of each request that was sent: its method, its URI and the answer's status, if there was an answer.
pub type Observer = Arc<dyn Fn(&Method, &Uri, Option<StatusCode>) + Send + Sync>;

/// What each request of a client passes on its way out.
///
/// The permit is asked after every wait, directly before a change is handed to the connection. A change without it is
/// not sent; it is answered here as if the API server had asked to come back later. It is asked once more when the
/// connection takes the change up, which may have had to be made first: see [`Guarded`].
#[derive(Clone, Default)]
pub struct Traffic {
    /// How many requests a second; without limit where there is none.
    pub rate: Option<Rate>,
    /// Whether changes may be sent; they always may where there is none.
    pub permit: Option<Permit>,
    /// Who counts.
    pub observer: Option<Observer>,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for Traffic {
    type Service = Directed<S>;

    fn layer(&self, inner: S) -> Directed<S> {
        Directed { inner, traffic: self.clone() }
    }
}

/// A service behind [`Traffic`].
#[derive(Clone, Debug)]
pub struct Directed<S> {
    inner: S,
    traffic: Traffic,
}

impl<S, B> Service<Request<Body>> for Directed<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let spare = self.inner.clone();
        // The one that was polled ready is the one to use.
        let inner = std::mem::replace(&mut self.inner, spare);
        Box::pin(self.traffic.clone().pass(inner, request))
    }
}

impl Traffic {
    async fn pass<S, B>(
        self,
        mut inner: S,
        mut request: Request<Body>,
    ) -> Result<Response<Either<B, Full<Bytes>>>, BoxError>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        if let Some(rate) = &self.rate {
            let who = request.extensions_mut().remove::<Wait>().unwrap_or_else(|| Wait::new().0);
            who.tell(true);
            rate.turn().await;
            who.tell(false);
        }
        if is_change(request.method()) && self.permit.as_ref().is_some_and(|may| !may()) {
            return Ok(not_sent()?);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = inner.call(request).await.map_err(Into::into);
        if let Some(observer) = &self.observer {
            observer(&method, &uri, answer.as_ref().ok().map(Response::status));
        }
        answer.map(|response| response.map(Either::Left))
    }
}

impl Traffic {
    /// Puts the permit into the body of each change.
    pub(super) fn guard(&self) -> impl Fn(Request<Body>) -> Request<Guarded> + Clone + use<> {
        let permit = self.permit.clone();
        move |request| {
            let permit = permit.clone().filter(|_| is_change(request.method()));
            request.map(|body| Guarded { body, permit })
        }
    }
}

/// A request's body that is handed out only with the permit: without it the request breaks off before its end, and the
/// API server does nothing.
pub(super) struct Guarded {
    body: Body,
    permit: Option<Permit>,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.permit.as_ref().is_some_and(|may| !may()) {
            return Poll::Ready(Some(Err(LATE.into())));
        }
        Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

const LATE: &str = "not sent: this controller may not lead any longer";

fn is_change(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

fn not_sent<B>() -> Result<Response<Either<B, Full<Bytes>>>, http::Error> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429,
        "message": LATE,
    });
    let body = Either::Right(Full::new(status.to_string().into()));
    Response::builder().status(StatusCode::TOO_MANY_REQUESTS).body(body)
}

/// Goes with a request, and tells who sent it whether it waits for its turn: none of that is the API server's delay.
#[derive(Clone)]
pub(super) struct Wait(watch::Sender<bool>);

impl Wait {
    /// The end that goes with the request, and the one that hears of it.
    pub fn new() -> (Self, watch::Receiver<bool>) {
        let (tell, told) = watch::channel(false);
        (Self(tell), told)
    }

    fn tell(&self, waits: bool) {
        self.0.send_replace(waits);
    }
}

/// A limit of requests a second: a bucket of tokens, one for each request.
#[derive(Clone, Debug)]
pub struct Rate {
    bucket: Arc<Mutex<Bucket>>,
    start: Instant,
}

impl Rate {
    /// `per_second` requests a second, which has to be more than 0, and `burst` at once after a rest.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let bucket = Bucket { per_second, burst: burst.into(), tokens: burst.into(), at: Duration::ZERO };
        Self { bucket: Arc::new(Mutex::new(bucket)), start: Instant::now() }
    }

    /// Waits for the caller's turn; turns come in the order in which they were asked for. Who gives up has taken nothing.
    async fn turn(&self) {
        // Whose turn is next holds the bucket until there is a token; the lock is handed on in order.
        let mut bucket = self.bucket.lock().await;
        let wait = bucket.lacks(self.start.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        bucket.take(self.start.elapsed());
    }
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// How long until there is a token.
    fn lacks(&self, now: Duration) -> Duration {
        let lacking = 1.0 - self.filled(now);
        Duration::try_from_secs_f64(lacking.max(0.0) / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Takes a token out.
    fn take(&mut self, now: Duration) {
        self.tokens = self.filled(now) - 1.0;
        self.at = now;
    }

    fn filled(&self, now: Duration) -> f64 {
        let rest = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens + rest * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tower::ServiceExt;

    use super::*;

    /// How long each of so many waits for its turn, all of them having come at once.
    async fn waits(rate: &Rate, many: usize) -> Vec<u128> {
        let start = Instant::now();
        let turns = (0..many).map(|_| async {
            rate.turn().await;
            start.elapsed().as_millis()
        });
        futures::future::join_all(turns).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_one_at_a_time() {
        let rate = Rate::new(10.0, 2);
        assert_eq!(waits(&rate, 4).await, [0, 0, 100, 200]);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(waits(&rate, 2).await, [0, 100]);
        // A long rest does not save up more than the burst.
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(waits(&rate, 3).await, [0, 0, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_before_its_turn_has_taken_nothing() {
        let rate = Rate::new(1.0, 1);
        assert_eq!(waits(&rate, 1).await, [0]);
        let mut given_up: Vec<_> = (0..50).map(|_| Box::pin(rate.turn())).collect();
        for turn in &mut given_up {
            assert!(futures::poll!(turn).is_pending());
        }
        drop(given_up);
        assert_eq!(waits(&rate, 2).await, [1000, 2000]);
    }

    async fn send(traffic: &Traffic, method: Method, sent: &Arc<AtomicUsize>) -> u16 {
        let sent = sent.clone();
        let server = tower::service_fn(move |_: Request<Body>| {
            sent.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
        });
        let request = Request::builder().method(method).uri("/x").body(Body::empty()).unwrap();
        traffic.layer(server).oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn without_the_permit_changes_are_not_sent_and_reads_are() {
        let may = Arc::new(AtomicBool::new(true));
        let permit: Permit = Arc::new({
            let may = may.clone();
            move || may.load(Ordering::SeqCst)
        });
        let traffic = Traffic { permit: Some(permit), ..Traffic::default() };
        let sent = Arc::default();
        assert_eq!(send(&traffic, Method::POST, &sent).await, 200);
        may.store(false, Ordering::SeqCst);
        for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
            assert_eq!(send(&traffic, method, &sent).await, 429);
        }
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        assert_eq!(send(&traffic, Method::GET, &sent).await, 200);
    }

    #[tokio::test]
    async fn a_change_that_waited_for_its_connection_breaks_off_without_the_permit() {
        use http_body_util::BodyExt;

        let may = Arc::new(AtomicBool::new(true));
        let permit: Permit = Arc::new({
            let may = may.clone();
            move || may.load(Ordering::SeqCst)
        });
        let guard = Traffic { permit: Some(permit), ..Traffic::default() }.guard();
        let request = |method| Request::builder().method(method).body(Body::from(b"x".to_vec())).unwrap();
        assert_eq!(guard(request(Method::PATCH)).into_body().collect().await.unwrap().to_bytes(), "x");
        let (change, read) = (guard(request(Method::PATCH)), guard(request(Method::GET)));
        may.store(false, Ordering::SeqCst);
        assert!(change.into_body().collect().await.is_err());
        assert!(read.into_body().collect().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_permit_is_asked_after_the_wait_for_a_turn() {
        let start = Instant::now();
        // It is lost while the second change waits.
        let permit: Permit = Arc::new(move || start.elapsed() < Duration::from_secs(5));
        let rate = Some(Rate::new(0.1, 1));
        let traffic = Traffic { permit: Some(permit), rate, observer: None };
        let sent = Arc::default();
        assert_eq!(send(&traffic, Method::POST, &sent).await, 200);
        assert_eq!(send(&traffic, Method::POST, &sent).await, 429);
        assert_eq!(sent.load(Ordering::SeqCst), 1);
    }
}
