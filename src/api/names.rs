//! Names, finalizers, labels and annotations that consumers and predecessors use; none may change.

use std::net::IpAddr;

/// API group of the three kinds of this project.
pub const GROUP: &str = "ipam.metal3.io";
/// The one version of the three kinds.
pub const VERSION: &str = "v1alpha1";
/// API group of Cluster API's claims and addresses.
pub const CAPI_IPAM_GROUP: &str = "ipam.cluster.x-k8s.io";
/// API group of the Cluster API Cluster.
pub const CLUSTER_GROUP: &str = "cluster.x-k8s.io";

/// Held on an `IPPool` until no address of it is left.
pub const POOL_FINALIZER: &str = "ippool.ipam.metal3.io";
/// Held on an `IPClaim` until its address is gone.
pub const CLAIM_FINALIZER: &str = "ipclaim.ipam.metal3.io";
/// Held on an `IPAddress` until its release.
pub const ADDRESS_FINALIZER: &str = "ipaddress.ipam.metal3.io";
/// Held on a Cluster API `IPAddressClaim` until its address is gone.
pub const CAPI_CLAIM_FINALIZER: &str = "ipam.metal3.io/ipaddressclaim";
/// Held on a Cluster API `IPAddress` until its release.
pub const CAPI_ADDRESS_FINALIZER: &str = "ipam.metal3.io/ipaddress";

/// On a claim of either kind: the address it asks for.
pub const REQUESTED_IP_ANNOTATION: &str = "ipAddress";
/// On a pool, a claim or a Cluster: its presence pauses, whatever its value.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// On an address: the UID of its claim, which outlives the owner reference that the garbage collector may remove.
pub const CLAIM_UID_ANNOTATION: &str = "ipam.metal3.io/claim-uid";
/// On an address: others than the one that made it may publish it, so that one may not withdraw it any more.
pub const ADOPTED_ANNOTATION: &str = "ipam.metal3.io/adopted";
/// On pools and claims: names the controller instance that serves them.
pub const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";
/// On a pool with a cluster: that cluster's name.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// On a pool with a cluster, and on everything in the manifests: this provider.
pub const PROVIDER_LABEL: &str = "cluster.x-k8s.io/provider";
/// Value of [`PROVIDER_LABEL`].
pub const PROVIDER: &str = "ipam-metal3";
/// The leader's lease, by the name that the replaced controller uses where it is started with `--leader-elect`; as
/// shipped, that one takes none.
pub const LEASE: &str = "controller-leader-election-ipam-capm3";
/// The Service by which the API server reaches admission.
pub const WEBHOOK_SERVICE: &str = "ipam-webhook-service";
/// The Secret in which the replicas share the serving certificate that they make for admission.
pub const WEBHOOK_SECRET: &str = "ipam-webhook-certificate";
/// The webhook configurations: that of the defaults and that of the rules.
pub const MUTATING_WEBHOOKS: &str = "ipam-mutating-webhook-configuration";
/// See [`MUTATING_WEBHOOKS`].
pub const VALIDATING_WEBHOOKS: &str = "ipam-validating-webhook-configuration";
/// The namespace of the shipped manifests.
pub const SYSTEM_NAMESPACE: &str = "metal3-ipam-system";

/// Whether a text has the form of a name of most kinds of objects (a subdomain of RFC 1123), whatever its length.
///
/// ```
/// # use ipam::api::is_subdomain;
/// assert!(is_subdomain("rack.1-10-0-0-1") && !is_subdomain("Rack") && !is_subdomain("a-.b") && !is_subdomain(""));
/// ```
pub fn is_subdomain(text: &str) -> bool {
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_small)
            && label.ends_with(is_small)
            && label.chars().all(|c| is_small(c) || c == '-')
    };
    text.split('.').all(is_label)
}

/// Whether an object of the kinds here can have this name.
pub fn is_object_name(text: &str) -> bool {
    const LONGEST: usize = 253;
    text.len() <= LONGEST && is_subdomain(text)
}

/// The name of the address object for `ip` in a pool with this `spec.namePrefix`.
///
/// `.` and `:` of the address's canonical text become `-`, the prefix stands as it is, and a trailing `-` is trimmed, as
/// an object's name may not end so.
///
/// ```
/// # use ipam::api::address_name;
/// assert_eq!(address_name("p", "192.168.0.10".parse().unwrap()), "p-192-168-0-10");
/// assert_eq!(address_name("rack.1", "192.168.0.10".parse().unwrap()), "rack.1-192-168-0-10");
/// assert_eq!(address_name("p", "fd00::5".parse().unwrap()), "p-fd00--5");
/// assert_eq!(address_name("p", "fd00::".parse().unwrap()), "p-fd00");
/// ```
pub fn address_name(prefix: &str, ip: IpAddr) -> String {
    let name = format!("{prefix}-{}", ip.to_string().replace(['.', ':'], "-"));
    name.trim_end_matches('-').to_owned()
}

/// The address that [`address_name`] made `name` of, where there is one.
///
/// ```
/// # use ipam::api::{address_in_name, address_name};
/// for ip in ["192.168.0.10", "fd00::5", "fd00::", "::", "::1", "1:2:3:4:5:6:7:8"] {
///     let ip = ip.parse().unwrap();
///     assert_eq!(address_in_name("p", &address_name("p", ip)), Some(ip));
/// }
/// assert_eq!(address_in_name("p", "q-10-0-0-1"), None);
/// assert_eq!(address_in_name("p.1", "p.1-10-0-0-1"), Some("10.0.0.1".parse().unwrap()));
/// assert_eq!(address_in_name("p.1", "p-1-10-0-0-1"), None);
/// ```
pub fn address_in_name(prefix: &str, name: &str) -> Option<IpAddr> {
    let text = name.strip_prefix(prefix)?;
    let text = text.strip_prefix('-').unwrap_or(text);
    let v6 = text.replace('-', ":");
    [text.replace('-', "."), v6.clone(), format!("{v6}::"), format!("{v6}:")]
        .iter()
        .filter_map(|candidate| candidate.parse().ok())
        .find(|&ip| address_name(prefix, ip) == name)
}
