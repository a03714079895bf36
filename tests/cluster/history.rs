//! Everything that ever happened to the claims and addresses of a namespace, judged at each revision.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use ipam::api::{Family, Kind};
use kube::api::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio::task::JoinSet;

use crate::scene::{Scene, ip_of, pool_of, published};

const KINDS: [Kind; 4] = [
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
];

/// One revision of one object.
#[derive(Clone)]
struct Revision {
    version: u64,
    kind: Kind,
    object: DynamicObject,
    deleted: bool,
}

/// A recording that goes on as long as it is kept.
pub struct History {
    revisions: Arc<Mutex<Vec<Revision>>>,
    _watches: JoinSet<()>,
}

impl History {
    /// Begins before anything is in the namespace.
    pub fn record(scene: &Scene) -> Self {
        let revisions = Arc::new(Mutex::new(Vec::new()));
        let mut watches = JoinSet::new();
        for kind in KINDS {
            watches.spawn(follow(scene.of_kind(kind), kind, revisions.clone()));
        }
        Self { revisions, _watches: watches }
    }

    /// Waits until the recording has reached what the API server has now, and judges all of it: no address of a pool is
    /// published by two claims at any revision, and no claim ever publishes another than its first.
    pub async fn judge(&self, scene: &Scene) {
        for kind in KINDS {
            let objects = scene.of_kind(kind).list(&kube::api::ListParams::default()).await.unwrap();
            let newest = objects.items.iter().map(version_of).max().unwrap_or(0);
            let reached = || async {
                let revisions = self.revisions.lock().unwrap();
                let last = revisions.iter().filter(|revision| revision.kind == kind).map(|r| r.version).max();
                (last.unwrap_or(0) >= newest).then_some(())
            };
            scene.until("the recording is complete", reached).await;
        }
        let mut revisions = self.revisions.lock().unwrap().clone();
        revisions.sort_by_key(|revision| revision.version);
        let mut state = State::default();
        for revision in revisions {
            let version = revision.version;
            state.apply(revision);
            if let Err(broken) = state.check() {
                panic!("at revision {version}: {broken}");
            }
        }
    }
}

async fn follow(objects: Api<DynamicObject>, kind: Kind, revisions: Arc<Mutex<Vec<Revision>>>) {
    let mut events = std::pin::pin!(watcher(objects, watcher::Config::default()));
    let mut lists = 0;
    while let Some(event) = events.try_next().await.expect("the recording goes on") {
        let (object, deleted) = match event {
            watcher::Event::Init => {
                lists += 1;
                assert_eq!(lists, 1, "a second list would leave a gap in the recording");
                continue;
            }
            watcher::Event::InitDone => continue,
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => (object, false),
            watcher::Event::Delete(object) => (object, true),
        };
        revisions.lock().unwrap().push(Revision { version: version_of(&object), kind, object, deleted });
    }
}

fn version_of(object: &DynamicObject) -> u64 {
    object.resource_version().unwrap().parse().unwrap()
}

/// What there is at one revision.
#[derive(Default)]
struct State {
    /// Pool and address of each address object, also of those that are gone: a name always means the same address.
    addresses: BTreeMap<(Family, String), (String, IpAddr)>,
    /// Name of each claim, and the address object that it publishes, by UID.
    claims: BTreeMap<String, (Family, String, String)>,
    /// What each claim published first.
    first: BTreeMap<String, String>,
}

impl State {
    fn apply(&mut self, Revision { kind, object, deleted, .. }: Revision) {
        match kind {
            Kind::Address(family) => {
                let ip = ip_of(&object).parse().unwrap();
                self.addresses.insert((family, object.name_any()), (pool_of(&object), ip));
            }
            Kind::Claim(family) => {
                let uid = object.uid().unwrap();
                match published(&object).filter(|_| !deleted) {
                    Some(name) => {
                        self.first.entry(uid.clone()).or_insert_with(|| name.clone());
                        self.claims.insert(uid, (family, object.name_any(), name));
                    }
                    None => {
                        self.claims.remove(&uid);
                    }
                }
            }
            Kind::Pool | Kind::Cluster => {}
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut holders = BTreeMap::new();
        for (uid, (family, claim, name)) in &self.claims {
            let Some(held) = self.addresses.get(&(*family, name.clone())) else {
                return Err(format!("{claim} publishes {name}, which never was"));
            };
            if self.first[uid] != *name {
                return Err(format!("{claim} published {} and now {name}", self.first[uid]));
            }
            if let Some(other) = holders.insert(held, claim) {
                return Err(format!("{other} and {claim} both publish {}", held.1));
            }
        }
        Ok(())
    }
}
