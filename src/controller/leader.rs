//! Who leads already.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::LEASE;

/// A controller that holds the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Namespace of the lease, and of the controller.
    pub namespace: String,
    /// Its identity, usually the pod's name and a random part.
    pub identity: String,
}

/// The controller that leads now, if one does: this project's or the one it replaces, as both use one lease.
///
/// A lease that was not renewed within its duration, or that was released, is nobody's.
///
/// # Errors
///
/// Whatever the API server answers, a refusal to list leases among it.
pub async fn current_leader(client: Client, now: jiff::Timestamp) -> kube::Result<Option<Leader>> {
    let leases: Api<Lease> = Api::all(client);
    let named = ListParams::default().fields(&format!("metadata.name={LEASE}"));
    let leases = leases.list(&named).await?;
    Ok(leases.items.into_iter().find_map(|lease| leader(&lease, now)))
}

fn leader(lease: &Lease, now: jiff::Timestamp) -> Option<Leader> {
    let spec = lease.spec.as_ref()?;
    let identity = spec.holder_identity.clone().filter(|identity| !identity.is_empty())?;
    let renewed = spec.renew_time.as_ref()?.0;
    let valid = i64::from(spec.lease_duration_seconds.unwrap_or(15));
    let age = now.as_second() - renewed.as_second();
    (age <= valid).then(|| Leader { namespace: lease.namespace().unwrap_or_default(), identity })
}
