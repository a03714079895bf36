//! Whose machine it is: the join from a claim's owner to its machine and host, where Metal3 is installed.

use std::collections::BTreeMap;

use super::{Claim, Owner, Raw, Scope, Word};
use crate::cluster::Cluster;
use crate::error::Error;

const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
const HOST_ANNOTATION: &str = "metal3.io/BareMetalHost";

/// A machine of Metal3, by what leads to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Metal3's own object for it.
    pub infrastructure: String,
    /// The Cluster API Machine.
    pub name: Option<String>,
    /// The host that it runs on.
    pub host: Option<String>,
}

/// The machines, by namespace and `Metal3Data`.
#[derive(Default)]
pub struct Machines(BTreeMap<(Word, Word), Machine>);

impl Machines {
    /// Reads them; there are none where Metal3's machines are not installed.
    pub async fn read(cluster: &Cluster, scope: &Scope) -> Result<Self, Error> {
        let mut machines = Self::default();
        if let Some(version) = cluster.versions(INFRASTRUCTURE).await?.first() {
            let all = Scope { namespace: scope.namespace.clone(), selector: None };
            cluster
                .each_of(INFRASTRUCTURE, version, "metal3machines", &all, |raw: Raw| machines.add(&raw))
                .await?;
        }
        Ok(machines)
    }

    /// Notes a `Metal3Machine`.
    pub fn add(&mut self, raw: &Raw) {
        let meta = &raw.metadata;
        let Some(data) = raw.status["renderedData"]["name"].as_str() else { return };
        let machine = meta.owner_references.iter().find(|owner| owner.kind == "Machine");
        let host = meta.annotations.get(HOST_ANNOTATION).and_then(|host| host.rsplit('/').next());
        let seen = Machine {
            infrastructure: meta.name.owned(),
            name: machine.map(|owner| owner.name.owned()),
            host: host.map(str::to_owned),
        };
        self.0.insert((meta.namespace, data.into()), seen);
    }

    /// The machine that a claim is for.
    pub fn of(&self, claim: &Claim) -> Option<Machine> {
        let owners = &claim.meta.owner_references;
        let known = |owner: &Owner| self.0.get(&(claim.meta.namespace, owner.name)).cloned();
        let direct = |owner: &Owner| match &*owner.kind {
            "Machine" => Some(Machine { name: Some(owner.name.owned()), ..Machine::default() }),
            "BareMetalHost" => Some(Machine { host: Some(owner.name.owned()), ..Machine::default() }),
            _ => None,
        };
        owners.iter().find_map(|owner| if owner.kind == "Metal3Data" { known(owner) } else { direct(owner) })
    }
}

impl Machine {
    /// Whether it goes by this name.
    pub fn is_called(&self, name: &str) -> bool {
        self.infrastructure == name
            || self.name.as_deref() == Some(name)
            || self.host.as_deref() == Some(name)
    }

    /// In one cell of a table.
    pub fn shown(&self) -> String {
        let machine = self.name.as_deref().unwrap_or(&self.infrastructure);
        match &self.host {
            Some(host) if machine.is_empty() => host.clone(),
            Some(host) => format!("{machine} on {host}"),
            None => machine.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ipam::api::Family;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_of_a_metal3_data_leads_to_machine_and_host() {
        let raw = |value| -> Raw { serde_json::from_value(value).unwrap() };
        let mut machines = Machines::default();
        machines.add(&raw(json!({
            "metadata": {"name": "m3m", "namespace": "ns", "annotations": {"metal3.io/BareMetalHost": "ns/host-7"},
                         "ownerReferences": [{"kind": "Machine", "name": "worker-1"}]},
            "status": {"renderedData": {"name": "data-0"}},
        })));
        let claim = raw(
            json!({"metadata": {"namespace": "ns", "ownerReferences": [{"kind": "Metal3Data", "name": "data-0"}]}}),
        );
        let claim = Claim::read(Family::Metal3, claim).unwrap();
        let machine = machines.of(&claim).unwrap();
        assert_eq!(machine.shown(), "worker-1 on host-7");
        assert!(machine.is_called("m3m") && machine.is_called("host-7") && !machine.is_called("data-0"));
    }
}
