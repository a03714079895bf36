//! Pools of another provider: shown beside ours where their status says enough, and never written.

use super::{Raw, Scope, Usage};
use crate::cluster::Cluster;

const GROUP: &str = "ipam.cluster.x-k8s.io";
/// Kinds of the in-cluster provider, with the version and the plural that they are served by.
const KINDS: [(&str, &str, &str); 2] = [
    ("InClusterIPPool", "v1alpha2", "inclusterippools"),
    ("GlobalInClusterIPPool", "v1alpha2", "globalinclusterippools"),
];

/// The use of all such pools. What is not installed or may not be listed is left out.
pub async fn foreign_pools(cluster: &Cluster) -> Vec<Usage> {
    let mut found = Vec::new();
    for (kind, version, plural) in KINDS {
        let add = |raw: Raw| found.extend(usage(kind, &raw));
        let listed = cluster.each_of(GROUP, version, plural, &Scope::default(), add).await;
        drop(listed);
    }
    found
}

/// What its own status counts; none where that says nothing.
fn usage(kind: &str, raw: &Raw) -> Option<Usage> {
    let counts = &raw.status["ipAddresses"];
    let (total, used) = (counts["total"].as_u64()?, counts["used"].as_u64()?);
    let free = counts["free"].as_u64().unwrap_or(total.saturating_sub(used));
    Some(Usage {
        namespace: raw.metadata.namespace.owned(),
        pool: format!("{}/{}", kind.to_lowercase(), raw.metadata.name),
        cluster: None,
        capacity: total.to_string(),
        used: usize::try_from(used).unwrap_or(usize::MAX),
        reserved: 0,
        waiting: 0,
        free: free.to_string(),
        used_percent: u8::try_from((used * 100).checked_div(total).unwrap_or(0)).unwrap_or(100),
        state: "Foreign".into(),
        message: format!("a {kind} of another provider; its own status counts"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pool_of_another_provider_is_shown_by_its_own_counts() {
        let raw = |status| -> Raw {
            serde_json::from_value(json!({"metadata": {"name": "q"}, "status": status})).unwrap()
        };
        let usage =
            usage("InClusterIPPool", &raw(json!({"ipAddresses": {"total": 10, "used": 4, "free": 6}})))
                .unwrap();
        assert_eq!(
            (usage.pool.as_str(), usage.capacity.as_str(), usage.used, usage.used_percent),
            ("inclusterippool/q", "10", 4, 40)
        );
        assert_eq!(super::usage("InClusterIPPool", &raw(json!({}))), None);
    }
}
