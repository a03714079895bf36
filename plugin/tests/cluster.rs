//! The plugin through `kubectl ipam`, against a real API server and the controller: stdout, stderr, exit code.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testbed::{ControlPlane, Options};

/// A control plane with the CRDs, and the controller unless a test is about its absence.
struct Scene {
    plane: ControlPlane,
    controller: Option<Child>,
}

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Scene {
    async fn new() -> Self {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for kind in ["ipaddresses", "ipclaims", "ippools"] {
            plane.apply_path(&root.join(format!("config/crd/ipam.metal3.io_{kind}.yaml"))).await.unwrap();
        }
        Self { plane, controller: None }
    }

    fn with_controller(mut self) -> Self {
        let log = std::fs::File::create(self.plane.dir().join("controller.log")).unwrap();
        let mut command = Command::new(binary("ipam-controller"));
        command.arg("--kubeconfig").arg(self.plane.kubeconfig()).stdin(Stdio::null()).stderr(log);
        command.args(["--health-addr", "0", "--diagnostics-address", "0", "--webhook-port", "0"]);
        self.controller = Some(command.spawn().unwrap());
        self
    }

    /// PATH with the plugin on it.
    fn path() -> String {
        let plugin = binary("kubectl-ipam").parent().unwrap().display().to_string();
        format!("{plugin}:{}", std::env::var("PATH").unwrap())
    }

    /// `kubectl ipam …`, with no terminal.
    fn ipam(&self, arguments: &[&str]) -> Said {
        let mut command = self.plane.kubectl();
        command.env("PATH", Self::path()).env("KUBECONFIG", self.plane.kubeconfig()).stdin(Stdio::null());
        let output = command.arg("ipam").args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The same, which has to succeed: its stdout.
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.ipam(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.stderr);
        said.stdout
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            drop(controller.kill());
            drop(controller.wait());
        }
    }
}

/// A program of this workspace, which `make test` builds first.
fn binary(name: &str) -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_kubectl-ipam")).with_file_name(name);
    assert!(beside.exists(), "{} is not built: run `cargo build --workspace --bins`", beside.display());
    beside
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_pool_to_an_address_and_back() {
    let scene = Scene::new().await.with_controller();
    let said = scene.ipam(&[
        "create-pool",
        "p",
        "--range",
        "10.0.0.10-10.0.0.12",
        "--prefix",
        "24",
        "--gateway",
        "10.0.0.1",
        "--strategy",
        "sequential",
    ]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "ippool.ipam.metal3.io/p created\n"));
    assert_eq!(said.stderr, "3 addresses: 10.0.0.10-10.0.0.12\nThe pool hands out addresses\n");

    let claims = scene.done(&["claim", "c", "--count", "2", "--pool", "p"]);
    assert!(claims.starts_with("ipclaim.ipam.metal3.io/c-1 created\nipclaim.ipam.metal3.io/c-2 created\n"));
    let mut ips: Vec<&str> =
        claims.lines().skip(2).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    ips.sort_unstable();
    assert_eq!(ips, ["10.0.0.10/24", "10.0.0.11/24"]);

    let said = scene.ipam(&["claim", "third", "--pool", "p", "--ip", "10.0.0.10", "--timeout", "2s"]);
    assert_eq!(said.code, 124);
    assert!(said.stderr.contains("error: not within 2s: claim third of pool p has its address\n  because: Requested IP not available\nhint: "), "{}", said.stderr);

    let status = scene.done(&["status", "--no-headers"]);
    assert_eq!(
        status.split_whitespace().collect::<Vec<_>>(),
        ["p", "<none>", "3", "2", "0", "1", "1", "66%", "Available"]
    );

    let said = scene.ipam(&["delete-pool", "p", "--yes"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.starts_with(
            "error: pool p is in use\n  because: claim c-1, claim c-2, claim third, address 10.0.0.1"
        ),
        "{}",
        said.stderr
    );
    let gone = scene.done(&["delete-pool", "p", "--release-claims", "--yes"]);
    assert!(gone.ends_with("ippool.ipam.metal3.io/p deleted\n"), "{gone}");
    let said = scene.ipam(&["status"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert_eq!(said.stderr, "no pools in namespace default; `kubectl ipam create-pool` makes one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume_and_reservations() {
    let scene = Scene::new().await.with_controller();
    scene.done(&[
        "create-pool",
        "p",
        "--subnet",
        "10.0.0.0/29",
        "--gateway",
        "10.0.0.1",
        "--strategy",
        "sequential",
    ]);
    let said = scene.ipam(&["pause", "p"]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (0, "ippool.ipam.metal3.io/p paused\n", "0 claims of pool p are waiting\n")
    );
    assert_eq!(scene.done(&["pause", "p"]), "ippool.ipam.metal3.io/p paused (unchanged)\n");
    scene.done(&["claim", "c", "--pool", "p", "--wait=false"]);
    let resumed = scene.done(&["resume", "p"]);
    assert!(resumed.starts_with("ippool.ipam.metal3.io/p resumed\n"));

    assert_eq!(
        scene.done(&["preallocate", "p", "vip=10.0.0.5"]),
        "ippool.ipam.metal3.io/p preallocations changed\nvip=10.0.0.5\n"
    );
    assert_eq!(scene.done(&["preallocate", "p", "vip=10.0.0.5"]), "ippool.ipam.metal3.io/p unchanged\n");
    assert!(scene.done(&["preallocate", "p", "db", "--free"]).ends_with("db=10.0.0.3\n"));
    let said = scene.ipam(&["preallocate", "p", "other=10.0.0.2"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with("error: 10.0.0.2 is held by claim c\nhint: "), "{}", said.stderr);
    let said = scene.ipam(&["preallocate", "p", "other=10.0.0.5"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("IP address is already pre-allocated to claim \"other\"")
            || said.stderr.contains("already pre-allocated to claim \"vip\""),
        "{}",
        said.stderr
    );
    assert_eq!(scene.done(&["preallocate", "p", "vip-", "db-", "--dry-run"]), "~ ippool.ipam.metal3.io/p\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_and_without_permission() {
    let scene = Scene::new().await;
    let said = scene.ipam(&["create-pool", "p", "--subnet", "10.0.0.0/24", "--timeout", "1s"]);
    assert_eq!((said.code, said.stdout.as_str()), (124, "ippool.ipam.metal3.io/p created\n"));
    assert!(said.stderr.contains("because: the controller has said nothing about it"), "{}", said.stderr);
    let status = scene.done(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["apiVersion"], "ipam.cli/v1");
    assert_eq!(
        (&status["items"][0]["state"], &status["items"][0]["capacity"]),
        (&"Unknown".into(), &"254".into())
    );
    assert_eq!(scene.done(&["status", "-o", "name"]), "ippool.ipam.metal3.io/p\n");

    let said = scene.ipam(&["status", "--as", "nobody"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with("error: cannot list ippools\n  because: "), "{}", said.stderr);
    assert!(said.stderr.contains("cannot list resource \"ippools\""), "{}", said.stderr);

    let said = scene.ipam(&["create-pool", "q", "--subnet", "10.0.0.0/24", "--dry-run"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "+ ippool.ipam.metal3.io/q\n"));
    assert!(
        said.stderr.contains("warning: it overlaps with 10.0.0.1-10.0.0.255 of pool p"),
        "{}",
        said.stderr
    );
    assert_eq!(
        scene.done(&["create-pool", "q", "--subnet", "10.1.0.0/24", "--dry-run=server"]),
        "ippool.ipam.metal3.io/q created (server dry run)\n"
    );
    let said = scene.ipam(&["create-pool", "p", "--subnet", "10.1.0.0/24"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("because: it exists already"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_what_is_missing_is_asked_for() {
    let scene = Scene::new().await.with_controller();
    let mut command = Command::new(binary("kubectl-ipam"));
    command
        .env("KUBECONFIG", scene.plane.kubeconfig())
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .arg("create-pool");
    let said = tokio::task::spawn_blocking(move || {
        let mut session = rexpect::session::spawn_command(command, Some(30_000))?;
        session.exp_string("Name of the pool")?;
        session.send_line("p")?;
        session.exp_string("Addresses")?;
        session.send_line("10.0.0.9-10.0.0.1")?;
        session.exp_string("end IP 10.0.0.1 is before start IP 10.0.0.9")?;
        session.send_line("10.0.0.1-10.0.0.9")?;
        session.exp_string("Gateway")?;
        session.send_line("")?;
        session.exp_string("Cluster")?;
        session.send_line("")?;
        session.exp_string("9 addresses")?;
        session.exp_string("Create the pool?")?;
        session.send("y")?;
        session.flush()?;
        session.exp_string("ippool.ipam.metal3.io/p created")?;
        session.exp_string("the same by flags: kubectl ipam create-pool p --range 10.0.0.1-10.0.0.9")?;
        session.exp_eof()
    });
    said.await.unwrap().unwrap();
    // What is not a terminal is told everything that is missing, at once.
    let said = scene.ipam(&["create-pool"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.starts_with("error: missing: NAME, --subnet CIDR or --range FIRST-LAST\n"),
        "{}",
        said.stderr
    );
    assert_eq!(scene.ipam(&["claim"]).code, 2);
    assert_eq!(scene.ipam(&["release", "c"]).code, 1);
}
