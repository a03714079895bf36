use std::convert::Infallible;
use std::sync::Mutex;

use futures::TryStreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// What the API server answers to one request.
enum Answer {
    Refusal(u16),
    Json(Value),
    /// These events, and then its end.
    Events(Vec<Value>),
    /// These events, and then nothing more.
    Silence(Vec<Value>),
    /// None.
    Never,
}
use Answer::{Events, Json, Never, Refusal, Silence};

/// What happened, in order: what was asked for, and what the stream said.
type Story = Arc<Mutex<Vec<String>>>;

fn tell(story: &Story, what: impl Into<String>) {
    story.lock().unwrap().push(what.into());
}

fn asked(query: &str) -> String {
    let of = |name: &str| query.split('&').find_map(|option| option.strip_prefix(&format!("{name}=")));
    match (of("watch"), of("sendInitialEvents")) {
        (Some(_), Some(_)) => {
            assert_eq!(of("resourceVersion"), Some(""), "the latest version is asked for");
            assert_eq!(of("resourceVersionMatch"), Some("NotOlderThan"));
            "? stream".to_owned()
        }
        (Some(_), None) => format!("? watch from {}", of("resourceVersion").unwrap()),
        (None, _) => format!("? page {}", of("continue").unwrap_or("1")),
    }
}

async fn reply(answer: Answer) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let line = |event: Value| Ok(Frame::data(Bytes::from(format!("{event}\n"))));
    let lines = |events: Vec<Value>| futures::stream::iter(events.into_iter().map(line));
    let full = |value: Value| Full::new(Bytes::from(value.to_string())).boxed_unsync();
    match answer {
        Refusal(code) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "code": code,
            });
            let code = StatusCode::from_u16(code).unwrap();
            Response::builder().status(code).body(full(status)).unwrap()
        }
        Json(list) => Response::new(full(list)),
        Never => std::future::pending().await,
        Events(events) => Response::new(StreamBody::new(lines(events)).boxed_unsync()),
        Silence(events) => {
            let stream = lines(events).chain(futures::stream::pending());
            Response::new(StreamBody::new(stream).boxed_unsync())
        }
    }
}

fn event(kind: &str, name: &str, version: &str) -> Value {
    json!({"type": kind, "object": object(name, version)})
}

fn object(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version}})
}

fn bookmark(version: &str) -> Value {
    json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": version}}})
}

fn all_sent(version: &str) -> Value {
    let mut mark = bookmark(version);
    mark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    mark
}

fn error(code: u16) -> Value {
    json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "message": "no", "code": code}})
}

fn page(names: &[&str], next: &str) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| object(name, "1")).collect();
    Json(json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "items": items,
        "metadata": {"resourceVersion": "20", "continue": next},
    }))
}

/// What happens with an API server that answers so, until it is asked for more. In a test time passes by itself, so that
/// a watch which says nothing is over at once.
async fn story(answers: Vec<Answer>) -> Vec<String> {
    let story = Story::default();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let (finished, mut finish) = tokio::sync::mpsc::channel::<()>(1);
    let service = tower::service_fn({
        let story = story.clone();
        move |request: Request<Body>| {
            let answer = answers.lock().unwrap().next();
            let (story, finished) = (story.clone(), finished.clone());
            async move {
                let Some(answer) = answer else {
                    finished.send(()).await.unwrap();
                    return std::future::pending().await;
                };
                tell(&story, asked(request.uri().query().unwrap()));
                Ok::<_, Infallible>(reply(answer).await)
            }
        }
    });
    let api: Api<ConfigMap> = Api::all(Client::new(service, "default"));
    let mut events = std::pin::pin!(events(api, None, Arc::default()));
    let listen = async {
        loop {
            let said = match events.try_next().await {
                Ok(event) => match event.unwrap() {
                    Event::Listing => "listing".to_owned(),
                    Event::Listed(object) => format!("listed {}", object.name_any()),
                    Event::ListDone => "done".to_owned(),
                    Event::Seen(object) => format!("seen {}", object.name_any()),
                    Event::Deleted(object) => format!("deleted {}", object.name_any()),
                },
                // What kube has to say of it goes on for long.
                Err(Error::Request(error)) => format!("! {}", error.to_string().split(':').next().unwrap()),
                Err(error) => format!("! {error}"),
            };
            tell(&story, said);
        }
    };
    tokio::select! {
        () = listen => {}
        _ = finish.recv() => {}
    }
    let story = story.lock().unwrap();
    story.clone()
}

#[tokio::test(start_paused = true)]
async fn a_list_is_the_beginning_of_its_watch() {
    let first = vec![
        event("ADDED", "a", "5"),
        event("ADDED", "b", "6"),
        bookmark("10"),
        event("MODIFIED", "a", "11"),
        event("DELETED", "b", "12"),
        all_sent("12"),
        event("ADDED", "c", "13"),
    ];
    let then = vec![event("DELETED", "c", "14")];
    let told = story(vec![Events(first), Events(then), Events(vec![bookmark("20")]), Silence(vec![])]).await;
    let expected = [
        "listing",
        "? stream",
        "listed a",
        "listed b",
        "listed a",
        "deleted b",
        "done",
        "seen c",
        "? watch from 13",
        "deleted c",
        "? watch from 14",
        "? watch from 20",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_in_pages_where_the_api_server_refuses_a_stream_and_asked_for_as_a_stream_the_next_time()
 {
    let told = story(vec![
        Refusal(422),
        page(&["a", "b"], "2"),
        page(&["c"], ""),
        Events(vec![event("ADDED", "d", "21"), error(410)]),
        Events(vec![all_sent("30")]),
        Silence(vec![]),
    ])
    .await;
    let expected = [
        "listing",
        "? stream",
        "? page 1",
        "listed a",
        "listed b",
        "? page 2",
        "listed c",
        "done",
        "? watch from 20",
        "seen d",
        "! the API server ends it: no (410)",
        "listing",
        "? stream",
        "done",
        "? watch from 30",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_come_to_its_end_as_a_stream_is_read_in_pages() {
    let begun = || vec![event("ADDED", "a", "5")];
    let mut failed = begun();
    failed.push(error(504));
    for (answer, why) in [
        (Events(begun()), "! it ended before all objects were listed"),
        (Silence(begun()), "! nothing came within 10s"),
        (Events(failed), "! the API server ends it: no (504)"),
    ] {
        let told = story(vec![answer, page(&["a"], ""), Silence(vec![])]).await;
        let pages = ["listing", "? page 1", "listed a", "done", "? watch from 20"];
        assert_eq!(told, [&["listing", "? stream", "listed a", why][..], &pages].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_or_fails_goes_on_where_it_was() {
    let told = story(vec![
        Events(vec![all_sent("30")]),
        Refusal(500),
        Events(vec![event("MODIFIED", "a", "31"), error(500)]),
        Refusal(410),
        Events(vec![all_sent("50")]),
        Silence(vec![]),
    ])
    .await;
    let expected = [
        "listing",
        "? stream",
        "done",
        "? watch from 30",
        "! ApiError",
        "? watch from 30",
        "seen a",
        "! the API server ends it: no (500)",
        "? watch from 31",
        "! ApiError",
        "listing",
        "? stream",
        "done",
        "? watch from 50",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_says_that_was_set_back_is_not_taken_for_all_that_there_is() {
    let told = story(vec![
        Events(vec![all_sent("30")]),
        Events(vec![event("ADDED", "a", "31"), error(410)]),
        Events(vec![event("ADDED", "b", "12"), all_sent("12")]),
        page(&["b"], ""),
        Events(vec![event("ADDED", "b", "12"), all_sent("31")]),
        Silence(vec![]),
    ])
    .await;
    let set_back = |now: u64| format!("! {}", Error::SetBack { now, latest: 31 });
    let (as_stream, in_pages) = (set_back(12), set_back(20));
    let expected = [
        "listing",
        "? stream",
        "done",
        "? watch from 30",
        "seen a",
        "! the API server ends it: no (410)",
        "listing",
        "? stream",
        "listed b",
        &as_stream,
        "listing",
        "? page 1",
        &in_pages,
        "listing",
        "? stream",
        "listed b",
        "done",
        "? watch from 31",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn all_is_listed_anew_after_three_watches_that_lived_their_time_and_said_nothing() {
    let list = |version: &str| Events(vec![event("ADDED", "a", "10"), all_sent(version)]);
    let silence = || Silence(vec![]);
    let story = story(vec![
        list("10"),
        silence(),
        Silence(vec![bookmark("12")]),
        silence(),
        silence(),
        silence(),
        list("20"),
    ])
    .await;
    let begun = ["listing", "? stream", "listed a", "done"];
    let mut told = begun.to_vec();
    told.extend(["? watch from 10"; 2]);
    told.extend(["? watch from 12"; 3]);
    told.extend(begun);
    assert_eq!(story, told);
}

#[tokio::test(start_paused = true)]
async fn pages_that_do_not_all_come_are_followed_by_a_stream() {
    let told = story(vec![
        Refusal(422),
        page(&["a"], "2"),
        Refusal(410),
        Refusal(422),
        page(&["a"], ""),
        Refusal(410),
        Events(vec![all_sent("30")]),
    ])
    .await;
    let expected = [
        "listing",
        "? stream",
        "? page 1",
        "listed a",
        "? page 2",
        "! ApiError",
        "listing",
        "? stream",
        "? page 1",
        "listed a",
        "done",
        "? watch from 20",
        "! ApiError",
        "listing",
        "? stream",
        "done",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_begin_or_ends_at_once_is_asked_for_again_after_a_pause() {
    let begin = Instant::now();
    let told = story(vec![Events(vec![all_sent("30")]), Never, Events(vec![]), Silence(vec![])]).await;
    let expected = [
        "listing",
        "? stream",
        "done",
        "? watch from 30",
        "! nothing came within 30s",
        "? watch from 30",
        "! the API server ended the watch at once",
        "? watch from 30",
    ];
    assert_eq!(told, expected);
    assert!(begin.elapsed() > BEGIN_TIME + DEAD);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_lists_that_fail_grow_to_some_seconds() {
    let begin = Instant::now();
    // Each time the stream, and the pages.
    story((0..20).map(|_| Refusal(500)).collect()).await;
    let least = Duration::from_secs_f64(0.2 + 0.4 + 0.8 + 1.6 + 6.0 * 3.0);
    assert!((least..2 * least).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_not_asked_for_in_another_way() {
    let told = story(vec![Refusal(404), Refusal(404)]).await;
    let once = ["listing", "? stream", "! ApiError"];
    assert_eq!(told, [&once[..], &once, &["listing"]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_asks_for_patience_is_asked_in_either_way_in_turn() {
    let told = story(vec![Refusal(429), Refusal(429), Events(vec![all_sent("30")])]).await;
    let expected = [
        "listing",
        "? stream",
        "! ApiError",
        "listing",
        "? page 1",
        "! ApiError",
        "listing",
        "? stream",
        "done",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_stand_in_the_way_of_others() {
    let broken = json!({"type": "ADDED", "object": {"metadata": {"name": 7, "resourceVersion": "31"}}});
    let told = story(vec![Silence(vec![all_sent("30"), broken, event("ADDED", "b", "32")])]).await;
    let expected = ["listing", "? stream", "done", "! what the API server sent cannot be read", "seen b"];
    assert_eq!(told, expected);
}
