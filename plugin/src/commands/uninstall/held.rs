//! What the controller holds, and would leave behind.

use std::collections::{BTreeMap, BTreeSet};

use ipam::api::{Family, GROUP, Kind as ObjectKind};

use crate::check::{Mend, Object};
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{plural, some_of};
use crate::world::{Claim, Raw, Scope};

/// All that there is of the controller's work.
#[derive(Default)]
pub struct Held {
    /// What takes its finalizers off.
    pub mends: Vec<Mend>,
    /// How many objects of its own kinds others hold on to.
    pub foreign: usize,
    /// Claims that have an address, and are held.
    bound: Vec<String>,
    /// Claims of the controller's own kinds that have an address, and are not held any more.
    loose: Vec<String>,
    /// What it has a finalizer on.
    names: Vec<String>,
    /// How many objects there are of each of its own kinds, by the names of their CRDs.
    objects: BTreeMap<String, usize>,
    /// Where they are.
    namespaces: BTreeSet<String>,
    /// Where claims and addresses of Cluster API are, which outlast the controller and its kinds.
    others: BTreeSet<String>,
}

impl Held {
    /// Looks through all namespaces: addresses first, as they are let go first.
    pub async fn look(cluster: &Cluster) -> Result<Self, Error> {
        let addresses = Family::ALL.map(ObjectKind::Address).into_iter();
        let kinds = addresses.chain(Family::ALL.map(ObjectKind::Claim)).chain([ObjectKind::Pool]);
        let mut held = Self::default();
        for kind in kinds {
            cluster.each(kind, &Scope::default(), |raw: Raw| held.add(kind, raw)).await?;
        }
        Ok(held)
    }

    fn add(&mut self, kind: ObjectKind, raw: Raw) {
        let meta = &raw.metadata;
        let object = Object::of(kind, meta);
        let name = format!("{} -n {}", object.shown(), meta.namespace);
        let is_held = meta.held_by_us(kind);
        if kind.group() == GROUP {
            let resource = kind.resource();
            *self.objects.entry(format!("{}.{}", resource.plural, resource.group)).or_default() += 1;
            self.namespaces.insert(meta.namespace.owned());
            self.foreign += usize::from(!meta.foreign_finalizers(kind).is_empty());
        } else {
            self.others.insert(meta.namespace.owned());
        }
        let place = format!("in namespace {}", meta.namespace);
        if let Some(mend) = Mend::let_go(object, meta, &place) {
            self.mends.push(mend);
            self.names.push(name.clone());
        }
        if let ObjectKind::Claim(family) = kind
            && Claim::read(family, raw).is_some_and(|claim| claim.bound().is_some())
        {
            match family {
                _ if is_held => self.bound.push(name),
                Family::Metal3 => self.loose.push(name),
                Family::Capi => {}
            }
        }
    }

    /// Refuses while something is held; where the kinds are to go too, also while claims of these have an address, which goes
    /// with them.
    pub fn refuse(&self, with_kinds: bool) -> Result<(), Error> {
        const DRAIN: &str = "--drain takes the controller's finalizers off and leaves everything as it is, the machines' addresses too";
        if !self.bound.is_empty() {
            let what = format!("addresses are held by {}", plural(self.bound.len(), "claim"));
            return Err(Error::new(Kind::Failed, what)
                .caused_by(some_of(&self.bound))
                .hint("`kubectl ipam delete-pool POOL --release-claims` gives them back; their machines lose them")
                .hint(DRAIN));
        }
        if with_kinds && !self.loose.is_empty() {
            let what = format!(
                "addresses are held by {}, which would go with the kinds",
                plural(self.loose.len(), "claim")
            );
            return Err(Error::new(Kind::Failed, what)
                .caused_by(some_of(&self.loose))
                .hint("without --crds they stay")
                .hint("--drain removes the kinds all the same: no record is left of which machine has which address"));
        }
        if !self.names.is_empty() {
            let what = format!("the controller holds {}", plural(self.names.len(), "object"));
            return Err(Error::new(Kind::Failed, what)
                .caused_by(some_of(&self.names))
                .hint("`kubectl ipam delete-pool POOL --release-claims` deletes a pool and its claims")
                .hint(DRAIN));
        }
        Ok(())
    }

    /// What goes with a CRD.
    pub fn lost_with(&self, crd: &str) -> String {
        let n = self.objects.get(crd).copied().unwrap_or_default();
        format!("and {} of this kind", plural(n, "object"))
    }

    /// Whether pools, claims or addresses stay in a namespace; those of the controller's own kinds go with these.
    pub fn stays_in(&self, namespace: &str, without_kinds: bool) -> bool {
        self.others.contains(namespace) || !without_kinds && self.namespaces.contains(namespace)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn held(objects: &[(ObjectKind, Value)]) -> Held {
        let mut held = Held::default();
        for (kind, object) in objects {
            held.add(*kind, serde_json::from_value(object.clone()).unwrap());
        }
        held
    }

    fn claim(finalizer: &str, status: &Value) -> (ObjectKind, Value) {
        let metadata = json!({"name": "c", "namespace": "ns", "uid": "u", "finalizers": [finalizer]});
        let spec = json!({"pool": {"name": "p"}});
        let kind = ObjectKind::Claim(Family::Metal3);
        (kind, json!({"metadata": metadata, "spec": spec, "status": status}))
    }

    #[test]
    fn a_claim_with_an_address_is_named_and_a_waiting_one_too() {
        let bound = held(&[claim("ipclaim.ipam.metal3.io", &json!({"address": {"name": "p-1"}}))]);
        let said = bound.refuse(false).unwrap_err().report();
        assert!(
            said.starts_with(
                "error: addresses are held by 1 claim\n  because: ipclaim.ipam.metal3.io/c -n ns\n"
            ),
            "{said}"
        );
        let waiting = held(&[claim("ipclaim.ipam.metal3.io", &Value::Null)]);
        assert!(
            waiting.refuse(false).unwrap_err().report().starts_with("error: the controller holds 1 object\n")
        );
        assert_eq!(waiting.mends.len(), 1);
    }

    #[test]
    fn what_others_hold_is_not_let_go_and_hinders_only_the_end_of_the_kinds() {
        let theirs = held(&[claim("example.org/mine", &json!({"address": {"name": "p-1"}}))]);
        assert!(theirs.refuse(false).is_ok());
        let said = theirs.refuse(true).unwrap_err().report();
        assert!(
            said.starts_with("error: addresses are held by 1 claim, which would go with the kinds\n"),
            "{said}"
        );
        assert!(theirs.mends.is_empty());
        assert_eq!(theirs.foreign, 1);
        assert_eq!(theirs.lost_with("ipclaims.ipam.metal3.io"), "and 1 object of this kind");
    }

    #[test]
    fn a_namespace_is_used_until_its_objects_go_with_their_kinds() {
        let ours = held(&[claim("ipclaim.ipam.metal3.io", &Value::Null)]);
        assert!(ours.stays_in("ns", false) && !ours.stays_in("ns", true) && !ours.stays_in("other", false));
        let (_, object) = claim("ipam.metal3.io/ipaddressclaim", &Value::Null);
        let theirs = held(&[(ObjectKind::Claim(Family::Capi), object)]);
        assert!(theirs.stays_in("ns", true));
    }
}
