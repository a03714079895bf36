//! The HTTPS server. Behaviour does not belong here: it reads a body, asks who holds what, and sends what [`admit`] says.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::bounds::Bounds;
use super::observe::{NoOne, Observer, Review};
use super::pki::Pair;
use super::review::said;
use super::tls::{Handshake, server_config, usual_handshake};
use super::{Endpoint, Live, Malformed, Request, Scope, Verdict, admit, question};

/// What the server is told.
#[derive(Clone)]
pub struct AdmissionOptions {
    /// The objects that this controller serves.
    pub scope: Scope,
    /// Which TLS is spoken.
    pub handshake: Handshake,
    /// Who hears of each review.
    pub observer: Arc<dyn Observer>,
    /// How much time and room whoever connects has.
    pub bounds: Bounds,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        let (scope, bounds) = (Scope::default(), Bounds::default());
        Self { scope, handshake: usual_handshake(), observer: Arc::new(NoOne), bounds }
    }
}

/// The largest review: an update carries its object twice, and the API server takes objects of up to 3 MiB.
const BODY_LIMIT: usize = 7 << 20;
/// The largest review that is taken beside any number of others.
const SMALL: usize = 64 << 10;
/// As many larger ones are taken at once.
const LARGE_ONES: usize = 4;
/// As many are judged at once; a larger one by itself, as it may need much memory.
const JUDGED: u32 = 8;
/// How long reviews under way may take once the server is asked to end.
const LAST_REVIEWS: Duration = Duration::from_secs(10);

/// Serves admission at `listener` until `stop` resolves, and lets the reviews under way finish.
///
/// It starts with the first certificate, and takes each later one without a pause. A certificate that cannot be used is
/// said so in the log, and the last good one stays.
///
/// # Errors
///
/// The listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    options: AdmissionOptions,
    mut certificates: watch::Receiver<Option<Pair>>,
    live: Live,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let handshake = options.handshake;
    // The certificate that is there already is the first one.
    certificates.mark_changed();
    let tls = tokio::select! {
        () = &mut stop => return Ok(()),
        first = next_config(&mut certificates, &handshake) => match first {
            Some(config) => RustlsConfig::from_config(config),
            // Whoever makes the certificates is gone: the process is ending.
            None => return Ok(()),
        },
    };
    listener.set_nonblocking(true)?;
    let handle = Handle::<SocketAddr>::new();
    tracing::info!(address = %listener.local_addr()?, "admission is served");
    let server = axum_server::from_tcp_rustls(listener, tls.clone())?.handle(handle.clone());
    let server = options.bounds.around(server);
    let router = router(options.scope, options.observer, live, options.bounds.body);
    let mut serving = std::pin::pin!(server.serve(router.into_make_service()));
    loop {
        tokio::select! {
            ended = &mut serving => return ended,
            () = &mut stop => break,
            Some(config) = next_config(&mut certificates, &handshake) => {
                tls.reload_from_config(config);
                tracing::info!("admission goes on with a new certificate");
            }
        }
    }
    handle.graceful_shutdown(Some(LAST_REVIEWS));
    serving.await
}

/// The next certificate that can be used, in the form that the server takes; `None` once there will be none.
async fn next_config(
    certificates: &mut watch::Receiver<Option<Pair>>,
    handshake: &Handshake,
) -> Option<Arc<rustls::ServerConfig>> {
    loop {
        certificates.changed().await.ok()?;
        let pair = certificates.borrow_and_update().clone();
        match pair.map(|pair| server_config(&pair, handshake)) {
            Some(Ok(config)) => return Some(Arc::new(config)),
            Some(Err(error)) => tracing::error!(
                error = %error, cause = std::error::Error::source(&error).map(tracing::field::display),
                "the serving certificate cannot be used"
            ),
            None => {}
        }
    }
}

#[derive(Clone)]
struct Admission {
    scope: Arc<Scope>,
    observer: Arc<dyn Observer>,
    live: Live,
    /// How long a body may take.
    patience: Duration,
    large: Arc<Semaphore>,
    judged: Arc<Semaphore>,
}

fn router(scope: Scope, observer: Arc<dyn Observer>, live: Live, patience: Duration) -> Router {
    let large = Arc::new(Semaphore::new(LARGE_ONES));
    let judged = Arc::new(Semaphore::new(JUDGED as usize));
    let admission = Admission { scope: Arc::new(scope), observer, live, patience, large, judged };
    Router::new()
        .route("/{path}", post(review).layer(from_fn_with_state(admission.clone(), observed)))
        .with_state(admission)
}

/// Tells of a review, whatever becomes of it: also of one whose body is not taken.
async fn observed(
    State(admission): State<Admission>,
    Path(path): Path<String>,
    mut request: axum::extract::Request,
    next: Next,
) -> Response {
    let path = format!("/{path}");
    let Some(endpoint) = Endpoint::at(&path) else { return StatusCode::NOT_FOUND.into_response() };
    request.extensions_mut().insert(endpoint);
    let review = Review::begin(admission.observer, path);
    let response = next.run(request).await;
    let verdict = response.extensions().get::<Said>().map(|said| said.0);
    review.end(verdict, response.status().as_u16());
    response
}

/// The verdict of a review in one word, beside its answer.
#[derive(Clone, Copy)]
struct Said(&'static str);

async fn review(
    State(admission): State<Admission>,
    Extension(endpoint): Extension<Endpoint>,
    body: Body,
) -> Response {
    let (body, large) = match tokio::time::timeout(admission.patience, admission.take(body)).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(code)) => return code.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let turn = admission.judged.acquire_many(if large.is_some() { JUDGED } else { 1 }).await;
    let (said, answer) = admission.judge(endpoint, &body).await;
    drop(turn);
    (Extension(said), Json(answer)).into_response()
}

impl Admission {
    /// A body, and the right to have a larger one.
    async fn take(&self, mut body: Body) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), StatusCode> {
        let (mut taken, mut large) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            let size = taken.len() + data.len();
            if size > BODY_LIMIT {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            if size > SMALL && large.is_none() {
                large = self.large.clone().acquire_owned().await.ok();
            }
            taken.extend_from_slice(&data);
        }
        Ok((taken, large))
    }

    async fn judge(&self, endpoint: Endpoint, body: &[u8]) -> (Said, Value) {
        let request = match Request::read(endpoint, body) {
            Ok(request) => request,
            Err(malformed) => {
                tracing::warn!(error = %malformed, "a review was refused");
                return (Said(Malformed::WORD), malformed.answer());
            }
        };
        let held = match question(endpoint, &request) {
            Some((pool, within)) => self.live.held(pool, within).await,
            None => Some(Vec::new()),
        };
        let verdict = match held {
            Some(held) => admit(endpoint, &request, &self.scope, &held),
            None => Verdict::NotYet,
        };
        log(endpoint, &request, &verdict);
        (Said(verdict.word()), verdict.answer(endpoint.kind, &request))
    }
}

fn log(endpoint: Endpoint, request: &Request, verdict: &Verdict) {
    let (kind, namespace, name) = (endpoint.kind.name(), &request.namespace, &request.name);
    match verdict {
        Verdict::Allowed | Verdict::Patched(_) => {
            tracing::debug!(kind, %namespace, %name, task = ?endpoint.task, "admitted");
        }
        Verdict::Invalid(violations) => {
            tracing::info!(kind, %namespace, %name, why = said(violations).join(", "), "refused");
        }
        Verdict::NotYet => tracing::warn!(kind, %namespace, %name, "not judged: the lists are not complete"),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::admission::pki;

    const POOLS: &str = "/validate-ipam-metal3-io-v1alpha1-ippool";

    fn judging(observer: Arc<dyn Observer>, live: Live) -> Router {
        router(Scope::default(), observer, live, Bounds::default().body)
    }

    async fn posted(live: Live, path: &str, body: Vec<u8>) -> (u16, Value) {
        let request = http::Request::post(path).body(Body::from(body)).unwrap();
        let response = judging(Arc::new(NoOne), live).oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Notes what it hears.
    #[derive(Default)]
    struct Heard(std::sync::Mutex<Vec<String>>);

    impl Observer for Heard {
        fn begins(&self, path: &str) {
            self.0.lock().unwrap().push(format!("begins {path}"));
        }

        fn ends(&self, _path: &str, end: Option<super::super::ReviewEnd>) {
            let end = end.map(|end| format!("{} {}", end.verdict, end.code));
            self.0.lock().unwrap().push(end.unwrap_or_else(|| "aborted".to_owned()));
        }
    }

    #[tokio::test]
    async fn each_review_is_told_of_with_its_verdict_also_one_that_is_not_read_or_not_waited_for() {
        let (live, asked) = Live::new();
        let heard = Arc::new(Heard::default());
        let router = judging(heard.clone(), live);
        let post = |path: &str, body: Vec<u8>| {
            router.clone().oneshot(http::Request::post(path).body(Body::from(body)).unwrap())
        };
        let mut allowed = shrink();
        allowed["request"]["object"] = allowed["request"]["oldObject"].clone();
        let mut spoilt = allowed.clone();
        spoilt["request"]["object"]["spec"]["preAllocations"] = json!({"c": "10.9.9.9"});
        post(POOLS, allowed.to_string().into_bytes()).await.unwrap();
        post(POOLS, spoilt.to_string().into_bytes()).await.unwrap();
        post(POOLS, b"nonsense".to_vec()).await.unwrap();
        post(POOLS, vec![b' '; 8 << 20]).await.unwrap();
        post("/validate-v1-pod", b"{}".to_vec()).await.unwrap();
        // Whoever asks goes away while the loop is asked.
        let mut waits = Box::pin(post(POOLS, shrink().to_string().into_bytes()));
        assert!(futures::poll!(&mut waits).is_pending());
        drop((waits, asked));
        post(POOLS, shrink().to_string().into_bytes()).await.unwrap();
        let begins = format!("begins {POOLS}");
        let ends = ["allowed 200", "refused 200", "malformed 200", "malformed 413", "aborted", "not_yet 200"];
        let expected: Vec<&str> = ends.into_iter().flat_map(|end| [begins.as_str(), end]).collect();
        assert_eq!(*heard.0.lock().unwrap(), expected);
    }

    fn shrink() -> Value {
        let pool = |subnet: &str| json!({"metadata": {"name": "p"}, "spec": {"namePrefix": "p", "pools": [{"subnet": subnet}]}});
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "UPDATE", "name": "p", "namespace": "ns", "kind": {"kind": "IPPool"},
                "oldObject": pool("10.0.0.0/24"), "object": pool("10.0.1.0/24"),
            },
        })
    }

    #[tokio::test]
    async fn only_the_paths_of_the_contract_are_served() {
        let (live, _asked) = Live::new();
        assert_eq!(posted(live.clone(), "/validate-v1-pod", b"{}".to_vec()).await.0, 404);
        assert_eq!(posted(live.clone(), "/", b"{}".to_vec()).await.0, 404);
        let (code, answer) = posted(live, POOLS, b"nonsense".to_vec()).await;
        assert_eq!((code, &answer["response"]["status"]["code"]), (200, &json!(400)));
    }

    #[tokio::test]
    async fn a_review_of_six_mebibytes_is_read_and_one_of_eight_is_not() {
        let (live, _asked) = Live::new();
        let mut review = shrink();
        review["request"]["oldObject"] = json!({"filler": "x".repeat(6 << 20)});
        let (code, answer) = posted(live.clone(), POOLS, review.to_string().into_bytes()).await;
        assert_eq!((code, &answer["response"]["allowed"]), (200, &json!(true)));
        review["request"]["oldObject"] = json!({"filler": "x".repeat(8 << 20)});
        assert_eq!(posted(live, POOLS, review.to_string().into_bytes()).await.0, 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let (live, _asked) = Live::new();
        let begun = futures::stream::iter([Ok::<_, io::Error>("{")]);
        let body = Body::from_stream(begun.chain(futures::stream::pending()));
        let request = http::Request::post(POOLS).body(body).unwrap();
        let response = judging(Arc::new(NoOne), live).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn only_so_many_reviews_are_judged_at_once_and_a_large_one_by_itself() {
        let (live, asked) = Live::new();
        let router = judging(Arc::new(NoOne), live);
        let post = |review: &Value| {
            let body = Body::from(review.to_string());
            Box::pin(router.clone().oneshot(http::Request::post(POOLS).body(body).unwrap()))
        };
        let mut small: Vec<_> = (0..=JUDGED).map(|_| post(&shrink())).collect();
        for review in &mut small {
            assert!(futures::poll!(review).is_pending());
        }
        assert_eq!(asked.len(), JUDGED as usize);
        drop(small.remove(0));
        assert!(futures::poll!(small.last_mut().unwrap()).is_pending());
        assert_eq!(asked.len(), JUDGED as usize + 1);
        let mut large = shrink();
        large["request"]["options"] = json!("x".repeat(SMALL));
        let mut large = post(&large);
        assert!(futures::poll!(&mut large).is_pending());
        small.truncate(1);
        assert!(futures::poll!(&mut large).is_pending());
        assert_eq!(asked.len(), JUDGED as usize + 1);
        small.clear();
        assert!(futures::poll!(&mut large).is_pending());
        assert_eq!(asked.len(), JUDGED as usize + 2);
    }

    #[tokio::test]
    async fn d11_a_shrink_is_judged_by_what_the_loop_says() {
        let (live, mut asked) = Live::new();
        let held = std::net::IpAddr::from([10, 0, 0, 7]);
        let loop_ = async {
            let question = asked.recv().await.unwrap();
            assert!(question.within.contains(held));
            question.answer.send(vec![held]).unwrap();
        };
        let ((code, answer), ()) =
            tokio::join!(posted(live, POOLS, shrink().to_string().into_bytes()), loop_);
        assert_eq!(code, 200);
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("\"10.0.0.7\": is in use but out of bounds of the pools given"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_shrink_is_not_judged_before_it_is_known_who_holds_what() {
        let (live, mut asked) = Live::new();
        let loop_ = async { drop(asked.recv().await) };
        let ((_, answer), ()) =
            tokio::join!(posted(live.clone(), POOLS, shrink().to_string().into_bytes()), loop_);
        assert_eq!(answer["response"]["status"]["code"], 503);
        drop(asked);
        let (_, answer) = posted(live, POOLS, shrink().to_string().into_bytes()).await;
        assert_eq!(answer["response"]["status"]["code"], 503);
    }

    /// The certificate that a server presents to a client that trusts `authority`.
    fn presented(address: SocketAddr, authority: &str) -> Result<Vec<u8>, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        while client.is_handshaking() {
            if let Err(error) = client.complete_io(&mut socket) {
                let inner = error.into_inner().and_then(|inner| inner.downcast::<rustls::Error>().ok());
                return Err(*inner.unwrap());
            }
        }
        Ok(client.peer_certificates().unwrap()[0].to_vec())
    }

    #[expect(clippy::disallowed_methods, reason = "the client of the test reads the clock, too")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_never() {
        let now = jiff::Timestamp::now().as_second();
        let authority = pki::authority(now).unwrap();
        let pair = || pki::serving(&authority, &["127.0.0.1".to_owned()], now).unwrap();
        let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (certificates, changes) = watch::channel(None);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (live, _asked) = Live::new();
        let stopped = async { drop(stopped.await) };
        let server = tokio::spawn(serve(listener, AdmissionOptions::default(), changes, live, stopped));
        let shows = async |pair: &Pair| {
            let (der, authority) = (der(pair), authority.certificate.clone());
            let look = move || {
                // Between two looks there is a whole handshake.
                (0..1000).any(|_| presented(address, &authority).is_ok_and(|shown| shown == der))
            };
            tokio::task::spawn_blocking(look).await.unwrap()
        };
        let (first, second) = (pair(), pair());
        certificates.send(Some(first.clone())).unwrap();
        assert!(shows(&first).await);
        certificates.send(Some(Pair { key: second.key.clone(), ..first.clone() })).unwrap();
        assert!(shows(&first).await);
        certificates.send(Some(second.clone())).unwrap();
        assert!(shows(&second).await);
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
