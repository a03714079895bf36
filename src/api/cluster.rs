//! The little that is read of a Cluster API `Cluster`.

use serde::Deserialize;

/// The part of a Cluster's spec that concerns pools. The kind itself is Cluster API's.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Nothing of the Cluster is to be acted on.
    #[serde(default)]
    pub paused: bool,
}
