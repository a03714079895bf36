//! A controller and an admission server of this process, which the API server asks by the shipped configurations.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use ipam::admission::{self, AdmissionOptions, Live, pki};
use ipam::apply::connect;
use ipam::controller::{Options, run_alone};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// A scene whose controller runs in this process and judges what happens in its namespace.
pub struct Gate {
    pub scene: Scene,
    url: String,
    stop: Vec<oneshot::Sender<()>>,
    running: Vec<JoinHandle<()>>,
}

impl Gate {
    /// A controller and an admission server with these certificates; the API server does not ask it yet.
    pub async fn new(
        name: &str,
        certificates: impl FnOnce(&str) -> watch::Receiver<Option<pki::Pair>>,
    ) -> Self {
        let scene = Scene::new(name).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (live, questions) = Live::new();
        let (end_server, server_ends) = oneshot::channel::<()>();
        let (end_controller, controller_ends) = oneshot::channel::<()>();
        let certificates = certificates(&scene.namespace);
        let options = Options {
            namespace: scene.namespace.clone(),
            watch_filter: String::new(),
            in_flight: 16,
            grace: Duration::from_secs(1),
        };
        let client = connect(scene.plane.config()).unwrap();
        let controller = tokio::spawn(async move {
            run_alone(client, &options, questions, async { drop(controller_ends.await) }).await;
        });
        let server = tokio::spawn(async move {
            let stop = async { drop(server_ends.await) };
            admission::serve(listener, AdmissionOptions::default(), certificates, live, stop).await.unwrap();
        });
        Self { scene, url, stop: vec![end_server, end_controller], running: vec![server, controller] }
    }

    /// A gate that the API server asks.
    pub async fn open(name: &str) -> Self {
        let (certificates, bundle) = made();
        let gate = Self::new(name, |_| certificates).await;
        gate.install(&bundle).await;
        gate
    }

    /// Installs the shipped configurations for this namespace alone, and waits until they are in force.
    pub async fn install(&self, bundle: &str) {
        let names = [self.scene.namespace.clone(), self.scene.namespace.clone()];
        self.apply(names, Some(bundle)).await;
        self.in_force().await;
    }

    pub async fn apply(&self, [mutating, validating]: [String; 2], bundle: Option<&str>) {
        let client = self.scene.plane.client();
        let (first, second) = (shipped("mutating"), shipped("validating"));
        let complete = |mut configuration: Value, name: &str| {
            configuration["metadata"]["name"] = json!(name);
            for webhook in configuration["webhooks"].as_array_mut().unwrap() {
                let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
                webhook["clientConfig"] = json!({ "url": format!("{}{path}", self.url) });
                if let Some(bundle) = bundle {
                    let bundle = k8s_openapi::ByteString(bundle.as_bytes().to_vec());
                    webhook["clientConfig"]["caBundle"] = json!(bundle);
                }
                webhook["namespaceSelector"] =
                    json!({"matchLabels": {"kubernetes.io/metadata.name": self.scene.namespace}});
                // The machine that runs the tests may be slow, and what fails here fails open.
                webhook["timeoutSeconds"] = json!(30);
            }
            configuration
        };
        create::<MutatingWebhookConfiguration>(&client, complete(first, &mutating)).await;
        create::<ValidatingWebhookConfiguration>(&client, complete(second, &validating)).await;
    }

    /// Waits until the API server asks about everything: it takes a moment to learn of a configuration, and starts to
    /// ask about one webhook before it does about another.
    pub async fn in_force(&self) {
        let trial = PostParams { dry_run: true, ..PostParams::default() };
        let outside = json!({"spec": {"namePrefix": "p", "preAllocations": {"c": "10.9.9.9"}}});
        let look = || async {
            let claim = self
                .try_create("IPClaim", "trial", json!({"spec": {"pool": {"name": "p"}}}), &trial)
                .await
                .ok()?;
            let refused = self.try_create("IPPool", "trial", outside.clone(), &trial).await.err()?;
            let kube::Error::Api(status) = refused else { return None };
            (!claim.finalizers().is_empty() && status.message.contains("out of bonds")).then_some(())
        };
        self.scene.until("the webhooks are in force", look).await;
    }

    pub fn api(&self, kind: &str) -> (Api<DynamicObject>, ApiResource) {
        let (group, version) = match kind {
            "IPAddressClaim" => ("ipam.cluster.x-k8s.io", "v1beta2"),
            _ => ("ipam.metal3.io", "v1alpha1"),
        };
        let plural = if kind == "IPAddress" { "ipaddresses".to_owned() } else { kind.to_lowercase() + "s" };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: format!("{group}/{version}"),
            kind: kind.into(),
            plural,
        };
        (Api::namespaced_with(self.scene.plane.client(), &self.scene.namespace, &resource), resource)
    }

    pub async fn try_create(
        &self,
        kind: &str,
        name: &str,
        content: Value,
        params: &PostParams,
    ) -> kube::Result<DynamicObject> {
        let (api, resource) = self.api(kind);
        let mut object = content;
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!(name);
        api.create(params, &serde_json::from_value(object).unwrap()).await
    }

    pub async fn create(&self, kind: &str, name: &str, content: Value) -> kube::Result<DynamicObject> {
        self.try_create(kind, name, content, &PostParams::default()).await
    }

    pub async fn patch(&self, kind: &str, name: &str, patch: Value) -> kube::Result<DynamicObject> {
        self.api(kind).0.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Ends the admission server; the controller goes on.
    pub async fn close(&mut self) {
        self.stop.remove(0).send(()).unwrap();
        self.running.remove(0).await.unwrap();
    }

    /// Ends everything, and takes away what is no namespace's.
    pub async fn end(mut self, configurations: [&str; 2]) {
        let client = self.scene.plane.client();
        let [mutating, validating] = configurations;
        let delete = DeleteParams::default();
        Api::<MutatingWebhookConfiguration>::all(client.clone()).delete(mutating, &delete).await.unwrap();
        Api::<ValidatingWebhookConfiguration>::all(client).delete(validating, &delete).await.unwrap();
        self.stop.clear();
        for task in self.running.drain(..) {
            task.await.unwrap();
        }
    }

    pub async fn done(self) {
        let name = self.scene.namespace.clone();
        self.end([&name, &name]).await;
    }
}

fn shipped(which: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/webhook/{which}.yaml"));
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

async fn create<K>(client: &Client, object: Value)
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + DeserializeOwned
        + serde::Serialize
        + Clone
        + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    Api::<K>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the API server reads the clock, too")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Certificates for this machine, and what has to be trusted for them.
pub fn made() -> (watch::Receiver<Option<pki::Pair>>, String) {
    let authority = pki::authority(now()).unwrap();
    let serving = pki::serving(&authority, &["127.0.0.1".to_owned()], now()).unwrap();
    (watch::channel(Some(serving)).1, authority.certificate)
}
