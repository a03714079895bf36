//! The releases that the test bed runs, read from the committed `modules/`.

use std::sync::LazyLock;

/// The Go module files that programs are built from, as committed.
pub(crate) struct Modules {
    /// What is built, of which versions.
    pub go_mod: &'static str,
    /// The checksums that go with it.
    pub go_sum: &'static str,
}

/// Those of the control plane.
pub(crate) const CONTROL_PLANE: Modules =
    Modules { go_mod: include_str!("../modules/go.mod"), go_sum: include_str!("../modules/go.sum") };
/// Those of Cluster API's command line.
pub(crate) const CLUSTERCTL: Modules = Modules {
    go_mod: include_str!("../modules/clusterctl/go.mod"),
    go_sum: include_str!("../modules/clusterctl/go.sum"),
};

/// The releases that are run unless other binaries are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Kubernetes, as `v1.2.3`.
    pub kubernetes: String,
    /// etcd, as `v1.2.3`.
    pub etcd: String,
    /// Cluster API's command line, as `v1.2.3`.
    pub clusterctl: String,
    /// The oldest Go that builds them, as `1.2.3`.
    pub go: String,
}

/// The pinned releases.
pub fn pins() -> &'static Pins {
    static PINS: LazyLock<Pins> = LazyLock::new(|| Pins {
        kubernetes: CONTROL_PLANE.word_after("k8s.io/kubernetes"),
        etcd: CONTROL_PLANE.word_after("go.etcd.io/etcd/server/v3"),
        clusterctl: CLUSTERCTL.word_after("sigs.k8s.io/cluster-api"),
        go: CONTROL_PLANE.word_after("go"),
    });
    &PINS
}

/// The two leading numbers of the first version that `text` names: `(1, 36)` for `Kubernetes v1.36.3`.
pub(crate) fn major_minor(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches("go").trim_start_matches('v').split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

impl Modules {
    /// Names exactly what is built from these with these flags: other modules, checksums or flags have another name.
    pub fn fingerprint(&self, flags: &str) -> String {
        // FNV-1a: stable over releases of Rust, which the standard hasher does not promise.
        let bytes = [self.go_mod, self.go_sum, flags].concat();
        let hash = bytes.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    fn word_after(&self, first: &str) -> String {
        let mut lines = self.go_mod.lines().map(str::split_whitespace);
        lines
            .find_map(|mut words| words.next().filter(|word| *word == first).and_then(|_| words.next()))
            // `tool` and `replace` lines name the modules too, but not with a version in second place.
            .expect("the module files pin etcd, Kubernetes, Cluster API and Go")
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_are_versions() {
        let Pins { kubernetes, etcd, clusterctl, go } = pins();
        for version in [kubernetes, etcd, clusterctl, go] {
            assert!(major_minor(version).is_some(), "{version}");
        }
    }

    #[test]
    fn a_version_is_found_in_what_each_tool_prints() {
        assert_eq!(major_minor("Kubernetes v1.36.3"), Some((1, 36)));
        assert_eq!(major_minor("etcd Version: 3.6.8\nGit SHA: Not provided"), Some((3, 6)));
        assert_eq!(
            major_minor("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0"),
            Some((1, 32))
        );
        assert_eq!(major_minor("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(major_minor("no version at all"), None);
    }

    #[test]
    fn other_flags_are_another_set_of_binaries() {
        assert_ne!(CONTROL_PLANE.fingerprint("-s"), CONTROL_PLANE.fingerprint("-w"));
    }
}
