//! The world out of files: what `kubectl get -o yaml`, a must-gather or a backup left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipam::api::{CAPI_IPAM_GROUP, CLUSTER_GROUP, Family, GROUP, IPPool, Kind};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Address, Claim, ClusterSeen, Meta, Raw, Word, World};
use crate::error::{Error, Kind as Failure};

/// All documents of a file or of a folder's YAML and JSON files; `-` is stdin.
pub fn documents<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let mut found = Vec::new();
    let is_folder = path.is_dir();
    for file in files(path)? {
        let text = if file.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(&file)
        };
        let text = text.map_err(|error| unreadable(&file).caused_by(error))?;
        if is_folder && !may_matter(&text) {
            continue;
        }
        found.extend(parse::<T>(&text).map_err(|error| unreadable(&file).caused_by(error))?);
    }
    Ok(found)
}

/// When the latest of these files was written; not known of stdin.
pub fn written(path: &Path) -> Option<Timestamp> {
    let of = |file: &PathBuf| Timestamp::try_from(std::fs::metadata(file).ok()?.modified().ok()?).ok();
    files(path).ok()?.iter().filter_map(of).max()
}

fn unreadable(path: &Path) -> Error {
    Error::new(Failure::Blind, format!("cannot read {}", path.display()))
}

/// Whether there may be an object in it that matters. A must-gather has many files, and some that only look like YAML.
fn may_matter(text: &str) -> bool {
    [GROUP, CAPI_IPAM_GROUP, CLUSTER_GROUP].iter().any(|group| text.contains(group))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path).caused_by(error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(path).caused_by(error))?.path();
        let known = ["yaml", "yml", "json"];
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if entry.extension().is_some_and(|ending| known.iter().any(|known| ending == *known)) {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    if text.trim_start().starts_with('{') {
        let values = serde_json::Deserializer::from_str(text).into_iter();
        return values.collect::<Result<_, _>>().map_err(|error| error.to_string());
    }
    // The limits of the YAML reader guard servers against strangers; a dump is as large as it is.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// One document, made small as soon as it is read: a dump may hold a hundred thousand objects in one list.
#[derive(Deserialize)]
#[serde(from = "Loose")]
pub enum Thing {
    Pool(Box<IPPool>),
    /// A pool that cannot be understood: its name, and why.
    BrokenPool(String, String),
    Claim(Box<Claim>),
    Address(Box<Address>),
    Cluster(ClusterSeen),
    List(Vec<Self>),
    /// What says no kind: its list does.
    Nameless(Box<Loose>),
    Other,
}

/// An object or a list, as it comes.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Loose {
    api_version: String,
    kind: String,
    metadata: Meta,
    spec: Value,
    status: Value,
    items: Option<Vec<Thing>>,
}

impl From<Loose> for Thing {
    fn from(mut loose: Loose) -> Self {
        if let (Some(items), Some(of)) = (loose.items.take(), loose.kind.strip_suffix("List")) {
            // The items of the API server's lists say neither kind nor version.
            let named = |item: Self| match item {
                Self::Nameless(item) => {
                    Self::from(Loose { api_version: loose.api_version.clone(), kind: of.to_owned(), ..*item })
                }
                item => item,
            };
            return Self::List(items.into_iter().map(named).collect());
        }
        let group = loose.api_version.split('/').next().unwrap_or_default().to_owned();
        let kind = std::mem::take(&mut loose.kind);
        if kind.is_empty() {
            return Self::Nameless(Box::new(loose));
        }
        if (group.as_str(), kind.as_str()) == (GROUP, "IPPool") {
            return pool(loose);
        }
        let raw = Raw { metadata: loose.metadata, spec: loose.spec, status: loose.status };
        let claim = |family, raw| Claim::read(family, raw).map(|claim| Self::Claim(Box::new(claim)));
        let address =
            |family, raw| Address::read(family, raw).map(|address| Self::Address(Box::new(address)));
        let read = match (group.as_str(), kind.as_str()) {
            (GROUP, "IPClaim") => claim(Family::Metal3, raw),
            (GROUP, "IPAddress") => address(Family::Metal3, raw),
            (CAPI_IPAM_GROUP, "IPAddressClaim") => claim(Family::Capi, raw),
            (CAPI_IPAM_GROUP, "IPAddress") => address(Family::Capi, raw),
            (CLUSTER_GROUP, "Cluster") => Some(Self::Cluster(ClusterSeen::read(&raw))),
            _ => None,
        };
        read.unwrap_or(Self::Other)
    }
}

/// A pool, with as much of its metadata as is looked at.
fn pool(loose: Loose) -> Thing {
    let Loose { metadata: meta, spec, status, .. } = loose;
    let text = |text: &Word| Some(text.owned()).filter(|text| !text.is_empty());
    let metadata = ObjectMeta {
        name: text(&meta.name),
        namespace: text(&meta.namespace),
        uid: text(&meta.uid),
        resource_version: text(&meta.resource_version),
        annotations: Some(
            meta.annotations.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ),
        finalizers: Some(meta.finalizers.iter().copied().map(Word::owned).collect()),
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        ..ObjectMeta::default()
    };
    let mut object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": metadata});
    for (name, part) in [("spec", spec), ("status", status)].into_iter().filter(|(_, part)| !part.is_null()) {
        object[name] = part;
    }
    match serde_json::from_value(object) {
        Ok(pool) => Thing::Pool(Box::new(pool)),
        Err(error) => Thing::BrokenPool(meta.name.owned(), error.to_string()),
    }
}

impl World {
    /// The world that these things are; what is of no concern is passed over.
    pub fn of(things: Vec<Thing>) -> Self {
        let mut world = Self { clusters: Some(Vec::new()), ..Self::default() };
        for thing in things {
            world.add(thing);
        }
        world.each_once();
        world
    }

    /// A folder may hold one object several times: the latest of them counts.
    fn each_once(&mut self) {
        fn latest<T, K: Ord>(all: &mut Vec<T>, key: impl Fn(&T) -> K, version: impl Fn(&T) -> u64) {
            let mut best: BTreeMap<K, (u64, usize)> = BTreeMap::new();
            for (at, one) in all.iter().enumerate() {
                let known = best.entry(key(one)).or_insert((version(one), at));
                *known = (*known).max((version(one), at));
            }
            let kept: BTreeSet<usize> = best.into_values().map(|(_, at)| at).collect();
            let mut at = 0..;
            all.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
        }
        let number = |version: &str| version.parse().unwrap_or(0);
        let id = |meta: &Meta| (meta.namespace.owned(), meta.name.owned(), meta.uid.owned());
        latest(
            &mut self.pools,
            |pool| (pool.namespace(), pool.name_any(), pool.uid()),
            |pool| number(&pool.resource_version().unwrap_or_default()),
        );
        latest(
            &mut self.claims,
            |claim| (claim.family, id(&claim.meta)),
            |claim| number(&claim.meta.resource_version),
        );
        latest(
            &mut self.addresses,
            |address| (address.family, id(&address.meta)),
            |address| number(&address.meta.resource_version),
        );
    }

    /// The same, of objects.
    #[cfg(test)]
    pub fn of_objects(objects: Vec<Value>) -> Self {
        let read = |object| serde_json::from_value(object).unwrap_or(Thing::Other);
        Self::of(objects.into_iter().map(read).collect())
    }

    fn add(&mut self, thing: Thing) {
        match thing {
            Thing::Pool(pool) => self.pools.push(*pool),
            Thing::BrokenPool(name, why) => {
                let error = Error::new(Failure::Failed, format!("pool {name} cannot be read")).caused_by(why);
                self.unseen.insert(Kind::Pool, error);
            }
            Thing::Claim(claim) => self.claims.push(*claim),
            Thing::Address(address) => self.addresses.push(*address),
            Thing::Cluster(cluster) => self.clusters.get_or_insert_default().push(cluster),
            Thing::List(things) => things.into_iter().for_each(|thing| self.add(thing)),
            Thing::Nameless(_) | Thing::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "
apiVersion: ipam.metal3.io/v1alpha1
kind: IPPool
metadata: {name: p, namespace: ns}
spec: {namePrefix: p, pools: [{subnet: 10.0.0.0/24}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: ipam.metal3.io/v1alpha1
  kind: IPClaimList
  items:
  - metadata: {name: c, namespace: ns, creationTimestamp: 2026-11-24T10:00:00Z}
    spec: {pool: {name: p}}
- apiVersion: v1
  kind: Secret
  metadata: {name: s}
";

    #[test]
    fn documents_lists_and_lists_in_lists_are_read() {
        let world = World::of(parse(DUMP).unwrap());
        assert_eq!((world.pools.len(), world.claims.len()), (1, 1));
        assert!(world.claims[0].meta.creation_timestamp.is_some());
    }

    #[test]
    fn an_object_that_is_there_twice_is_one() {
        let claim = |version: &str, uid: &str| {
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
            "metadata": {"name": "c", "namespace": "ns", "uid": uid, "resourceVersion": version}, "spec": {"pool": {"name": "p"}}})
        };
        let world =
            World::of_objects(vec![claim("9", "u"), claim("10", "u"), claim("10", "u"), claim("2", "v")]);
        let versions: Vec<&str> = world.claims.iter().map(|claim| &*claim.meta.resource_version).collect();
        assert_eq!(versions, ["10", "2"]);
        let world = World::of([parse(DUMP).unwrap(), parse(DUMP).unwrap()].into_iter().flatten().collect());
        assert_eq!((world.pools.len(), world.claims.len()), (1, 1));
    }

    #[test]
    fn json_is_read_as_it_is() {
        let objects: Vec<Value> = parse("{\"kind\": \"A\"}\n{\"kind\": \"B\"}").unwrap();
        assert_eq!(objects.len(), 2);
        assert!(parse::<Value>("{").is_err());
        let objects: Vec<Value> = parse("[{\"kind\": \"A\"}, {\"kind\": \"B\"}]").unwrap();
        assert_eq!(objects.len(), 2);
    }

    #[test]
    fn of_a_folder_only_the_files_are_read_that_may_have_something_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("health.json", "[{\"endpoint\": \"https://10.0.0.1:2379\", \"health\": true}]");
        write("notes.yaml", "this: is: no YAML");
        write("claims.yaml", DUMP);
        assert_eq!(World::of(documents::<Thing>(folder.path()).unwrap()).claims.len(), 1);
        write("broken.yaml", "kind: IPClaim\napiVersion: ipam.metal3.io/v1alpha1: no");
        let Err(error) = documents::<Thing>(folder.path()) else { panic!("it cannot be read") };
        assert!(error.report().contains("broken.yaml"), "{}", error.report());
    }
}
