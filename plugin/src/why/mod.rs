//! Why a claim has no address: one true reason, worked out from the objects by the rules that the controller goes by,
//! with no controller needed.

mod reasons;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;

pub use reasons::Reasons;

use crate::world::Claim;

/// What stands between a claim and its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason")]
pub enum Why {
    /// Nothing: it has one.
    Bound {
        address: String,
    },
    /// Its deletion waits for other controllers.
    HeldByOthers {
        finalizers: Vec<String>,
    },
    /// Its deletion waits for the controller of this project.
    Releasing,
    PoolElsewhere {
        namespace: String,
        pool: String,
    },
    NoPool {
        pool: String,
        similar: Option<String>,
    },
    PoolDeleting {
        pool: String,
    },
    WaitsForCluster {
        pool: String,
        cluster: String,
    },
    ClaimPaused,
    PoolPaused {
        pool: String,
    },
    ClusterPaused {
        cluster: String,
        /// What ends it.
        #[serde(skip)]
        resume: String,
    },
    PoolInvalid {
        pool: String,
        what: String,
    },
    NotAnAddress {
        requested: String,
    },
    Conflicting {
        reserved: IpAddr,
        requested: IpAddr,
    },
    OutOfBounds {
        address: IpAddr,
        pool: String,
    },
    Excluded {
        address: IpAddr,
        pool: String,
    },
    Held {
        address: IpAddr,
        by: String,
    },
    ReservedForOther {
        address: IpAddr,
        claim: String,
        pool: String,
    },
    Exhausted {
        pool: String,
        place: usize,
        waiting: usize,
        reserved: usize,
    },
    /// There is room, but other pools' address objects have the names that are needed.
    NamesTaken {
        pool: String,
    },
    /// Nothing stands in its way: it is a controller's turn.
    Servable {
        place: usize,
        waiting: usize,
    },
}

impl Why {
    /// Whether the claim is served, or on its way out as it should.
    pub fn is_bound(&self) -> bool {
        matches!(self, Self::Bound { .. })
    }

    /// The reason as one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Bound { address } => format!("it has its address, in the object {address}"),
            Self::HeldByOthers { finalizers } => {
                format!(
                    "it is being deleted and waits for the finalizer {} of another controller",
                    finalizers.join(", ")
                )
            }
            Self::Releasing => {
                "it is being deleted, and the controller has not released its address yet".into()
            }
            Self::PoolElsewhere { namespace, pool } => {
                format!(
                    "its pool {pool} is in namespace {namespace}, and a claim may only use a pool of its own namespace"
                )
            }
            Self::NoPool { pool, .. } => format!("there is no pool {pool} in its namespace"),
            Self::PoolDeleting { pool } => {
                format!("the pool {pool} is being deleted and gives nothing any more")
            }
            Self::WaitsForCluster { pool, cluster } => {
                format!("the pool {pool} belongs to Cluster {cluster}, which does not exist yet")
            }
            Self::ClaimPaused => "the claim itself is paused".into(),
            Self::PoolPaused { pool } => format!("the pool {pool} is paused by its annotation"),
            Self::ClusterPaused { cluster, .. } => format!("the Cluster {cluster} of its pool is paused"),
            Self::PoolInvalid { pool, what } => format!("the pool {pool} is not valid: {what}"),
            Self::NotAnAddress { requested } => format!("it asks for `{requested}`, which is no IP address"),
            Self::Conflicting { reserved, requested } => {
                format!("it asks for {requested}, but the pool reserves {reserved} for its name")
            }
            Self::OutOfBounds { address, pool } => format!("{address} is in no entry of the pool {pool}"),
            Self::Excluded { address, pool } => format!("the pool {pool} excludes {address}"),
            Self::Held { address, by } if by.is_empty() => {
                format!("{address} is held by an IPAddress made by hand")
            }
            Self::Held { address, by } => format!("{address} is held by the claim {by}"),
            Self::ReservedForOther { address, claim, .. } => {
                format!("{address} is reserved for the claim {claim}")
            }
            Self::Exhausted { pool, place, waiting, reserved } => {
                let kept = if *reserved > 0 {
                    format!(" ({reserved} more are reserved for names)")
                } else {
                    String::new()
                };
                format!(
                    "the pool {pool} has no free address{kept}; it is number {place} of {waiting} that wait"
                )
            }
            Self::NamesTaken { pool } => {
                format!(
                    "pool {pool} cannot make its IPAddress objects: another pool with the same namePrefix uses those names"
                )
            }
            Self::Servable { place, waiting } => {
                format!(
                    "nothing stands in its way (number {place} of {waiting} that wait): it is the controller's turn"
                )
            }
        }
    }

    /// The command that helps next.
    pub fn command(&self, claim: &Claim) -> String {
        let (name, namespace) = (&claim.meta.name, &claim.meta.namespace);
        let kind = claim.kind().resource();
        let object = format!("{}.{}/{name}", kind.plural, kind.group);
        match self {
            Self::Bound { address } => format!("kubectl ipam whois {address} -n {namespace}"),
            Self::HeldByOthers { .. } => format!("kubectl get {object} -n {namespace} -o yaml"),
            Self::Releasing | Self::Servable { .. } => "kubectl ipam version".into(),
            Self::PoolElsewhere { namespace, pool } => {
                format!("kubectl ipam claim {name} --pool {pool} -n {namespace}")
            }
            Self::NoPool { pool, similar: None } => {
                format!("kubectl ipam create-pool {pool} -n {namespace}")
            }
            Self::NoPool { .. } | Self::PoolDeleting { .. } => format!("kubectl ipam status -n {namespace}"),
            Self::WaitsForCluster { cluster, .. } => {
                format!("kubectl get clusters.cluster.x-k8s.io {cluster} -n {namespace}")
            }
            Self::ClaimPaused => {
                let kind = claim.kind().name().to_lowercase();
                format!("kubectl ipam resume {kind}/{name} -n {namespace}")
            }
            Self::PoolPaused { pool } => format!("kubectl ipam resume {pool} -n {namespace}"),
            Self::ClusterPaused { resume, .. } => resume.clone(),
            Self::NotAnAddress { .. } | Self::Conflicting { .. } => {
                format!("kubectl annotate {object} -n {namespace} ipAddress-")
            }
            Self::OutOfBounds { pool, .. } | Self::Excluded { pool, .. } | Self::PoolInvalid { pool, .. } => {
                format!("kubectl edit ippools {pool} -n {namespace}")
            }
            Self::Held { address, .. } => format!("kubectl ipam whois {address} -n {namespace}"),
            Self::NamesTaken { .. } => format!("kubectl ipam check -n {namespace}"),
            Self::ReservedForOther { claim, pool, .. } => {
                format!("kubectl ipam preallocate {pool} {claim}- -n {namespace}")
            }
            Self::Exhausted { pool, .. } => format!("kubectl ipam addresses --pool {pool} -n {namespace}"),
        }
    }

    /// What that command is good for.
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::Bound { .. } | Self::Held { .. } => "shows whose it is",
            Self::HeldByOthers { .. } => "shows its finalizers",
            Self::Releasing | Self::Servable { .. } => "shows whether a controller runs",
            Self::PoolElsewhere { .. } => "makes the claim where the pool is",
            Self::NoPool { similar: None, .. } => "makes the pool",
            Self::NoPool { .. } | Self::PoolDeleting { .. } => "lists the pools",
            Self::WaitsForCluster { .. } => "shows whether it is there",
            Self::ClaimPaused | Self::PoolPaused { .. } | Self::ClusterPaused { .. } => "ends the pause",
            Self::NotAnAddress { .. } | Self::Conflicting { .. } => "takes the request back",
            Self::OutOfBounds { .. } | Self::Excluded { .. } | Self::PoolInvalid { .. } => "changes the pool",
            Self::NamesTaken { .. } => "names the two pools; one of them has to be made anew",
            Self::ReservedForOther { .. } => "removes the reservation",
            Self::Exhausted { .. } => {
                "shows who holds the addresses; a further range in the pool serves it at once"
            }
        }
    }
}
