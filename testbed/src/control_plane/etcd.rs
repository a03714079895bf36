//! What was stored when: everything that ever happened, in the one order in which it did.
//!
//! A watch by the API server has an order for each kind only, and a gap where the API server was away. etcd has neither,
//! and serves the past until it is compacted.

use http::Request;
use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use kube::{Client, client::Body};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::ControlPlane;
use crate::{Error, wait::PATIENCE};

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As the API server has it: `/registry/<group>/<plural>/<namespace>/<name>`.
    pub key: String,
    /// When, in the order of all changes.
    pub revision: u64,
    /// The object as it is from then on; `None` once it is gone. Kinds that are not stored as JSON are `null`.
    pub object: Option<Value>,
}

/// etcd writes numbers of 64 bits as strings.
#[derive(Deserialize)]
struct Header {
    revision: String,
}

#[derive(Deserialize)]
struct Answer {
    header: Header,
}

#[derive(Deserialize)]
struct Piece {
    result: Watched,
}

#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    canceled: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    kv: Pair,
}

#[derive(Deserialize)]
struct Pair {
    key: ByteString,
    mod_revision: String,
    #[serde(default)]
    value: ByteString,
}

impl ControlPlane {
    /// The revision of the last change so far, of whichever key.
    ///
    /// # Errors
    /// etcd does not answer.
    pub async fn revision(&self) -> Result<u64, Error> {
        let answer: Answer = self.ask_etcd("range", &json!({"key": bytes("/"), "count_only": true})).await?;
        Ok(number(&answer.header.revision))
    }

    /// All changes of keys that begin with `prefix`, after this revision and until now, in order.
    ///
    /// # Assumptions
    /// The API server has etcd forget what is older than five to ten minutes, unless it is started with
    /// `--etcd-compaction-interval=0`, as by [`Options::with_history`](crate::Options::with_history).
    ///
    /// # Errors
    /// etcd does not answer, or has forgotten what was asked for.
    pub async fn history(&self, prefix: &str, after: u64) -> Result<Vec<Stored>, Error> {
        // Written last, so that it is known when all was read. The API server does not look there.
        let mark = json!({"key": bytes(&format!("{prefix}~end")), "value": bytes("")});
        let marked: Answer = self.ask_etcd("put", &mark).await?;
        let end = number(&marked.header.revision);
        let wanted = json!({"create_request": {
            "key": bytes(prefix), "range_end": bytes(&successor(prefix)), "start_revision": after + 1,
            "fragment": true,
        }});
        match timeout(PATIENCE, self.watch_until(&wanted, end)).await {
            Ok(Some(stored)) => Ok(stored),
            _ => Err(Error::NeverHappened {
                what: format!("the reading of the history of `{prefix}` from revision {after} to {end}"),
                seconds: PATIENCE.as_secs(),
            }),
        }
    }

    async fn watch_until(&self, wanted: &Value, end: u64) -> Option<Vec<Stored>> {
        let client = Client::try_from(self.recipes.etcd_config()).ok()?;
        let request = Request::post("/v3/watch").body(Body::from(wanted.to_string().into_bytes())).ok()?;
        let mut pieces = client.send(request).await.ok()?.into_body();
        let (mut stored, mut text) = (Vec::new(), Vec::new());
        loop {
            text.extend_from_slice(&pieces.frame().await?.ok()?.into_data().unwrap_or_default());
            while let Some(line) = text.iter().position(|byte| *byte == b'\n') {
                let rest = text.split_off(line + 1);
                let piece: Piece = serde_json::from_slice(&std::mem::replace(&mut text, rest)).ok()?;
                if piece.result.canceled {
                    return None;
                }
                for event in piece.result.events.into_iter().map(stored_by) {
                    if event.revision >= end {
                        return Some(stored);
                    }
                    stored.push(event);
                }
            }
        }
    }

    async fn ask_etcd<T: DeserializeOwned>(&self, what: &str, body: &Value) -> Result<T, Error> {
        let failed = || Error::api(format!("ask etcd to `{what}`"));
        let client = Client::try_from(self.recipes.etcd_config()).map_err(failed())?;
        let request = Request::post(format!("/v3/kv/{what}"))
            .body(body.to_string().into_bytes())
            .expect("paths of etcd are paths");
        client.request(request).await.map_err(failed())
    }
}

fn stored_by(event: Event) -> Stored {
    let Event { kind, kv: Pair { key, mod_revision, value } } = event;
    Stored {
        key: String::from_utf8_lossy(&key.0).into_owned(),
        revision: number(&mod_revision),
        object: (kind != "DELETE").then(|| serde_json::from_slice(&value.0).unwrap_or_default()),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

/// The first key behind all that begin with `prefix`, which ends in a character of ASCII.
fn successor(prefix: &str) -> String {
    let mut key = prefix.to_owned();
    if let Some(last) = key.pop() {
        key.push(char::from_u32(u32::from(last) + 1).unwrap_or(char::MAX));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_prefix_is_behind_all_that_begin_with_it() {
        let end = successor("/registry/ipam.");
        assert!("/registry/ipam.zzz" < end.as_str() && end.as_str() <= "/registry/ipam/");
    }

    #[test]
    fn a_change_is_read_with_its_object_and_a_deletion_without() {
        let event = |kind: &str| {
            let pair = json!({"key": bytes("/k"), "mod_revision": "7", "value": bytes("{\"a\":1}")});
            stored_by(serde_json::from_value(json!({"type": kind, "kv": pair})).unwrap())
        };
        assert_eq!((event("PUT").revision, event("PUT").object), (7, Some(json!({"a": 1}))));
        assert_eq!((event("DELETE").key.as_str(), event("DELETE").object), ("/k", None));
    }
}
