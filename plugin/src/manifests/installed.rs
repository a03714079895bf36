//! What is there of an installation.

use std::collections::BTreeSet;

use ipam::api::{GROUP, LEASE, PROVIDER, PROVIDER_LABEL, WEBHOOK_SECRET};
use ipam::apply::{Change, Target};
use serde_json::{Value, json};

use super::{Manifests, resource};
use crate::cluster::Cluster;
use crate::error::{Asked, Error, Kind};
use crate::output::{object_name, some_of};
use crate::plan::{Plan, Step};

/// The objects of an installation that there are.
pub struct Installed {
    namespace: String,
    present: Vec<Present>,
}

/// One of them.
struct Present {
    target: Target,
    shown: String,
    uid: String,
    /// Which program it runs.
    image: Option<String>,
    /// It carries the label of this provider.
    is_ours: bool,
}

/// A resource that namespaces may have.
struct Listable {
    /// Path of its group and version.
    base: String,
    group: String,
    plural: String,
}

/// What stops the controller.
const FIRST: [&str; 3] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Deployment"];
/// What takes others with it, and goes only where that is meant.
const LAST: [&str; 2] = ["CustomResourceDefinition", "Namespace"];
/// What every namespace has.
const COMMON: [(&str, &str); 2] = [("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")];
/// What is derived from our Services and Deployment, and has their labels.
const DERIVED: [(&str, &str); 5] = [
    ("", "endpoints"),
    ("discovery.k8s.io", "endpointslices"),
    ("", "pods"),
    ("metrics.k8s.io", "pods"),
    ("apps", "replicasets"),
];

impl Installed {
    /// Looks for them by their names, and those that the controller makes itself.
    pub async fn look(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        let manifests = Manifests::shipped()?.into_namespace(namespace)?;
        let mut installed = Self { namespace: namespace.to_owned(), present: Vec::new() };
        for object in manifests.objects().iter().chain(&made(namespace)) {
            let Some(target) = target(object) else { continue };
            let Some(found) = find(cluster, &target).await? else { continue };
            if let Some(other) = named_namespace(&found).filter(|other| *other != namespace) {
                let what = format!("the controller is installed in namespace {other}, not in {namespace}");
                return Err(Error::new(Kind::Usage, what).hint(format!("-n {other}")));
            }
            installed.present.push(Present::of(&found, object_name(object), target));
        }
        Ok(installed)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// What stops the controller. The webhooks go first, so that nobody waits for one that does not answer any more.
    pub fn stop(&self) -> Plan {
        let mut plan = Plan::default();
        for kind in FIRST {
            self.of(kind).for_each(|present| plan.add(present.deletion(None)));
        }
        plan
    }

    /// What is left then, in the order in which nothing outlives what it needs; `kinds` are the CRDs with the reason
    /// that is shown, where they go as well.
    pub fn remove(&self, kinds: Option<&dyn Fn(&str) -> String>, with_namespace: bool) -> Plan {
        let mut plan = Plan::default();
        let between = |present: &&Present| {
            let kind = present.target.resource.kind;
            !FIRST.contains(&kind) && !LAST.contains(&kind)
        };
        self.present.iter().rev().filter(between).for_each(|present| plan.add(present.deletion(None)));
        if let Some(why) = kinds {
            for present in self.of("CustomResourceDefinition") {
                plan.add(present.deletion(Some(why(&present.target.name))));
            }
        }
        if with_namespace {
            self.of("Namespace").for_each(|present| plan.add(present.deletion(None)));
        }
        plan
    }

    /// What is still there of the kinds that take a while to go, and why.
    pub async fn going(&self, cluster: &Cluster) -> Result<Option<String>, Error> {
        for present in self.of("CustomResourceDefinition").chain(self.of("Namespace")) {
            let left = find(cluster, &present.target).await?;
            let same = |found: &Value| found["metadata"]["uid"] == *present.uid;
            let leaving = |found: &Value| !found["metadata"]["deletionTimestamp"].is_null();
            if let Some(found) = left.filter(|found| same(found) && leaving(found)) {
                return Ok(Some(format!("{}: {}", present.shown, reason(&found))));
            }
        }
        Ok(None)
    }

    /// How many pods of the controller there are.
    pub async fn pods(&self, cluster: &Cluster) -> Result<usize, Error> {
        let namespace = &self.namespace;
        let asked = Asked { verb: "list", resource: "pods".into(), namespace: Some(namespace.clone()) };
        let labels = "cluster.x-k8s.io%2Fprovider%3Dipam-metal3%2Ccontrol-plane%3Dcontroller-manager";
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
        let found: Option<Value> = cluster.get(&path, &asked).await?;
        Ok(found.and_then(|found| found["items"].as_array().map(Vec::len)).unwrap_or_default())
    }

    /// Why the namespace has to stay: it is not ours, or there is more in it than every namespace has. Whoever cannot look
    /// is told by the error.
    pub async fn shared(&self, cluster: &Cluster) -> Result<Option<String>, Error> {
        if self.of("Namespace").any(|namespace| !namespace.is_ours) {
            return Ok(Some("it was there before".into()));
        }
        let mut others = Vec::new();
        for of in listable(cluster).await? {
            others.extend(self.others(cluster, &of).await?);
        }
        Ok((!others.is_empty()).then(|| format!("it has {}", some_of(&others))))
    }

    /// What others have in the namespace, of one resource.
    async fn others(&self, cluster: &Cluster, of: &Listable) -> Result<Vec<String>, Error> {
        let Listable { base, group, plural } = of;
        let asked = Asked {
            verb: "list",
            resource: [plural.as_str(), group].join(".").trim_end_matches('.').to_owned(),
            namespace: Some(self.namespace.clone()),
        };
        let derived = DERIVED.contains(&(group.as_str(), plural.as_str()));
        let selector =
            if derived { "&labelSelector=cluster.x-k8s.io%2Fprovider%21%3Dipam-metal3" } else { "" };
        // More than there can be of ours.
        let path = format!("{base}/namespaces/{}/{plural}?limit=100{selector}", self.namespace);
        let found: Value = cluster.get(&path, &asked).await?.unwrap_or_default();
        let names = found["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["metadata"]["name"].as_str());
        let others = names.filter(|name| {
            let is_it = |target: &Target| {
                (target.resource.group, target.resource.plural, target.name.as_str())
                    == (group.as_str(), plural.as_str(), *name)
            };
            !COMMON.contains(&(plural.as_str(), name))
                && !self.present.iter().any(|present| is_it(&present.target))
        });
        Ok(others.map(|name| format!("{}/{name}", asked.resource)).collect())
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &Present> {
        self.present.iter().filter(move |present| present.target.resource.kind == kind)
    }
}

impl Present {
    fn of(found: &Value, shown: String, target: Target) -> Self {
        let image = found["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let is_ours = found["metadata"]["labels"][PROVIDER_LABEL] == PROVIDER;
        Self { target, shown, uid, image: image.map(str::to_owned), is_ours }
    }

    fn deletion(&self, why: Option<String>) -> Step {
        let change =
            Change::Delete { target: self.target.clone(), uid: Some(self.uid.clone()), version: None };
        let step = Step::new('-', &self.shown, "deleted", change).or_overtaken();
        match why.or_else(|| self.image.as_ref().map(|image| format!("image {image}"))) {
            Some(why) => step.because(why),
            None => step,
        }
    }
}

/// All that a namespace may have, but for Events and what goes with our own kinds.
async fn listable(cluster: &Cluster) -> Result<Vec<Listable>, Error> {
    let asked = |path: &str| Asked { verb: "get", resource: path.to_owned(), namespace: None };
    let groups: Value = cluster.get("/apis", &asked("/apis")).await?.unwrap_or_default();
    let versions = |group: &Value| group["versions"].as_array().cloned().unwrap_or_default();
    let mut bases = vec![("/api/v1".to_owned(), String::new())];
    for group in groups["groups"].as_array().into_iter().flatten() {
        let name = group["name"].as_str().unwrap_or_default();
        let served = versions(group);
        let paths = served.iter().filter_map(|version| version["groupVersion"].as_str());
        bases.extend(paths.map(|path| (format!("/apis/{path}"), name.to_owned())));
    }
    let mut known = BTreeSet::new();
    let mut listable = Vec::new();
    for (base, group) in bases.into_iter().filter(|(_, group)| group != GROUP && group != "events.k8s.io") {
        let resources: Value =
            cluster.get(&base, &asked(&base)).await?.ok_or_else(|| asked(&base).cannot())?;
        for resource in resources["resources"].as_array().into_iter().flatten() {
            let listed = resource["verbs"].as_array().is_some_and(|verbs| verbs.contains(&json!("list")));
            let Some(plural) = resource["name"].as_str().filter(|_| listed && resource["namespaced"] == true)
            else {
                continue;
            };
            if plural != "events" && known.insert((group.clone(), plural.to_owned())) {
                listable.push(Listable {
                    base: base.clone(),
                    group: group.clone(),
                    plural: plural.to_owned(),
                });
            }
        }
    }
    Ok(listable)
}

/// What the controller makes itself.
fn made(namespace: &str) -> [Value; 2] {
    let object = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
    [object("v1", "Secret", WEBHOOK_SECRET), object("coordination.k8s.io/v1", "Lease", LEASE)]
}

fn target(object: &Value) -> Option<Target> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    Some(Target {
        resource: resource(object)?,
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
    })
}

async fn find(cluster: &Cluster, target: &Target) -> Result<Option<Value>, Error> {
    let Target { resource, namespace, .. } = target;
    let full = [resource.plural, resource.group].join(".");
    let asked = Asked {
        verb: "get",
        resource: full.trim_end_matches('.').to_owned(),
        namespace: Some(namespace.clone()).filter(|namespace| !namespace.is_empty()),
    };
    cluster.get(&target.path(), &asked).await
}

/// The namespace that an object of the whole cluster speaks of.
fn named_namespace(object: &Value) -> Option<&str> {
    let of =
        [&object["webhooks"][0]["clientConfig"]["service"]["namespace"], &object["subjects"][0]["namespace"]];
    of.into_iter().find_map(Value::as_str)
}

/// Why something is not gone yet, in the API server's words.
fn reason(object: &Value) -> String {
    let telling = ["NamespaceFinalizersRemaining", "NamespaceContentRemaining", "Terminating"];
    let conditions = object["status"]["conditions"].as_array();
    let holds = |condition: &&Value| {
        condition["status"] == "True" && telling.iter().any(|known| condition["type"] == **known)
    };
    let found =
        conditions.into_iter().flatten().find(holds).and_then(|condition| condition["message"].as_str());
    found.unwrap_or("its deletion is under way").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed() -> Installed {
        let manifests = Manifests::shipped().unwrap();
        let made = made("ns");
        let objects = manifests.objects().iter().chain(&made);
        let present = |object| Some(Present::of(object, object_name(object), target(object)?));
        Installed { namespace: "ns".into(), present: objects.filter_map(present).collect() }
    }

    #[test]
    fn the_webhooks_go_before_the_controller_and_nothing_goes_twice() {
        let installed = installed();
        let stop = installed.stop().lines();
        assert!(stop[0].starts_with("- mutatingwebhookconfiguration."), "{stop:?}");
        assert!(stop[2].starts_with("- deployment.apps/ipam-controller-manager   # image "), "{stop:?}");
        let remove = installed.remove(Some(&|_| "with all".into()), true).lines();
        assert_eq!(stop.len() + remove.len(), installed.present.len());
        assert!(stop.iter().all(|line| !remove.contains(line)));
    }

    #[test]
    fn the_kinds_go_only_when_they_are_meant_and_the_namespace_goes_last() {
        let kinds = |lines: &[String]| lines.iter().filter(|line| line.contains("customresource")).count();
        assert_eq!(kinds(&installed().remove(None, true).lines()), 0);
        let all = installed().remove(Some(&|name| format!("{name} too")), true).lines();
        assert_eq!(kinds(&all), 3);
        assert_eq!(all.last().map(String::as_str), Some("- namespace/metal3-ipam-system"));
        let kept = installed().remove(None, false).lines();
        assert!(kept.iter().all(|line| !line.contains("namespace/")), "{kept:?}");
    }

    #[test]
    fn a_role_outlives_its_binding() {
        let lines = installed().remove(None, true).lines();
        let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
        assert!(
            at("- clusterrolebinding.") < at("- clusterrole.rbac.authorization.k8s.io/ipam-manager-role")
        );
        assert!(at("- rolebinding.") < at("- serviceaccount/"));
    }
}
