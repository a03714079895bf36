//! What watches tell: all events of all kinds, from the beginning to the end of the sequences.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use ipam::api::Kind;
use ipam::ledger::{Id, Seen, Uid};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use super::ops::Op;
use super::real::{KINDS, Real, plain, seen};
use crate::scene::resource;
use crate::server::{Event, Server};

/// What a watch told of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Seen(Box<Seen>),
    Deleted(Uid),
}

/// Of each object, what was told, in order.
pub type Events = BTreeMap<Id, Vec<Told>>;

/// Watches that are under way.
pub struct Watched(Vec<JoinHandle<Events>>);

/// The namespace of the object that is made last of each kind.
const LAST: &str = "default";

impl Watched {
    pub async fn start(client: Client) -> Self {
        let mut watches = Vec::new();
        for kind in KINDS {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
            let list = api.list(&ListParams::default()).await.unwrap();
            let version = list.metadata.resource_version.unwrap_or_default();
            watches.push(tokio::spawn(watch(api, kind, version)));
        }
        Self(watches)
    }

    /// Waits until every watch has told all.
    pub async fn finish(self, client: Client) -> Events {
        let (real, mut server) = (Real::new(client), Server::default());
        for kind in KINDS {
            let object = super::ops::Author::new(0, LAST).an_object(&mut server, kind, "last");
            real.carry_out(&Op::Create(Box::new(object), Vec::new())).await;
        }
        let mut events = Events::new();
        for watch in self.0 {
            events.extend(watch.await.unwrap());
        }
        events
    }
}

async fn watch(api: Api<DynamicObject>, kind: Kind, version: String) -> Events {
    let (mut events, mut version) = (Events::new(), version);
    loop {
        // A watch ends after some minutes, and goes on where it ended.
        let stream = api.watch(&WatchParams::default(), &version).await.unwrap();
        let mut stream = stream.boxed();
        while let Some(event) = stream.try_next().await.unwrap() {
            let (object, is_end) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(error) => panic!("{error:?}"),
            };
            if object.namespace().as_deref() == Some(LAST) {
                return events;
            }
            version = object.resource_version().unwrap_or_default();
            let id = Id::new(kind, &object.namespace().unwrap_or_default(), &object.name_any());
            let seen = seen(&id, json!(object)).unwrap();
            let told =
                if is_end { Told::Deleted(seen.meta().uid.clone()) } else { Told::Seen(Box::new(seen)) };
            events.entry(id).or_default().push(told);
        }
    }
}

/// The model's log, in the form of what watches tell.
pub fn of_model(server: &Server) -> Events {
    let mut events = Events::new();
    for event in server.log.values().flatten() {
        let (id, told) = match event {
            Event::Seen(seen) => (seen.id(), Told::Seen(Box::new(plain((**seen).clone(), Clone::clone)))),
            Event::Deleted(seen) => (seen.id(), Told::Deleted(seen.meta().uid.clone())),
        };
        events.entry(id.clone()).or_default().push(told);
    }
    events
}

/// What was told of one namespace, in the model's words.
pub fn of_namespace(events: &Events, namespace: &str, name: impl Fn(&Uid) -> Uid + Copy) -> Events {
    let told = |told: &Told| match told {
        Told::Seen(seen) => Told::Seen(Box::new(plain((**seen).clone(), name))),
        Told::Deleted(uid) => Told::Deleted(name(uid)),
    };
    let there = events.iter().filter(|(id, _)| *id.namespace == *namespace);
    there.map(|(id, events)| (id.clone(), events.iter().map(told).collect())).collect()
}
