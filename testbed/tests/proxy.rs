//! Each fault that the proxy injects, against a real API server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, poll};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};
use serde_json::json;
use testbed::{
    ControlPlane,
    proxy::{Action, Match, Proxy, Reply, Rule, Verb},
};

/// A namespace of its own, seen directly and through a proxy of its own.
struct Scene {
    plane: Arc<ControlPlane>,
    proxy: Proxy,
    direct: Api<ConfigMap>,
    through: Api<ConfigMap>,
}

async fn scene() -> Scene {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.create_namespace("proxy").await.unwrap();
    let proxy = Proxy::start(&plane).await.unwrap();
    let client = Client::try_from(proxy.config(plane.admin_token())).unwrap();
    let direct = Api::namespaced(plane.client(), &namespace);
    Scene { through: Api::namespaced(client, &namespace), plane, proxy, direct }
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

async fn create(api: &Api<ConfigMap>, name: &str) -> kube::Result<ConfigMap> {
    api.create(&PostParams::default(), &config_map(name)).await
}

async fn exists(scene: &Scene, name: &str) -> bool {
    scene.direct.get_opt(name).await.unwrap().is_some()
}

/// Bookmarks would come in between, now and then.
fn watching() -> WatchParams {
    WatchParams::default().disable_bookmarks()
}

fn creates() -> Match {
    Match::verb(Verb::Post).resource("configmaps")
}

fn refusal(result: kube::Result<ConfigMap>) -> Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("not an answer: {other}"),
    }
}

fn is_cut(result: &kube::Result<ConfigMap>) -> bool {
    matches!(result, Err(kube::Error::HyperError(_) | kube::Error::Service(_)))
}

#[tokio::test]
async fn without_rules_everything_goes_through_and_is_logged() {
    let scene = scene().await;
    create(&scene.through, "c").await.unwrap();
    let patch = Patch::Merge(json!({ "data": { "k": "v" } }));
    let patched = scene.through.patch("c", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["k"], "v");
    scene.through.replace("c", &PostParams::default(), &config_map("c")).await.unwrap();
    assert_eq!(scene.through.list(&ListParams::default()).await.unwrap().items.len(), 1);
    scene.through.delete("c", &DeleteParams::default()).await.unwrap();
    assert!(scene.through.get_opt("c").await.unwrap().is_none());

    let log = scene.proxy.log();
    let seen: Vec<(Verb, u16)> = log.iter().map(|entry| (entry.call.verb, entry.status.unwrap())).collect();
    let expected = [
        (Verb::Post, 201),
        (Verb::Patch, 200),
        (Verb::Put, 200),
        (Verb::List, 200),
        (Verb::Delete, 200),
        (Verb::Get, 404),
    ];
    assert_eq!(seen, expected);
    assert!(
        log.iter()
            .all(|entry| !entry.faulted && entry.server_status == entry.status && entry.ended.is_some())
    );
    assert_eq!(scene.proxy.counts()[&(Verb::Post, "configmaps".to_owned())], 1);
    assert_eq!(scene.proxy.count(&Match::writes()), 4);
}

#[tokio::test]
async fn answer_before_keeps_the_request_from_the_server() {
    let scene = scene().await;
    let replies = [
        (Reply::conflict(), 409, "Conflict"),
        (Reply::already_exists(), 409, "AlreadyExists"),
        (Reply::invalid(), 422, "Invalid"),
        (Reply::too_many_requests(7), 429, "TooManyRequests"),
        (Reply::internal_error(), 500, "InternalError"),
        (Reply::unavailable(), 503, "ServiceUnavailable"),
        (Reply::timeout(), 504, "Timeout"),
    ];
    for (reply, code, reason) in replies {
        scene.proxy.add(Rule::new(creates(), Action::AnswerBefore(reply)).once());
        let status = refusal(create(&scene.through, "c").await);
        assert_eq!((status.code, status.reason.as_str()), (code, reason));
    }
    assert!(!exists(&scene, "c").await);
    assert!(scene.proxy.log().iter().all(|entry| entry.faulted && entry.server_status.is_none()));
    create(&scene.through, "c").await.unwrap();
}

#[tokio::test]
async fn too_many_requests_says_when_to_come_back() {
    let scene = scene().await;
    scene.proxy.add(Rule::new(Match::any(), Action::AnswerBefore(Reply::too_many_requests(7))));
    let client = Client::try_from(scene.proxy.config(scene.plane.admin_token())).unwrap();
    let request = http::Request::get("/api/v1/nodes").body(kube::client::Body::empty()).unwrap();
    let reply = client.send(request).await.unwrap();
    assert_eq!(reply.headers()["retry-after"], "7");
}

#[tokio::test]
async fn answer_after_lets_the_request_take_effect() {
    let scene = scene().await;
    scene.proxy.add(Rule::new(creates(), Action::AnswerAfter(Reply::timeout())).once());
    assert_eq!(refusal(create(&scene.through, "c").await).code, 504);
    assert!(exists(&scene, "c").await);
    let entry = scene.proxy.log().remove(0);
    assert_eq!((entry.server_status, entry.status), (Some(201), Some(504)));
}

#[tokio::test]
async fn cut_before_keeps_the_request_from_the_server() {
    let scene = scene().await;
    scene.proxy.add(Rule::new(creates(), Action::CutBefore).once());
    let result = create(&scene.through, "c").await;
    assert!(is_cut(&result), "{result:?}");
    assert!(!exists(&scene, "c").await);
}

#[tokio::test]
async fn cut_after_loses_the_reply_of_a_request_that_took_effect() {
    let scene = scene().await;
    let rule = scene.proxy.add(Rule::new(creates(), Action::CutAfter).once());
    let result = create(&scene.through, "c").await;
    assert!(is_cut(&result), "{result:?}");
    rule.done(1).await.unwrap();
    assert!(exists(&scene, "c").await);
}

#[tokio::test]
async fn a_delay_takes_its_time_on_either_side() {
    let scene = scene().await;
    let delay = Duration::from_millis(300);
    for action in [Action::DelayBefore(delay), Action::DelayAfter(delay)] {
        let name = if matches!(action, Action::DelayBefore(_)) { "before" } else { "after" };
        scene.proxy.add(Rule::new(creates(), action).once());
        let begin = Instant::now();
        create(&scene.through, name).await.unwrap();
        assert!(begin.elapsed() >= delay);
    }
}

#[tokio::test]
async fn a_request_that_is_held_before_reaches_the_server_late_even_if_the_client_has_given_up() {
    let scene = scene().await;
    let rule = scene.proxy.add(Rule::new(creates(), Action::HoldBefore));
    {
        let mut request = pin!(create(&scene.through, "late"));
        tokio::select! {
            result = &mut request => panic!("answered while it is held: {result:?}"),
            parked = rule.parked(1) => parked.unwrap(),
        }
    }
    assert!(!exists(&scene, "late").await);
    rule.release();
    rule.done(1).await.unwrap();
    assert!(exists(&scene, "late").await);
    create(&scene.through, "next").await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_held_after_has_taken_effect_before_its_answer() {
    let scene = scene().await;
    let rule = scene.proxy.add(Rule::new(creates(), Action::HoldAfter));
    let mut request = pin!(create(&scene.through, "c"));
    tokio::select! {
        result = &mut request => panic!("answered while it is held: {result:?}"),
        parked = rule.parked(1) => parked.unwrap(),
    }
    assert!(exists(&scene, "c").await);
    rule.release();
    request.await.unwrap();
}

#[tokio::test]
async fn only_the_requests_that_a_rule_names_meet_it() {
    let scene = scene().await;
    let rule = scene.proxy.add(Rule::new(creates().name("b"), Action::CutBefore).skip(1).once());
    for (name, served) in [("a", true), ("b1", true), ("a2", true), ("b2", false), ("b3", true)] {
        assert_eq!(create(&scene.through, name).await.is_ok(), served, "{name}");
    }
    assert_eq!(rule.count(), 1);
}

#[tokio::test]
async fn a_wait_for_the_nth_request_ends_when_it_comes() {
    let scene = scene().await;
    let creates = creates();
    let (waited, ()) = tokio::join!(scene.proxy.seen(&creates, 2), async {
        create(&scene.through, "a").await.unwrap();
        create(&scene.through, "b").await.unwrap();
    });
    waited.unwrap();
    assert_eq!(scene.proxy.count(&creates), 2);
}

#[tokio::test]
async fn held_watch_events_come_after_the_release_and_in_order() {
    let scene = scene().await;
    let events = scene.through.watch(&watching(), "0").await.unwrap();
    let mut events = pin!(names(events));
    let hold = scene.proxy.hold_watch("configmaps");
    create(&scene.direct, "a").await.unwrap();
    create(&scene.direct, "b").await.unwrap();
    hold.buffered(2).await.unwrap();
    assert!(poll!(events.next()).is_pending());
    assert_eq!(
        scene.through.list(&ListParams::default()).await.unwrap().items.len(),
        2,
        "a list is not held"
    );
    hold.release();
    assert_eq!(events.next().await.unwrap().unwrap(), "a");
    assert_eq!(events.next().await.unwrap().unwrap(), "b");
    create(&scene.direct, "c").await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), "c");
}

#[tokio::test]
async fn a_watch_that_is_opened_under_a_hold_is_held_and_other_kinds_are_not() {
    let scene = scene().await;
    let hold = scene.proxy.hold_watch("secrets");
    let other = scene.through.watch(&watching(), "0").await.unwrap();
    create(&scene.direct, "a").await.unwrap();
    assert_eq!(pin!(names(other)).next().await.unwrap().unwrap(), "a");
    drop(hold);

    let hold = scene.proxy.hold_watch("configmaps");
    let events = scene.through.watch(&watching(), "0").await.unwrap();
    let mut events = pin!(names(events));
    hold.buffered(1).await.unwrap();
    assert!(poll!(events.next()).is_pending());
    drop(hold);
    assert_eq!(events.next().await.unwrap().unwrap(), "a");
}

#[tokio::test]
async fn a_cut_watch_fails_and_a_new_one_works() {
    let scene = scene().await;
    let events = scene.through.watch(&watching(), "0").await.unwrap();
    let mut events = pin!(names(events));
    create(&scene.direct, "a").await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), "a");
    scene.proxy.cut_watches("configmaps");
    // kube ends the stream where the connection is cut.
    assert!(!matches!(events.next().await, Some(Ok(_))));
    let again = scene.through.watch(&watching(), "0").await.unwrap();
    assert_eq!(pin!(names(again)).next().await.unwrap().unwrap(), "a");
}

#[tokio::test]
async fn an_expired_watch_says_410_and_ends_even_while_it_is_held() {
    let scene = scene().await;
    let mut events = scene.through.watch(&watching(), "0").await.unwrap().boxed();
    let _hold = scene.proxy.hold_watch("configmaps");
    scene.proxy.expire_watches("configmaps");
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("not an error: {other:?}"),
    }
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn the_end_of_a_watch_is_logged() {
    let scene = scene().await;
    let watches = Match::verb(Verb::Watch).resource("configmaps");
    let events = scene.through.watch(&watching(), "0").await.unwrap();
    assert!(scene.proxy.log()[0].status == Some(200) && scene.proxy.log()[0].ended.is_none());
    drop(events);
    let ended =
        |log: &[testbed::proxy::Entry]| log.iter().any(|e| watches.includes(&e.call) && e.ended.is_some());
    scene.proxy.until("the end of the watch", ended).await.unwrap();
}

#[tokio::test]
async fn rbac_judges_the_client_and_not_the_proxy() {
    let scene = scene().await;
    scene
        .plane
        .apply_yaml("{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: default}}")
        .await
        .unwrap();
    let token = scene.plane.token_for("default", "nobody").await.unwrap();
    let nobody = Client::try_from(scene.proxy.config(&token)).unwrap();
    let refused = Api::<Node>::all(nobody).list(&ListParams::default()).await;
    assert!(
        matches!(refused, Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("nobody"))
    );
}

#[tokio::test]
async fn a_kubeconfig_leads_through_the_proxy() {
    let scene = scene().await;
    let kubeconfig = scene.proxy.kubeconfig(scene.plane.admin_token()).unwrap();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Api::<Node>::all(Client::try_from(config).unwrap()).list(&ListParams::default()).await.unwrap();
    assert_eq!(scene.proxy.count(&Match::verb(Verb::List).resource("nodes")), 1);
}

#[tokio::test]
async fn a_dropped_proxy_cuts_what_is_open() {
    let scene = scene().await;
    let mut events = scene.through.watch(&watching(), "0").await.unwrap().boxed();
    drop(scene.proxy);
    let next = events.next().await;
    assert!(!matches!(next, Some(Ok(_))), "{next:?}");
    assert!(create(&scene.through, "c").await.is_err());
}

/// The names in `ADDED` events.
fn names(
    events: impl futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>>,
) -> impl futures::Stream<Item = kube::Result<String>> {
    events.try_filter_map(async |event| match event {
        WatchEvent::Added(object) => Ok(object.metadata.name),
        other => panic!("unexpected: {other:?}"),
    })
}
