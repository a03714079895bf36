//! The controller with the arguments of a Deployment: this one's, and those of the one that it takes the place of.

use ipam::api::SYSTEM_NAMESPACE;
use rustix::process::Signal;
use serde_json::json;

use super::{admission_judges, arguments, installed, lead_to, path, replica, scene};
use crate::process::free_port;

/// What Deployments of Metal3's controller have.
const METAL3: [&str; 14] = [
    "--webhook-port=9443",
    "--webhook-cert-dir=/tmp/k8s-webhook-server/serving-certs/",
    "--diagnostics-address=:8443",
    "--insecure-diagnostics=false",
    "--tls-min-version=VersionTLS13",
    "--health-addr=:9440",
    "--leader-elect=true",
    "--namespace=",
    "--watch-filter=",
    "--sync-period=10m",
    "--ippool-concurrency=10",
    "--kube-api-qps=20",
    "--kube-api-burst=30",
    "--logging-format=text",
];

#[tokio::test]
async fn the_deployments_own_arguments_and_those_of_metal3_serve_claims_and_admission() {
    let plane = installed().await;
    let own = arguments(&plane).await;
    assert!(own.contains(&"--leader-elect".to_owned()), "{own:?}");
    let scene = scene(plane.clone(), "running").await;
    plane.apply_path(&path("config/components/monitoring/reader.yaml")).await.unwrap();
    let reader = plane.token_for(SYSTEM_NAMESPACE, "ipam-metrics-reader").await.unwrap();
    for (name, arguments) in [("own", own), ("metal3", METAL3.map(str::to_owned).to_vec())] {
        let port = free_port();
        lead_to(&plane, port).await;
        let mut pod = replica(&scene, name, &arguments, port).await;
        pod.leads().await;
        // A pool is judged by a webhook that fails closed: that one is made says that admission is reached and trusted.
        admission_judges(&scene).await;
        scene.create_pool(name, &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
        scene.create_claim_with(&format!("of-{name}"), name, json!({})).await;
        assert_eq!(scene.bound(&format!("of-{name}")).await, "10.0.0.1");
        assert_eq!(pod.health("/readyz").await.0, 200);
        let look = || async { Some(pod.metrics(Some(&reader)).await).filter(|told| told.0 == 200) };
        let (_, told) = scene.until("the reader's rights are known", look).await;
        for (path, verdict) in [
            ("validate-ipam-metal3-io-v1alpha1-ippool", "refused"),
            ("mutate-ipam-metal3-io-v1alpha1-ipclaim", "patched"),
        ] {
            let counted =
                format!("ipam_admission_reviews_total{{webhook=\"/{path}\",verdict=\"{verdict}\"}} ");
            assert!(told.contains(&counted), "{counted} is not in {told}");
        }
        pod.signal(Signal::TERM);
        assert!(pod.ended().await.success(), "{}", pod.log());
        let log = pod.log();
        let denied = log.lines().find(|line| line.contains("forbidden: User") || line.contains("ERROR"));
        assert_eq!(denied, None);
    }
}
