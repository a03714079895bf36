//! What the controller tells those who watch over it, and whom it tells.

use std::path::Path;

use ipam::api::{Family, Kind};
use kube::api::{ListParams, PostParams};
use serde_json::json;
use testbed::proxy::{Action, Match, Reply, Rule, Verb};

use crate::process::{ALONE, scene};
use crate::replica::Replica;
use crate::scene::{Scene, objects};

/// A ServiceAccount of the test, and its token.
async fn account(scene: &Scene, name: &str) -> String {
    let account = format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}, namespace: {}}}}}",
        scene.namespace
    );
    scene.plane.apply_yaml(&account).await.unwrap();
    scene.plane.token_for(&scene.namespace, name).await.unwrap()
}

/// Lets it read /metrics.
async fn let_scrape(scene: &Scene, account: &str) {
    let namespace = &scene.namespace;
    let yaml = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: scrape-{namespace}}}\n\
         rules: [{{nonResourceURLs: [/metrics], verbs: [get]}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: scrape-{namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: scrape-{namespace}}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: {namespace}}}]\n"
    );
    scene.plane.apply_yaml(&yaml).await.unwrap();
}

#[tokio::test]
async fn metrics_are_for_those_who_may_read_them() {
    let scene = scene("scrape").await;
    let (known, scraper) = (account(&scene, "known").await, account(&scene, "scraper").await);
    let_scrape(&scene, "scraper").await;
    let replica = Replica::start(&scene, "it", &ALONE).await;
    replica.leads().await;
    assert_eq!(replica.metrics(None).await.0, 401);
    assert_eq!(replica.metrics(Some("no-token-of-this-cluster")).await.0, 401);
    let (code, text) = replica.metrics(Some(&known)).await;
    assert!(code == 403 && text.contains(":known` may not get the path /metrics"), "{code} {text}");
    // The rule is known to the API server's authorizer a moment after it was written.
    let look = || async { (replica.metrics(Some(&scraper)).await.0 == 200).then_some(()) };
    scene.until("the scraper may read", look).await;
    let reviews = replica.proxy.count(&Match::verb(Verb::Post).resource("tokenreviews"));
    assert_eq!(replica.metrics(Some(&scraper)).await.0, 200);
    assert_eq!(
        replica.proxy.count(&Match::verb(Verb::Post).resource("tokenreviews")),
        reviews,
        "it is asked twice"
    );
    replica
        .proxy
        .add(Rule::new(Match::any().resource("tokenreviews"), Action::AnswerBefore(Reply::internal_error())));
    assert_eq!(replica.metrics(Some("one more")).await.0, 500);
    assert!(!replica.log().contains(&scraper), "a token is in the log");
}

#[tokio::test]
async fn metrics_say_what_was_done_and_how_the_pools_are() {
    let scene = scene("figures").await;
    scene.create_pool("small", &json!({"pools": [{"start": "10.1.0.1", "end": "10.1.0.1"}]})).await;
    let insecure = [ALONE[0], "--insecure-diagnostics"];
    let replica = Replica::start(&scene, "it", &insecure).await;
    replica.leads().await;
    scene.create_claim("bound").await;
    scene.bound("bound").await;
    for name in ["served", "waits"] {
        scene.create_claim_with(name, "small", json!({})).await;
    }
    scene.pool_is("small", "Exhausted").await;
    let namespace = &scene.namespace;
    for line in [
        format!("ipam_pool_capacity_addresses{{namespace=\"{namespace}\",pool=\"p\"}} 200.0"),
        format!("ipam_pool_free_addresses{{namespace=\"{namespace}\",pool=\"p\"}} 199.0"),
        format!("ipam_pool_waiting_claims{{namespace=\"{namespace}\",pool=\"small\"}} 1.0"),
        "ipam_writes_total{act=\"take\",outcome=\"done\"} 2".to_owned(),
        "leader_election_master_status{name=\"controller-leader-election-ipam-capm3\"} 1".to_owned(),
        "ipam_writes_in_flight 0".to_owned(),
        "ipam_synced 1".to_owned(),
        format!("ipam_pool_allocated_addresses{{namespace=\"{namespace}\",pool=\"small\"}} 1.0"),
        format!("ipam_pool_leaked_addresses{{namespace=\"{namespace}\",pool=\"small\"}} 0.0"),
        "ipam_claims{group=\"ipam.metal3.io\",kind=\"IPClaim\",state=\"bound\"} 2".to_owned(),
        "ipam_claims{group=\"ipam.metal3.io\",kind=\"IPClaim\",state=\"waiting\"} 1".to_owned(),
        "ipam_claim_bind_duration_seconds_count 2".to_owned(),
        "ipam_write_duration_seconds_count{act=\"take\"} 2".to_owned(),
        format!("ipam_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        let look = || async { replica.plain_metrics().await.lines().any(|have| have == line).then_some(()) };
        scene.until(&format!("a line `{line}`"), look).await;
    }
}

#[tokio::test]
async fn metrics_count_leaks_that_were_released_and_watches_that_failed() {
    let scene = scene("counted").await;
    // What a claim leaves behind whose finalizer was taken off while no controller ran.
    let left = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
        "metadata": {"name": "p-10-0-0-9", "finalizers": ["ipaddress.ipam.metal3.io"],
                     "annotations": {"ipam.metal3.io/claim-uid": "gone"}},
        "spec": {"address": "10.0.0.9", "prefix": 24, "pool": {"name": "p"}, "claim": {"name": "gone"}},
    });
    scene.addresses.create(&PostParams::default(), &serde_json::from_value(left).unwrap()).await.unwrap();
    let replica = Replica::start(&scene, "it", &[ALONE[0], "--insecure-diagnostics"]).await;
    scene.address_gone("p-10-0-0-9").await;
    replica.proxy.add(Rule::new(Match::any().resource("ipclaims"), Action::CutBefore).once());
    replica.proxy.cut_watches("ipclaims");
    for counted in [
        "ipam_leaked_addresses_released_total ",
        "ipam_watch_failures_total{group=\"ipam.metal3.io\",kind=\"IPClaim\"} ",
    ] {
        let look = || async {
            let text = replica.plain_metrics().await;
            let count = text.lines().find_map(|line| line.strip_prefix(counted))?;
            (count != "0").then_some(())
        };
        scene.until(&format!("`{counted}` rises"), look).await;
    }
}

#[tokio::test]
async fn the_account_that_the_monitoring_component_brings_reads_the_metrics_and_nothing_else() {
    let scene = scene("monitoring").await;
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/components/monitoring/reader.yaml");
    scene.plane.apply_path(&reader).await.unwrap();
    let token = scene.plane.token_for("metal3-ipam-system", "ipam-metrics-reader").await.unwrap();
    let replica = Replica::start(&scene, "it", &ALONE).await;
    replica.leads().await;
    // The rule is known to the API server's authorizer a moment after it was written.
    let look = || async { (replica.metrics(Some(&token)).await.0 == 200).then_some(()) };
    scene.until("the account may read", look).await;
    let client = ipam::apply::connect(scene.plane.config_for(&token)).unwrap();
    let claims = objects(client, &scene.namespace, Kind::Claim(Family::Metal3));
    let refused = claims.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}
