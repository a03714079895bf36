//! Everything that ever happened to the pools, claims and addresses of a namespace, judged at each revision.
//!
//! It is read from the store, so nothing is missing where the API server was away.

mod judge;
mod state;
mod tests;

use ipam::api::{Family, Kind};
use serde_json::Value;
use testbed::Stored;

use crate::scene::Scene;
pub use judge::Writers;
use judge::judge;

/// What a person's change of an object changes besides, so that it can be told from a controller's.
pub const BY_HAND: &str = "ipam.test/by-hand";

const KINDS: [Kind; 5] = [
    Kind::Pool,
    Kind::Claim(Family::Metal3),
    Kind::Claim(Family::Capi),
    Kind::Address(Family::Metal3),
    Kind::Address(Family::Capi),
];

/// One revision of one object.
struct Revision {
    version: u64,
    kind: Kind,
    name: String,
    /// None once it is gone.
    object: Option<Value>,
}

/// Where the history of a namespace begins.
pub struct History {
    since: u64,
}

impl History {
    /// Begins before anything is in the namespace.
    pub async fn begin(scene: &Scene) -> Self {
        Self { since: scene.plane.revision().await.unwrap() }
    }

    /// Judges all that happened until now, and says at how many revisions.
    ///
    /// # Panics
    /// With the first revision at which something is not as it has to be.
    pub async fn judge(&self, scene: &Scene, writers: Writers) -> usize {
        let stored = scene.plane.history("/registry/ipam.", self.since).await.unwrap();
        let revisions: Vec<Revision> =
            stored.into_iter().filter_map(|stored| read(stored, &scene.namespace)).collect();
        if let Err(broken) = judge(&revisions, writers) {
            panic!("{broken}\n{}", story(&revisions, &broken));
        }
        revisions.len()
    }
}

/// What became of the objects that a text names, and of the addresses of such claims.
fn story(revisions: &[Revision], text: &str) -> String {
    let is_named = |name: &str| text.split([' ', ',', ':']).any(|word| word == name);
    let line = |revision: &Revision| {
        let Revision { version, kind, name, object } = revision;
        let object = object.as_ref().unwrap_or(&Value::Null);
        let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let claim = spec["claim"]["name"].as_str().or(spec["claimRef"]["name"].as_str());
        let parts = [
            &meta["uid"],
            &meta["deletionTimestamp"],
            &meta["finalizers"],
            &meta["annotations"],
            &spec["address"],
            &status["address"]["name"],
            &status["addressRef"]["name"],
            &status["conditions"][0]["reason"],
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|part| !part.is_null()).map(Value::to_string).collect();
        let is_told = is_named(name) || claim.is_some_and(is_named);
        is_told.then(|| format!("{version} {} {name}: {}", kind.name(), parts.join(" ")))
    };
    revisions.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// A revision of an object of the namespace.
fn read(stored: Stored, namespace: &str) -> Option<Revision> {
    let mut parts = stored.key.strip_prefix("/registry/")?.split('/');
    let (group, plural) = (parts.next()?, parts.next()?);
    if parts.next()? != namespace {
        return None;
    }
    let is_it = |kind: &Kind| kind.group() == group && kind.resource().plural == plural;
    let kind = KINDS.into_iter().find(is_it)?;
    Some(Revision { version: stored.revision, kind, name: parts.next()?.to_owned(), object: stored.object })
}
