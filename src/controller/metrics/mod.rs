//! What is counted, under the names of controller-runtime where they say the truth here, and of our own.

mod access;
mod certificate;
#[cfg(test)]
mod documented;
mod labels;
mod own;
mod page;
mod pools;
mod reviews;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(super) use access::Access;
pub(super) use certificate::self_signed;
use labels::{Acts, Kinds, Name, Reconciled, Requested, Watched, Written, act, outcome_name, result};
pub(super) use page::{Asked, Questions, router};
use reviews::Reviews;

use super::KINDS;
use super::clock::wall;
use crate::api::{Kind, LEASE};
use crate::apply::Observer;
use crate::ledger::{Act, Figures, Outcome, Write};

/// The controller's name in metrics.
const NAME: &str = "ipam";
/// What a certificate is for.
const ADMISSION: &str = "admission";

/// Seconds that a write may take: its timeout is the last.
const WRITE_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Seconds from a claim to its address. When a claim was made is known to the second only.
const BIND_SECONDS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Seconds by what a write is for.
type Durations = Family<Acts, Histogram, fn() -> Histogram>;

/// The counters and gauges of one process.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    start: i64,
    reconciled: Family<Reconciled, Counter>,
    errors: Family<Kinds, Counter>,
    written: Family<Written, Counter>,
    durations: Durations,
    requested: Family<Requested, Counter>,
    in_flight: Gauge,
    leads: Family<Name, Gauge>,
    synced: Gauge,
    watch_failures: Family<Watched, Counter>,
    bound: Histogram,
    leaks_released: Counter,
    expiry: Family<Name, Gauge>,
    reviews: Reviews,
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            start: wall().as_second(),
            reconciled: Family::default(),
            errors: Family::default(),
            written: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(WRITE_SECONDS)),
            requested: Family::default(),
            in_flight: Gauge::default(),
            leads: Family::default(),
            synced: Gauge::default(),
            watch_failures: Family::default(),
            bound: Histogram::new(BIND_SECONDS),
            leaks_released: Counter::default(),
            expiry: Family::default(),
            reviews: Reviews::new(),
        };
        for kind in KINDS {
            // A rate needs a zero to rise from.
            drop(metrics.watch_failures.get_or_create(&Watched::of(kind)));
        }
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut all = Registry::default();
        self.register_common(&mut all);
        self.reviews.register(&mut all);
        let help = "Writes, by act and outcome";
        all.register("ipam_writes", help, self.written.clone());
        let help = "Writes that are under way";
        all.register("ipam_writes_in_flight", help, self.in_flight.clone());
        let help = "Time from a write's start to its outcome";
        all.register_with_unit("ipam_write_duration", help, Unit::Seconds, self.durations.clone());
        let help = "Time from a claim's creation to its first published address";
        all.register_with_unit("ipam_claim_bind_duration", help, Unit::Seconds, self.bound.clone());
        let help = "1 once all kinds are listed, anew for each term";
        all.register("ipam_synced", help, self.synced.clone());
        let help = "Lists and watches that failed and were started again";
        all.register("ipam_watch_failures", help, self.watch_failures.clone());
        let help = "Address objects that had lost their claim and were released";
        all.register("ipam_leaked_addresses_released", help, self.leaks_released.clone());
        let help = "When the certificate runs out that is served";
        let unit = Unit::Other("timestamp_seconds".into());
        all.register_with_unit("ipam_certificate_expiry", help, unit, self.expiry.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        all.register("ipam_build", "What runs", build);
        all
    }

    /// What controllers of every make have.
    fn register_common(&self, all: &mut Registry) {
        let help = "Steps taken for objects, by what became of them";
        all.register("controller_runtime_reconcile", help, self.reconciled.clone());
        let help = "Steps taken for objects that did not succeed";
        all.register("controller_runtime_reconcile_errors", help, self.errors.clone());
        let help = "Requests to the API server";
        all.register("rest_client_requests", help, self.requested.clone());
        let help = "1 while this process leads, else 0";
        all.register("leader_election_master_status", help, self.leads.clone());
    }

    /// A write has its outcome.
    pub fn landed(&self, write: &Write, outcome: &Outcome) {
        let (act, outcome_name) = (act(&write.act), outcome_name(outcome));
        self.written.get_or_create(&Written { act, outcome: outcome_name }).inc();
        let (controller, result) = (write.subject.kind.name(), result(outcome));
        self.reconciled.get_or_create(&Reconciled { controller, result }).inc();
        if result == labels::ERROR {
            self.errors.get_or_create(&Kinds { controller }).inc();
        }
        let sweeps = matches!((&write.act, write.subject.kind), (Act::Delete { .. }, Kind::Address(_)));
        if sweeps && let Outcome::Seen(_) | Outcome::Gone = outcome {
            self.leaks_released.inc();
        }
    }

    /// A write, or a read in its place, took so long.
    pub fn took(&self, act: &Act, time: Duration) {
        self.durations.get_or_create(&Acts { act: labels::act(act) }).observe(time.as_secs_f64());
    }

    /// A claim has its first address, so many seconds after it was made.
    pub fn bound_after(&self, seconds: i64) {
        let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        self.bound.observe(seconds.into());
    }

    /// A list or a watch of the kind has failed.
    pub fn watch_failed(&self, kind: Kind) {
        self.watch_failures.get_or_create(&Watched::of(kind)).inc();
    }

    /// The certificate of admission holds until then, in seconds since the epoch.
    pub fn certificate_until(&self, until: i64) {
        self.expiry.get_or_create(&Name { name: ADMISSION }).set(until);
    }

    /// So many writes are under way.
    pub fn in_flight(&self, writes: usize) {
        self.in_flight.set(i64::try_from(writes).unwrap_or(i64::MAX));
    }

    /// This process leads, or not, and has listed all kinds, or not.
    pub fn stands(&self, leads: bool, synced: bool) {
        self.leads.get_or_create(&Name { name: LEASE }).set(leads.into());
        self.synced.set(synced.into());
    }

    /// Counts requests to the API server.
    pub fn observer(&self) -> Observer {
        let requested = self.requested.clone();
        Arc::new(move |method: &Method, uri: &Uri, code: Option<StatusCode>| {
            let code = code.map_or("<error>".into(), |code| code.as_str().to_owned());
            let host = uri.authority().map(ToString::to_string).unwrap_or_default();
            requested.get_or_create(&Requested { code, method: method.to_string(), host }).inc();
        })
    }

    /// Counts reviews of admission.
    pub fn reviews(&self) -> Reviews {
        self.reviews.clone()
    }

    /// Everything as text, with the figures of the pools, where they are known.
    fn text(&self, figures: Option<&Figures>, now: i64) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &own::registry(self.start))?;
        if let Some(figures) = figures {
            encode_registry(&mut text, &pools::registry(figures, now))?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Family, Kind};
    use crate::ledger::{Fate, Id, PoolFigures, Uid};

    fn lines(metrics: &Metrics, figures: Option<&Figures>) -> Vec<String> {
        let text = metrics.text(figures, 1000).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_write_counts_by_act_and_outcome_and_as_a_step_for_its_object() {
        let metrics = Metrics::new();
        let subject = Id::new(Kind::Claim(Family::Metal3), "ns", "c");
        let write = Write { number: 1, subject, uid: Uid::new("u"), act: Act::Protect { append: true } };
        metrics.landed(&write, &Outcome::Gone);
        metrics.landed(&write, &Outcome::Refused("no".into()));
        let lines = lines(&metrics, None);
        for line in [
            r#"ipam_writes_total{act="protect",outcome="gone"} 1"#,
            r#"ipam_writes_total{act="protect",outcome="refused"} 1"#,
            r#"controller_runtime_reconcile_total{controller="IPClaim",result="success"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="IPClaim"} 1"#,
        ] {
            assert!(lines.iter().any(|have| have == line), "{line} is not among {lines:#?}");
        }
    }

    #[test]
    fn a_pool_is_shown_with_its_namespace_and_the_age_of_who_waits_longest() {
        let id = Id::new(Kind::Pool, "ns", "p");
        let (allocated, leaked, doubled) = (90, 2, 1);
        let pool = PoolFigures {
            id,
            capacity: 100,
            free: 7,
            allocated,
            leaked,
            doubled,
            waiting: 2,
            oldest: Some(940),
        };
        let claims = [((Family::Capi, Fate::HeldUp), 5)].into_iter().collect();
        let lines = lines(&Metrics::new(), Some(&Figures { pools: vec![pool], claims, to_do: 3, added: 9 }));
        for line in [
            r#"ipam_pool_capacity_addresses{namespace="ns",pool="p"} 100.0"#,
            r#"ipam_pool_free_addresses{namespace="ns",pool="p"} 7.0"#,
            r#"ipam_pool_waiting_claims{namespace="ns",pool="p"} 2.0"#,
            r#"ipam_pool_oldest_waiting_seconds{namespace="ns",pool="p"} 60.0"#,
            r#"ipam_pool_allocated_addresses{namespace="ns",pool="p"} 90.0"#,
            r#"ipam_pool_leaked_addresses{namespace="ns",pool="p"} 2.0"#,
            r#"ipam_pool_doubled_addresses{namespace="ns",pool="p"} 1.0"#,
            r#"ipam_claims{group="ipam.cluster.x-k8s.io",kind="IPAddressClaim",state="held_up"} 5"#,
            r#"workqueue_depth{name="ipam"} 3"#,
            r#"workqueue_adds_total{name="ipam"} 9"#,
        ] {
            assert!(lines.iter().any(|have| have == line), "{line} is not among {lines:#?}");
        }
    }

    #[test]
    fn a_request_counts_by_code_method_and_host() {
        let metrics = Metrics::new();
        let observe = metrics.observer();
        let uri: Uri = "https://10.0.0.1:6443/api".parse().unwrap();
        observe(&Method::GET, &uri, Some(StatusCode::OK));
        observe(&Method::GET, &uri, None);
        let lines = lines(&metrics, None);
        let line = r#"rest_client_requests_total{code="200",method="GET",host="10.0.0.1:6443"} 1"#;
        assert!(lines.iter().any(|have| have == line), "{lines:#?}");
        assert!(lines.iter().any(|have| have.contains("<error>")), "{lines:#?}");
    }

    #[test]
    fn the_release_of_an_address_counts_as_that_of_a_leak_where_no_claim_asked_for_it() {
        let metrics = Metrics::new();
        let address = Id::new(Kind::Address(Family::Metal3), "ns", "a");
        let claim = Id::new(Kind::Claim(Family::Metal3), "ns", "c");
        for subject in [claim, address.clone()] {
            let act = Act::Delete { address: address.clone(), uid: Uid::new("u"), version: 1 };
            metrics.landed(&Write { number: 1, subject, uid: Uid::new("u"), act }, &Outcome::Gone);
        }
        let line = "ipam_leaked_addresses_released_total 1";
        let lines = lines(&metrics, None);
        assert!(lines.iter().any(|have| have == line), "{lines:#?}");
    }

    #[test]
    fn a_kind_whose_watch_never_failed_has_a_zero_to_rise_from() {
        let metrics = Metrics::new();
        metrics.watch_failed(Kind::Address(Family::Capi));
        let lines = lines(&metrics, None);
        for line in [
            r#"ipam_watch_failures_total{group="ipam.cluster.x-k8s.io",kind="IPAddress"} 1"#,
            r#"ipam_watch_failures_total{group="ipam.metal3.io",kind="IPAddress"} 0"#,
        ] {
            assert!(lines.iter().any(|have| have == line), "{line} is not among {lines:#?}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_known_has_no_end() {
        let metrics = Metrics::new();
        let name = "ipam_certificate_expiry_timestamp_seconds";
        assert!(!lines(&metrics, None).iter().any(|line| line.starts_with(name)));
        metrics.certificate_until(7);
        assert!(lines(&metrics, None).contains(&format!("{name}{{name=\"admission\"}} 7")));
    }
}
