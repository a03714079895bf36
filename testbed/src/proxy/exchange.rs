//! One request on its way there and back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, Version,
    body::{Bytes, Incoming},
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::sleep,
};

use super::{
    BoxError, Call, Reply, Verb,
    log::{Log, Open},
    rule::{Action, Active, Rules},
    watches::Watches,
};

/// A reply as the client gets it.
type Outgoing = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What the connections of a proxy have in common.
pub(super) struct Shared {
    upstream: Client,
    pub(super) rules: Rules,
    pub(super) watches: Arc<Watches>,
    pub(super) log: Arc<Log>,
    tasks: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(super) fn new(upstream: Client) -> Self {
        Self {
            upstream,
            rules: Rules::default(),
            watches: Arc::default(),
            log: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// Ends everything that goes on.
    pub(super) fn abort(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Serves connections until it is aborted.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => shared.spawn(converse(shared.clone(), connection)),
            // Out of file descriptors, most likely: some come back as connections end.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn converse(shared: Arc<Shared>, connection: TcpStream) {
    connection.set_nodelay(true).ok();
    let service = service_fn(|request| handle(shared.clone(), request));
    // An error here is a connection that was cut, by either side.
    http1::Builder::new().serve_connection(TokioIo::new(connection), service).await.ok();
}

/// An error cuts the connection.
async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Outgoing, BoxError> {
    let (head, body) = request.into_parts();
    let call = Call::new(&head, body.collect().await?.to_bytes());
    let (answer, answered) = oneshot::channel();
    let context = shared.clone();
    // A task of its own: what has been sent takes effect, whether or not the client still waits.
    shared.spawn(async move {
        let outgoing = exchange(&context, call, head).await;
        // Nobody is there for the answer if the client has gone.
        answer.send(outgoing).ok();
    });
    answered.await?.ok_or_else(|| "the connection was cut".into())
}

/// What becomes of one request; `None` cuts the connection.
async fn exchange(shared: &Shared, call: Call, head: Parts) -> Option<Outgoing> {
    let fault = shared.rules.decide(&call);
    let note = shared.log.open(call.clone(), fault.is_some());
    if let Some(fault) = fault {
        let outgoing = suffer(&fault, shared, call, head, note).await;
        fault.done();
        return outgoing;
    }
    let reply = ask(shared, &call, head, &note).await?;
    Some(pass(shared, call, note, reply))
}

async fn suffer(fault: &Active, shared: &Shared, call: Call, head: Parts, note: Open) -> Option<Outgoing> {
    match fault.action() {
        Action::AnswerBefore(reply) => return Some(substitute(reply, &note)),
        Action::CutBefore => return None,
        Action::DelayBefore(time) => sleep(*time).await,
        Action::HoldBefore => fault.park().await,
        _ => {}
    }
    let reply = ask(shared, &call, head, &note).await?;
    match fault.action() {
        Action::AnswerAfter(instead) => return Some(substitute(instead, &note)),
        Action::CutAfter => return None,
        Action::DelayAfter(time) => sleep(*time).await,
        Action::HoldAfter => fault.park().await,
        _ => {}
    }
    Some(pass(shared, call, note, reply))
}

/// Sends the request on. Once this returns, it has taken effect if it ever does. An API server that cannot be reached
/// shows to the client as what it is: a connection without an answer.
async fn ask(shared: &Shared, call: &Call, head: Parts, note: &Open) -> Option<Response<Body>> {
    let mut request = Request::new(Body::from(call.body.clone()));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    for of_this_connection in [HOST, CONNECTION, TRANSFER_ENCODING] {
        request.headers_mut().remove(of_this_connection);
    }
    let reply = shared.upstream.send(request).await.ok()?;
    note.answered_by_server(reply.status().as_u16());
    Some(reply)
}

/// The API server's own reply.
fn pass(shared: &Shared, call: Call, note: Open, reply: Response<Body>) -> Outgoing {
    note.answered(reply.status().as_u16());
    let (mut head, body) = reply.into_parts();
    head.version = Version::HTTP_11;
    for of_that_connection in [CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(of_that_connection);
    }
    let body = if call.verb == Verb::Watch && head.status.is_success() {
        let relay = (shared.watches.relay(call, body), note);
        let pieces = stream::unfold(relay, |(mut relay, note)| async move {
            let piece = relay.next().await?;
            Some((piece, (relay, note)))
        });
        StreamBody::new(pieces).boxed_unsync()
    } else {
        // The note is closed when the body is dropped, which is when it was sent.
        body.map_err(move |error| {
            let _open = &note;
            error.into()
        })
        .boxed_unsync()
    };
    Response::from_parts(head, body)
}

/// Another reply in place of the API server's.
fn substitute(reply: &Reply, note: &Open) -> Outgoing {
    let response = reply.response();
    note.answered(response.status().as_u16());
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
