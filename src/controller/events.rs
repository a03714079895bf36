//! Notices of the ledger → Events of the API, which may fail and must not matter.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use super::place;
use crate::ledger::{Ledger, Notice, Parties};

/// The same notice is published once in this time.
const ONCE_IN: Duration = Duration::from_mins(10);
/// More notices than this are not remembered, nor published, at once.
const MOST: usize = 1000;

/// Publishes notices.
pub(super) struct Events {
    recorder: Recorder,
    published: BTreeMap<(String, String), Instant>,
}

impl Events {
    pub fn new(client: Client) -> Self {
        let reporter =
            Reporter { controller: "ipam-controller".into(), instance: std::env::var("HOSTNAME").ok() };
        Self { recorder: Recorder::new(client, reporter), published: BTreeMap::new() }
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
            tokio::spawn(publish(self.recorder.clone(), notice));
        }
    }
}

async fn publish(recorder: Recorder, notice: Notice) {
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
        note: Some(notice.message),
        action: "Reconcile".into(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &about).await {
        tracing::debug!(%error, "an event could not be published");
    }
}
