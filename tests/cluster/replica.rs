//! One controller as it runs in a pod: with its own proxy, flags and ports, and a lease in the test's namespace.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::Body;
use kube::{Api, Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use testbed::proxy::{Match, Proxy};

use crate::scene::Scene;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Replica {
    pub proxy: Proxy,
    child: Child,
    log: PathBuf,
}

impl Replica {
    /// Starts one under the shipped account, with these flags besides.
    pub async fn start(scene: &Scene, name: &str, flags: &[&str]) -> Self {
        Self::behind(Proxy::start(&scene.plane).await.unwrap(), scene, name, flags)
    }

    /// The same, behind a proxy that was told something before.
    pub fn behind(proxy: Proxy, scene: &Scene, name: &str, flags: &[&str]) -> Self {
        let flags = [&["--namespace", &scene.namespace, "--webhook-port=0"], flags].concat();
        Self::spawn(proxy, scene, name, &scene.namespace, &flags)
    }

    /// One that believes to be in the namespace of the shipped manifests, and serves all.
    pub fn shipped(proxy: Proxy, scene: &Scene, name: &str, flags: &[&str]) -> Self {
        Self::spawn(proxy, scene, name, "metal3-ipam-system", flags)
    }

    /// One that believes to be in `home`, where its lease is then.
    pub async fn at_home(home: &Scene, scene: &Scene, name: &str, flags: &[&str]) -> Self {
        let flags = [&["--namespace", &scene.namespace, "--webhook-port=0"], flags].concat();
        let proxy = Proxy::start(&scene.plane).await.unwrap();
        Self::spawn(proxy, scene, name, &home.namespace, &flags)
    }

    fn spawn(proxy: Proxy, scene: &Scene, name: &str, namespace: &str, flags: &[&str]) -> Self {
        scene.is_served_behind(&proxy);
        let kubeconfig = proxy.kubeconfig(&scene.token).unwrap();
        let log = scene.plane.dir().join(format!("{}-{name}.log", scene.namespace));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipam-controller"));
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(flags.iter().all(|flag| !flag.starts_with("--orphan-grace")).then_some("--orphan-grace=1"))
            .arg("-v=4")
            .args(["--health-addr=127.0.0.1:0", "--diagnostics-address=127.0.0.1:0"])
            .args(flags)
            .env("POD_NAMESPACE", namespace)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap());
        let child = scene.plane.spawn(&mut command).unwrap();
        Self { proxy, child, log }
    }

    /// Starts one of several: it writes only while it holds the lease.
    pub async fn candidate(scene: &Scene, name: &str) -> Self {
        Self::candidate_behind(Proxy::start(&scene.plane).await.unwrap(), scene, name)
    }

    /// The same, behind a proxy that was told something before.
    pub fn candidate_behind(proxy: Proxy, scene: &Scene, name: &str) -> Self {
        let election = ["--leader-elect", "--leader-elect-lease-duration=5s"];
        let pace = ["--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=200ms"];
        Self::behind(proxy, scene, name, &[election, pace].concat())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log says something; the first line that does.
    pub async fn said(&self, what: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(what)) {
                return line.to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "it never said `{what}`:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has listed everything and leads.
    pub async fn leads(&self) {
        self.said("claims are served").await;
    }

    /// Waits until it has listed everything and stands by.
    pub async fn stands_by(&self) {
        self.said("stands by").await;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it has ended, if it has.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it has ended, and how.
    pub async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many changes it has asked for, those of its lease aside.
    pub fn writes(&self) -> usize {
        self.proxy.count(&Match::writes()) - self.proxy.count(&Match::writes().resource("leases"))
    }

    pub async fn health(&self, path: &str) -> (u16, String) {
        get(&format!("http://{}", self.address("health is served").await), path, None).await
    }

    /// By HTTPS, as whom the token says.
    pub async fn metrics(&self, token: Option<&str>) -> (u16, String) {
        get(&format!("https://{}", self.address("metrics are served").await), "/metrics", token).await
    }

    /// By plain HTTP, where it runs with `--insecure-diagnostics`.
    pub async fn plain_metrics(&self) -> String {
        get(&format!("http://{}", self.address("metrics are served").await), "/metrics", None).await.1
    }

    async fn address(&self, what: &str) -> String {
        let line = self.said(what).await;
        line.split('"').find(|part| part.starts_with("127.0.0.1:")).unwrap().to_owned()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn get(url: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let mut config = Config::new(url.parse().unwrap());
    // A certificate for one process, which nobody signs.
    config.accept_invalid_certs = true;
    config.default_retry = false;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    let client = Client::try_from(config).unwrap();
    let response = client.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// The shipped Role for the lease, in the namespace of a test.
pub async fn grant_lease(scene: &Scene) {
    for file in ["leader_election_role", "leader_election_role_binding"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/rbac/{file}.yaml"));
        let yaml = std::fs::read_to_string(path).unwrap();
        // The first is where it lives; a second is where the account does.
        let here =
            yaml.replacen("namespace: metal3-ipam-system", &format!("namespace: {}", scene.namespace), 1);
        scene.plane.apply_yaml(&here).await.unwrap();
    }
}

/// Who holds the lease; empty if it was given back.
pub async fn holder(scene: &Scene) -> String {
    let leases: Api<Lease> = Api::namespaced(scene.plane.client(), &scene.namespace);
    let lease = leases.get("controller-leader-election-ipam-capm3").await.unwrap();
    lease.spec.unwrap_or_default().holder_identity.unwrap_or_default()
}
