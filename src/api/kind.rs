//! The kinds that take part in an allocation, as values.

use std::borrow::Cow;

use kube::core::ApiResource;

use super::names;

/// The two families of claims and addresses. They differ in names and in form, never in what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `IPClaim` and `IPAddress` of `ipam.metal3.io`.
    Metal3,
    /// `IPAddressClaim` and `IPAddress` of Cluster API's `ipam.cluster.x-k8s.io`.
    Capi,
}

/// A kind that the controller watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `IPPool`.
    Pool,
    /// A claim of one family.
    Claim(Family),
    /// An address of one family.
    Address(Family),
    /// The `Cluster` of Cluster API.
    Cluster,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Metal3, Self::Capi];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Metal3 => Self::Capi,
            Self::Capi => Self::Metal3,
        }
    }
}

impl Kind {
    /// The name that the kind has in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "IPPool",
            Self::Claim(Family::Metal3) => "IPClaim",
            Self::Claim(Family::Capi) => "IPAddressClaim",
            Self::Address(_) => "IPAddress",
            Self::Cluster => "Cluster",
        }
    }

    /// The API group of the kind.
    pub fn group(self) -> &'static str {
        match self {
            Self::Pool | Self::Claim(Family::Metal3) | Self::Address(Family::Metal3) => names::GROUP,
            Self::Claim(Family::Capi) | Self::Address(Family::Capi) => names::CAPI_IPAM_GROUP,
            Self::Cluster => names::CLUSTER_GROUP,
        }
    }

    /// The finalizer by which this project holds objects of the kind; a Cluster is never held.
    pub fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Pool => Some(names::POOL_FINALIZER),
            Self::Claim(Family::Metal3) => Some(names::CLAIM_FINALIZER),
            Self::Claim(Family::Capi) => Some(names::CAPI_CLAIM_FINALIZER),
            Self::Address(Family::Metal3) => Some(names::ADDRESS_FINALIZER),
            Self::Address(Family::Capi) => Some(names::CAPI_ADDRESS_FINALIZER),
            Self::Cluster => None,
        }
    }

    /// Where the API server serves the kind, in the version that this project prefers.
    pub fn resource(self) -> Resource {
        self.resource_in(CapiVersion::default())
    }

    /// Where the API server serves the kind; `capi` is the version of Cluster API's kinds, and of no other.
    pub fn resource_in(self, capi: CapiVersion) -> Resource {
        let (version, plural) = match self {
            Self::Pool => (names::VERSION, "ippools"),
            Self::Claim(Family::Metal3) => (names::VERSION, "ipclaims"),
            Self::Address(Family::Metal3) => (names::VERSION, "ipaddresses"),
            Self::Claim(Family::Capi) => (capi.name(), "ipaddressclaims"),
            Self::Address(Family::Capi) => (capi.name(), "ipaddresses"),
            Self::Cluster => (capi.name(), "clusters"),
        };
        Resource { group: self.group(), version: Cow::Borrowed(version), kind: self.name(), plural }
    }

    /// The API server may do without the kind.
    pub fn is_optional(self) -> bool {
        self.group() != names::GROUP
    }

    /// The versions of Cluster API in which the API server may serve the kind, the preferred one first; one that is not
    /// Cluster API's is asked for once, in its own.
    pub fn versions(self) -> &'static [CapiVersion] {
        match self {
            Self::Claim(Family::Capi) | Self::Address(Family::Capi) | Self::Cluster => {
                &[CapiVersion::V1Beta2, CapiVersion::V1Beta1]
            }
            Self::Pool | Self::Claim(Family::Metal3) | Self::Address(Family::Metal3) => {
                &[CapiVersion::V1Beta2]
            }
        }
    }
}

/// A version of Cluster API's kinds. They differ in the form of conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapiVersion {
    /// `v1beta2`; conditions as everywhere in Kubernetes.
    #[default]
    V1Beta2,
    /// `v1beta1`; conditions of Cluster API's own, with a severity.
    V1Beta1,
}

impl CapiVersion {
    /// The name in URLs and in `apiVersion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1Beta2 => "v1beta2",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// Where the API server serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the kinds of the core group.
    pub group: &'static str,
    /// Version that is asked for.
    pub version: Cow<'static, str>,
    /// The kind's name.
    pub kind: &'static str,
    /// The name in URLs.
    pub plural: &'static str,
}

impl Resource {
    /// What stands in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.to_string();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// The same for kube's `Api` of objects whose type does not say their kind.
    pub fn described(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_string(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
