//! What is counted, under the names of controller-runtime where they say the truth here, and of our own.

mod access;
mod certificate;
mod labels;
mod page;
mod pools;

use std::sync::Arc;

use http::{Method, StatusCode, Uri};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub(super) use access::Access;
pub(super) use certificate::self_signed;
use labels::{Kinds, Name, Reconciled, Requested, Written, act, outcome_name, result};
pub(super) use page::{Asked, Questions, router};

use crate::api::LEASE;
use crate::apply::Observer;
use crate::ledger::{Figures, Outcome, Write};

/// The controller's name in metrics.
const NAME: &str = "ipam";

/// The counters and gauges of one process.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    reconciled: Family<Reconciled, Counter>,
    errors: Family<Kinds, Counter>,
    written: Family<Written, Counter>,
    requested: Family<Requested, Counter>,
    in_flight: Gauge,
    leads: Family<Name, Gauge>,
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            reconciled: Family::default(),
            errors: Family::default(),
            written: Family::default(),
            requested: Family::default(),
            in_flight: Gauge::default(),
            leads: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut all = Registry::default();
        let help = "Steps taken for objects, by what became of them";
        all.register("controller_runtime_reconcile", help, self.reconciled.clone());
        let help = "Steps taken for objects that did not succeed";
        all.register("controller_runtime_reconcile_errors", help, self.errors.clone());
        let help = "Requests to the API server";
        all.register("rest_client_requests", help, self.requested.clone());
        let help = "1 while this process leads, else 0";
        all.register("leader_election_master_status", help, self.leads.clone());
        let help = "Writes, by act and outcome";
        all.register("ipam_writes", help, self.written.clone());
        let help = "Writes that are under way";
        all.register("ipam_writes_in_flight", help, self.in_flight.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        all.register("ipam_build", "What runs", build);
        all
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
    }

    /// So many writes are under way.
    pub fn in_flight(&self, writes: usize) {
        self.in_flight.set(i64::try_from(writes).unwrap_or(i64::MAX));
    }

    /// This process leads, or not.
    pub fn leads(&self, leads: bool) {
        self.leads.get_or_create(&Name { name: LEASE }).set(leads.into());
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

    /// Everything as text, with the figures of the pools, where they are known.
    fn text(&self, figures: Option<&Figures>, now: i64) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
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
    use crate::ledger::{Act, Id, PoolFigures, Uid};

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
        let pool = PoolFigures { id, capacity: 100, free: 7, waiting: 2, oldest: Some(940) };
        let lines = lines(&Metrics::new(), Some(&Figures { pools: vec![pool], to_do: 3 }));
        for line in [
            r#"ipam_pool_capacity_addresses{namespace="ns",pool="p"} 100.0"#,
            r#"ipam_pool_free_addresses{namespace="ns",pool="p"} 7.0"#,
            r#"ipam_pool_waiting_claims{namespace="ns",pool="p"} 2.0"#,
            r#"ipam_pool_oldest_waiting_seconds{namespace="ns",pool="p"} 60.0"#,
            r#"workqueue_depth{name="ipam"} 3"#,
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
}
