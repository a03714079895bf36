//! How much time and room whoever connects to a server of this process has. Nobody has to say who they are for that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// The bounds of one server.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long a new connection may take to say what it wants.
    pub first: Duration,
    /// How long it may take to say what it wants next. Go's clients keep connections for 90 s, and one that is closed just
    /// when a review is sent on it fails that review.
    pub next: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How large the head of a request may be, in bytes.
    pub head: usize,
    /// How many connections there may be; what comes on top of that is closed at once.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let (first, next) = (Duration::from_secs(10), Duration::from_mins(2));
        Self { first, next, body: Duration::from_secs(10), head: 32 << 10, connections: 1024 }
    }
}

impl Bounds {
    /// For whoever asks once and goes, as the kubelet does: so nobody keeps the places from it by keeping connections.
    pub fn brief() -> Self {
        let time = Duration::from_secs(2);
        Self { first: time, next: time, body: time, ..Self::default() }
    }

    /// The same server within these bounds. It speaks HTTP/1.1 alone: HTTP/2 has had its floods of requests.
    pub(crate) fn around<A>(&self, server: Server<SocketAddr, A>) -> Server<SocketAddr, Door<A>> {
        let places = Arc::new(Semaphore::new(self.connections));
        let mut server = server.http1_only().first_request_timeout(self.first);
        server.http_builder().http1().header_read_timeout(self.next).max_buf_size(self.head);
        server.map(|inner| Door { inner, places, refused: Arc::default() })
    }
}

/// Lets in as many connections as there are places.
#[derive(Clone)]
pub(crate) struct Door<A> {
    inner: A,
    places: Arc<Semaphore>,
    /// So many found no place.
    refused: Arc<AtomicU64>,
}

impl<A> Door<A> {
    /// Says of the first that finds no place that it has none, and of each power of two after it.
    fn refuse(&self) -> io::Error {
        let refused = self.refused.fetch_add(1, Relaxed) + 1;
        if refused.is_power_of_two() {
            tracing::warn!(refused, "a connection is closed, as there are too many");
        }
        io::Error::other("there are too many connections")
    }
}

impl<A, I, S> Accept<I, S> for Door<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = A::Stream;
    type Service = Seated<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = self.places.clone().try_acquire_owned().map_err(|_| self.refuse());
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let place = place?;
            let (stream, inner) = accepted.await?;
            Ok((stream, Seated { inner, _place: Arc::new(place) }))
        })
    }
}

/// A connection's service, which has its place for as long as there is the connection.
#[derive(Clone)]
pub(crate) struct Seated<S> {
    inner: S,
    _place: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Seated<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// Where a server within these bounds is.
    fn served(bounds: &Bounds) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| std::future::ready("ok")));
        let server = bounds.around(axum_server::from_tcp(listener).unwrap());
        tokio::spawn(server.serve(router.into_make_service()));
        address
    }

    fn connected(address: SocketAddr) -> TcpStream {
        let socket = TcpStream::connect(address).unwrap();
        // What the server does not close fails the test, and does not hang it.
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    /// Sends this, and all that comes before the server closes the connection.
    async fn said(address: SocketAddr, what: &'static [u8]) -> String {
        let talk = move || {
            let (mut socket, mut answer) = (connected(address), String::new());
            socket.write_all(what).unwrap();
            socket.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(talk).await.unwrap()
    }

    const SOON: Duration = Duration::from_millis(200);
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[tokio::test]
    async fn who_says_half_of_what_it_wants_is_not_listened_to_for_ever() {
        let address = served(&Bounds { first: SOON, ..Bounds::default() });
        assert_eq!(said(address, b"GET / HT").await, "");
        assert_eq!(said(address, b"").await, "");
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_more_is_said_is_closed() {
        let address = served(&Bounds { next: SOON, ..Bounds::default() });
        let answer = said(address, WHOLE).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_not_kept() {
        let address = served(&Bounds::default());
        let head = format!("GET / HTTP/1.1\r\nhost: {}", "x".repeat(64 << 10));
        let answer = said(address, head.leak().as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn more_connections_than_there_are_places_for_are_closed() {
        let address = served(&Bounds { connections: 1, ..Bounds::default() });
        let talk = move || {
            let (mut first, mut piece) = (connected(address), [0; 256]);
            first.write_all(WHOLE).unwrap();
            assert!(first.read(&mut piece).unwrap() > 0);
            // The second has no place, and hears nothing but the end.
            let end = connected(address).read(&mut piece);
            assert!(
                matches!(end, Ok(0))
                    || end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
            );
            first.write_all(WHOLE).unwrap();
            assert!(first.read(&mut piece).unwrap() > 0);
            drop(first);
            // Its place is free once the server has seen that it is gone.
            let served = || {
                let mut socket = connected(address);
                socket.write_all(WHOLE).is_ok() && matches!(socket.read(&mut [0; 256]), Ok(1..))
            };
            assert!((0..10_000).any(|_| served()));
        };
        tokio::task::spawn_blocking(talk).await.unwrap();
    }
}
