//! What is seen of claims, and when: by a watch of the bench's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use http_body_util::BodyExt;
use ipam::api::Kind;
use ipam::ledger::Verdict;
use kube::api::DynamicObject;
use kube::client::Body;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::scene::Scene;

/// When each of `count` claims whose names begin so was seen to publish its address, in order.
pub async fn bound(claims: Api<DynamicObject>, prefix: &str, count: usize, start: Instant) -> Vec<Duration> {
    seen(claims, config(), prefix, count, start, is_bound).await
}

/// The same of one claim. No other is sent to the bench, which would cost the API server as much as it costs to tell the
/// controller of them.
pub async fn bound_alone(claims: Api<DynamicObject>, name: String, start: Instant) -> Vec<Duration> {
    let config = config().fields(&format!("metadata.name={name}"));
    seen(claims, config, &name, 1, start, is_bound).await
}

/// What there is comes from the API server's memory, at no cost to the store that is measured.
fn config() -> watcher::Config {
    watcher::Config::default().streaming_lists()
}

fn is_bound(status: &Value) -> bool {
    ["address", "addressRef"].iter().any(|field| status[*field]["name"].is_string())
}

/// Waits until so many claims whose names begin so say that they wait for room.
pub async fn waiting(claims: Api<DynamicObject>, prefix: &str, count: usize) {
    let says = |status: &Value| {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions.iter().any(|condition| condition["reason"] == Verdict::EXHAUSTED);
        told || status["errorMessage"].is_string()
    };
    drop(seen(claims, config(), prefix, count, Instant::now(), says).await);
}

async fn seen(
    claims: Api<DynamicObject>,
    config: watcher::Config,
    prefix: &str,
    count: usize,
    start: Instant,
    is_so: impl Fn(&Value) -> bool,
) -> Vec<Duration> {
    let mut events = std::pin::pin!(watcher(claims, config).default_backoff());
    let mut times = BTreeMap::new();
    while times.len() < count {
        if let Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) =
            events.try_next().await.expect("the watch goes on")
            && claim.name_any().starts_with(prefix)
            && is_so(&claim.data["status"])
        {
            times.entry(claim.name_any()).or_insert_with(|| start.elapsed());
        }
    }
    let mut times: Vec<Duration> = times.into_values().collect();
    times.sort_unstable();
    times
}

/// Takes what the watches of a controller get, of the claims and addresses of the scene, and looks at none of it, for as
/// long as the guard lives.
pub fn read(scene: &Scene<'_>) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    for kind in [Kind::Claim(scene.family), Kind::Address(scene.family)] {
        let objects = scene.of_kind(kind);
        readers.spawn(async move {
            let (path, client) = (format!("{}?watch=true", objects.resource_url()), objects.into_client());
            let request = http::Request::get(path).body(Body::empty()).expect("a request");
            let answer = client.send(request).await.expect("the watch begins");
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                drop(frame.expect("the watch goes on"));
            }
        });
    }
    readers
}

/// When the last claim was seen to be gone. What is to go has to wait until all are known, which `listed` tells: what goes
/// while a list comes in, kube's watcher passes over.
pub async fn gone(claims: Api<DynamicObject>, listed: oneshot::Sender<()>) -> Instant {
    let mut events = std::pin::pin!(watcher(claims, config()).default_backoff());
    let (mut left, mut tell) = (BTreeSet::new(), Some(listed));
    let mut listed = false;
    while !listed || !left.is_empty() {
        match events.try_next().await.expect("the watch goes on") {
            Some(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim)) => {
                left.insert(claim.name_any());
            }
            Some(watcher::Event::Delete(claim)) => {
                left.remove(&claim.name_any());
            }
            Some(watcher::Event::InitDone) => {
                listed = true;
                tell.take().map(|tell| tell.send(()));
            }
            Some(watcher::Event::Init) => {
                listed = false;
                left.clear();
            }
            None => {}
        }
    }
    Instant::now()
}
