//! What the admission server does, under the names of controller-runtime, and with the verdicts, which those leave out.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Answered, Judged, Webhook};
use crate::admission::{Observer, ReviewEnd};

/// Seconds that a review may take: the API server waits for five at most.
const REVIEW_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0];

/// Seconds by the webhook that was asked.
type Latencies = Family<Webhook, Histogram, fn() -> Histogram>;

/// The counters of the admission server.
#[derive(Clone)]
pub(in super::super) struct Reviews {
    answered: Family<Answered, Counter>,
    under_way: Family<Webhook, Gauge>,
    latency: Latencies,
    judged: Family<Judged, Counter>,
}

impl Reviews {
    pub(super) fn new() -> Self {
        Self {
            answered: Family::default(),
            under_way: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(REVIEW_SECONDS)),
            judged: Family::default(),
        }
    }

    pub(super) fn register(&self, all: &mut Registry) {
        let help = "Reviews that were answered, by the code of HTTP";
        all.register("controller_runtime_webhook_requests", help, self.answered.clone());
        let help = "Reviews that are under way";
        all.register("controller_runtime_webhook_requests_in_flight", help, self.under_way.clone());
        let help = "Time from a review's arrival to its answer";
        let unit = Unit::Seconds;
        all.register_with_unit("controller_runtime_webhook_latency", help, unit, self.latency.clone());
        let help = "Reviews that were answered, by verdict";
        all.register("ipam_admission_reviews", help, self.judged.clone());
    }
}

impl Observer for Reviews {
    fn begins(&self, path: &str) {
        self.under_way.get_or_create(&Webhook { webhook: path.to_owned() }).inc();
    }

    fn ends(&self, path: &str, end: Option<ReviewEnd>) {
        let webhook = path.to_owned();
        self.under_way.get_or_create(&Webhook { webhook: webhook.clone() }).dec();
        // Nobody has the answer: the API server counts such a call as failed, by its own metrics.
        let Some(ReviewEnd { verdict, code, took }) = end else { return };
        self.latency.get_or_create(&Webhook { webhook: webhook.clone() }).observe(took.as_secs_f64());
        self.judged.get_or_create(&Judged { webhook: webhook.clone(), verdict }).inc();
        self.answered.get_or_create(&Answered { webhook, code }).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_review_counts_once_it_is_answered_and_is_under_way_before() {
        let metrics = Metrics::new();
        let reviews = metrics.reviews();
        let path = "/validate-ipam-metal3-io-v1alpha1-ippool";
        let under_way =
            |n| format!("controller_runtime_webhook_requests_in_flight{{webhook=\"{path}\"}} {n}");
        let told = || metrics.text(None, 0).unwrap();
        reviews.begins(path);
        reviews.begins(path);
        assert!(told().contains(&under_way(2)));
        reviews.ends(path, None);
        assert!(told().contains(&under_way(1)));
        assert!(!told().contains("webhook_requests_total{"), "nobody has an answer");
        reviews.ends(path, Some(ReviewEnd { verdict: "refused", code: 200, took: Duration::from_millis(2) }));
        for line in [
            under_way(0),
            format!("controller_runtime_webhook_requests_total{{webhook=\"{path}\",code=\"200\"}} 1"),
            format!("ipam_admission_reviews_total{{webhook=\"{path}\",verdict=\"refused\"}} 1"),
            format!(
                "controller_runtime_webhook_latency_seconds_bucket{{le=\"0.0025\",webhook=\"{path}\"}} 1"
            ),
            format!("controller_runtime_webhook_latency_seconds_bucket{{le=\"0.001\",webhook=\"{path}\"}} 0"),
        ] {
            assert!(told().contains(&line), "{line} is not in {}", told());
        }
    }
}
