//! Notices of the ledger → Events of the API, which may fail and must not matter.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{StreamExt, unfold};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::place;
use crate::ledger::{Ledger, Notice, Parties};

/// The same notice is published once in this time.
const ONCE_IN: Duration = Duration::from_mins(10);
/// More notices than this are not remembered, nor published, at once.
const MOST: usize = 1000;
/// So many are published at a time, each within this time: whatever becomes of them, what is written of claims does not
/// wait behind them.
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);
/// The API server takes no longer note, in bytes.
const LONGEST: usize = 1024;

/// Publishes notices.
pub(super) struct Events {
    line: mpsc::Sender<Notice>,
    published: BTreeMap<(String, String), Instant>,
}

impl Events {
    pub fn new(client: Client) -> Self {
        let reporter =
            Reporter { controller: "ipam-controller".into(), instance: std::env::var("HOSTNAME").ok() };
        let (line, notices) = mpsc::channel::<Notice>(MOST);
        let recorder = Recorder::new(client, reporter);
        let notices = unfold(notices, async |mut notices| Some((notices.recv().await?, notices)));
        tokio::spawn(notices.for_each_concurrent(AT_ONCE, move |notice| {
            let recorder = recorder.clone();
            async move {
                if timeout(PATIENCE, publish(&recorder, notice)).await.is_err() {
                    tracing::debug!("an event was not published within {PATIENCE:?}");
                }
            }
        }));
        Self { line, published: BTreeMap::new() }
    }

    /// Publishes what was not published lately, in the background.
    pub fn publish(&mut self, notices: Vec<Notice>, ledger: &Ledger) {
        if notices.is_empty() {
            return;
        }
        let now = Instant::now();
        self.published.retain(|_, at| now.duration_since(*at) < ONCE_IN);
        for notice in notices {
            let Parties { claim, pool, address } = ledger.parties_of(&notice.about);
            let (claim, pool, address) = (place(claim), place(pool), place(address));
            tracing::warn!(claim, pool, address, reason = notice.reason, "{}", notice.message);
            let key = (notice.uid.to_string(), notice.message.clone());
            if self.published.len() >= MOST || self.published.contains_key(&key) {
                continue;
            }
            self.published.insert(key, now);
            // Where the line is full, the log has said it.
            drop(self.line.try_send(notice));
        }
    }
}

async fn publish(recorder: &Recorder, notice: Notice) {
    let about = ObjectReference {
        api_version: Some(notice.about.kind.resource().api_version()),
        kind: Some(notice.about.kind.name().to_owned()),
        namespace: Some(notice.about.namespace.to_string()),
        name: Some(notice.about.name.to_string()),
        uid: Some(notice.uid.to_string()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: notice.reason.to_owned(),
        note: Some(cut(notice.message)),
        action: "Reconcile".into(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &about).await {
        tracing::debug!(%error, "an event could not be published");
    }
}

/// The beginning of a text that is too long for an event.
fn cut(mut text: String) -> String {
    const MARK: &str = "…";
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_as_long_as_the_api_server_takes_it() {
        for length in [1023, 1024] {
            assert_eq!(cut("x".repeat(length)), "x".repeat(length));
        }
        for text in ["x".repeat(1025), "ä".repeat(600), "x".repeat(1020) + "äöü"] {
            let note = cut(text.clone());
            assert!(note.len() <= 1024 && note.len() > 1018, "{}", note.len());
            assert!(text.starts_with(note.strip_suffix('…').unwrap()));
        }
    }
}
