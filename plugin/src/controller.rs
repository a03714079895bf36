//! Whether a controller runs, from the lease by which controllers take turns.

use ipam::api::{LEASE, SYSTEM_NAMESPACE};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::{List, ListableResource};
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::commands::now;
use crate::error::{Asked, Error};
use crate::output::ago;

/// What can be told of the controller.
pub enum Controller {
    /// It leads, and renewed its lease this many seconds ago.
    Leads { holder: String, renewed: i64 },
    /// It has not renewed its lease for this long.
    Silent { holder: String, renewed: i64 },
    /// No controller ever led here, or the last one left.
    None,
    /// The lease cannot be read.
    Unseen(Error),
}

impl Controller {
    /// Looks at the lease, wherever the controller keeps it; in the namespace of the shipped manifests where others may
    /// not be looked into.
    pub async fn look(cluster: &Cluster) -> Self {
        match everywhere::<Lease>(cluster, "coordination.k8s.io", "leases", LEASE).await {
            Ok(leases) => Self::of_all(leases.iter().map(Self::of)),
            Err(error) => Self::Unseen(error),
        }
    }

    /// Shards have a lease in each of their namespaces: whoever leads counts, else whoever was the last to.
    fn of_all(all: impl Iterator<Item = Self>) -> Self {
        all.min_by_key(|one| match one {
            Self::Leads { renewed, .. } => (0, *renewed),
            Self::Silent { renewed, .. } => (1, *renewed),
            Self::None | Self::Unseen(_) => (2, 0),
        })
        .unwrap_or(Self::None)
    }

    fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else { return Self::None };
        let renewed = now().as_second() - renewed.0.as_second();
        let lasts = i64::from(spec.lease_duration_seconds.unwrap_or(15));
        if renewed > lasts { Self::Silent { holder, renewed } } else { Self::Leads { holder, renewed } }
    }

    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Leads { .. } => "Leads",
            Self::Silent { .. } => "Silent",
            Self::None => "None",
            Self::Unseen(_) => "Unseen",
        }
    }

    /// Who leads, or was the last to.
    pub fn leader(&self) -> Option<&str> {
        match self {
            Self::Leads { holder, .. } | Self::Silent { holder, .. } => Some(holder),
            Self::None | Self::Unseen(_) => None,
        }
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Leads { holder, renewed } => {
                format!("a controller runs (leader {holder}, seen {} ago)", ago(*renewed))
            }
            Self::Silent { holder, renewed } => {
                format!("no controller runs (the last leader, {holder}, was seen {} ago)", ago(*renewed))
            }
            Self::None => format!("no controller leads (nobody holds the lease {LEASE})"),
            Self::Unseen(error) => format!("whether a controller runs cannot be seen ({})", error.line()),
        }
    }
}

const DEPLOYMENT: &str = "ipam-controller-manager";

/// The shipped Deployment, wherever it is, if it can be read: that with the label of the manifests, which one of a shard that was
/// made by hand lacks.
pub async fn deployment(cluster: &Cluster) -> Option<Deployment> {
    let found = everywhere::<Deployment>(cluster, "apps", "deployments", DEPLOYMENT).await.ok()?;
    let is_shipped = |found: &Deployment| {
        found.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("cluster.x-k8s.io/provider"))
    };
    found.into_iter().find(is_shipped)
}

/// The objects of this name in any namespace; in that of the shipped manifests where others may not be looked into.
async fn everywhere<T>(cluster: &Cluster, group: &str, plural: &str, name: &str) -> Result<Vec<T>, Error>
where
    T: ListableResource + DeserializeOwned,
{
    let asked = |verb, namespace: Option<&str>| Asked {
        verb,
        resource: format!("{plural}.{group}"),
        namespace: namespace.map(str::to_owned),
    };
    let all = format!("/apis/{group}/v1/{plural}?fieldSelector=metadata.name%3D{name}");
    if let Ok(Some(found)) = cluster.get::<List<T>>(&all, &asked("list", None)).await {
        return Ok(found.items);
    }
    let path = format!("/apis/{group}/v1/namespaces/{SYSTEM_NAMESPACE}/{plural}/{name}");
    Ok(Vec::from_iter(cluster.get(&path, &asked("get", Some(SYSTEM_NAMESPACE))).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_leases_the_one_counts_that_is_held() {
        let leads = || Controller::Leads { holder: "a".into(), renewed: 3 };
        let silent = |renewed| Controller::Silent { holder: "b".into(), renewed };
        assert_eq!(Controller::of_all([silent(99), Controller::None, leads()].into_iter()).word(), "Leads");
        let last = Controller::of_all([silent(99), Controller::None, silent(50)].into_iter());
        assert!(matches!(last, Controller::Silent { renewed: 50, .. }));
        assert_eq!(Controller::of_all(std::iter::empty()).word(), "None");
    }
}
