//! The command: up, down, status, env; what it says when something is missing; and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A process that ends with its test, whatever becomes of the test.
struct Companion(Child);

impl Companion {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn sleeper() -> Self {
        Self::start(Command::new("sleep").arg("1000"))
    }

    /// A control plane in the foreground.
    fn owner(dir: &Path) -> Self {
        let owner =
            Self::start(testbed(dir, &["up", "--foreground"]).stdout(Stdio::null()).stderr(Stdio::null()));
        until("a control plane", || dir.join("state.json").exists());
        owner
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn testbed(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
    command.args(arguments).env("IPAM_TESTBED_DIR", dir).stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    testbed(dir, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asks until the answer is yes; a minute at most.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn state(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("state.json")).unwrap()).unwrap()
}

/// A folder whose control plane ends with its test, whatever becomes of that.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for dir in [self.path().to_owned(), self.path().join(NAMED)] {
            drop(testbed(&dir, &["down"]).output());
        }
    }
}

/// A folder in it whose name a shell would split.
const NAMED: &str = "a folder";

/// The owner's process, and those of the components.
fn pids(state: &Value) -> Vec<i64> {
    let components = state["components"].as_object().unwrap().values();
    components.chain([&state["owner"]]).map(|process| process["pid"].as_i64().unwrap()).collect()
}

#[test]
fn up_status_env_and_down_go_together() {
    let home = Folder::new();
    let dir = home.path().join(NAMED);
    assert_eq!(run(&dir, &["status"]).status.code(), Some(1));

    let up = run(&dir, &["up"]);
    assert!(up.status.success(), "{}", stderr(&up));
    let export = format!("export KUBECONFIG='{}'\n", dir.join("data/admin.kubeconfig").display());
    assert_eq!(stdout(&up), export);
    let pids = pids(&state(&dir));
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|pid| is_alive(*pid)));

    let again = run(&dir, &["up"]);
    assert!(again.status.success() && stdout(&again) == export);
    assert!(stderr(&again).contains("already running since"), "{}", stderr(&again));

    let status = run(&dir, &["status"]);
    assert_eq!(status.status.code(), Some(0));
    assert!(stdout(&status).contains("https://127.0.0.1:"), "{}", stdout(&status));

    // The exports are evaluated as a user would, and lead to the control plane.
    let script =
        "eval \"$(\"$TESTBED\" env)\" && kubectl get namespace default -o name && ls \"$KUBEBUILDER_ASSETS\"";
    let shell = Command::new("/bin/sh")
        .args(["-c", script])
        .env("IPAM_TESTBED_DIR", &dir)
        .env("TESTBED", env!("CARGO_BIN_EXE_testbed"))
        .output()
        .unwrap();
    let expected = "namespace/default\netcd\nkube-apiserver\nkube-controller-manager\nkubectl\n";
    assert_eq!(stdout(&shell), expected, "{}", stderr(&shell));

    assert!(run(&dir, &["down"]).status.success());
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.join("data").exists());
    assert_eq!(run(&dir, &["status"]).status.code(), Some(1));
    let down = run(&dir, &["down"]);
    assert!(down.status.success() && stderr(&down).contains("nothing runs"));
    assert_eq!(run(&dir, &["env"]).status.code(), Some(1));
}

#[test]
fn a_killed_owner_leaves_nothing_and_up_works_again() {
    let dir = Folder::new();
    let mut owner = Companion::owner(dir.path());
    let pids = pids(&state(dir.path()));
    assert_eq!(pids.len(), 4);
    owner.0.kill().unwrap();
    assert_eq!(owner.0.wait().unwrap().signal(), Some(9));
    until("the end of all processes and files", || {
        !pids.iter().any(|pid| is_alive(*pid)) && !dir.path().join("data").exists()
    });
    // The state that it could not remove is not believed.
    assert!(dir.path().join("state.json").exists());
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(1));
    let up = run(dir.path(), &["up", "--no-controller-manager"]);
    assert!(up.status.success(), "{}", stderr(&up));
    assert!(run(dir.path(), &["down"]).status.success());
}

#[test]
fn a_control_plane_that_breaks_ends_and_status_says_why() {
    let dir = Folder::new();
    let up = run(dir.path(), &["up", "--no-controller-manager"]);
    assert!(up.status.success(), "{}", stderr(&up));
    let state = state(dir.path());
    let etcd = state["components"]["etcd"]["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &etcd]).status().unwrap().success());
    until("the end of everything", || !pids(&state).iter().any(|pid| is_alive(*pid)));
    let status = run(dir.path(), &["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(stderr(&status).contains("etcd ended (signal: 9"), "{}", stderr(&status));
    assert!(dir.path().join("data/etcd.log").exists());
}

#[test]
fn two_that_start_at_once_get_the_same_control_plane() {
    let dir = Folder::new();
    let ups = [(); 2].map(|()| testbed(dir.path(), &["up"]).stdout(Stdio::piped()).spawn().unwrap());
    let [one, two] = ups.map(|up| up.wait_with_output().unwrap());
    assert!(one.status.success() && two.status.success());
    assert_eq!(stdout(&one), stdout(&two));
    assert!(run(dir.path(), &["down"]).status.success());
}

#[test]
fn a_second_owner_of_the_same_folder_is_refused() {
    let dir = Folder::new();
    let mut owner = Companion::owner(dir.path());
    let second = run(dir.path(), &["up", "--foreground"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("runs already"), "{}", stderr(&second));
    assert!(stderr(&second).contains("hint: `testbed status`"), "{}", stderr(&second));
    assert!(run(dir.path(), &["down"]).status.success());
    assert!(owner.0.wait().unwrap().success());
}

/// A state file that names `pid`, with a start time that is not its own.
fn write_state(dir: &Path, pid: u32) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let owner = json!({ "pid": pid, "started": 1, "boot": boot.trim() });
    let state = json!({
        "owner": owner, "components": { "etcd": owner }, "since": "2026-01-01T00:00:00Z", "versions": "",
        "url": "https://127.0.0.1:1", "etcd": "http://127.0.0.1:2", "kubeconfig": "/k", "logs": "/l",
    });
    fs::write(dir.join("state.json"), state.to_string()).unwrap();
}

#[test]
fn a_state_from_before_harms_nobody_who_has_its_number_now() {
    let dir = Folder::new();
    let mut bystander = Companion::sleeper();
    write_state(dir.path(), bystander.0.id());
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(1));
    assert!(run(dir.path(), &["down"]).status.success());
    assert!(bystander.is_alive());
    assert!(!dir.path().join("state.json").exists());
}

#[test]
fn a_folder_that_somebody_unknown_uses_is_left_alone() {
    let dir = Folder::new();
    let mut bystander = Companion::sleeper();
    write_state(dir.path(), bystander.0.id());
    let lock = File::create(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let down = run(dir.path(), &["down"]);
    assert_eq!(down.status.code(), Some(1));
    assert!(stderr(&down).contains("is in use") && stderr(&down).contains("hint: "), "{}", stderr(&down));
    assert!(bystander.is_alive());
}

/// A folder with four programs that all run `script`.
fn programs(script: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
        testbed::write_program(&dir.path().join(name), &format!("#!/bin/sh\n{script}\n")).unwrap();
    }
    dir
}

#[test]
fn a_program_that_dies_at_once_is_reported_with_its_last_words() {
    let (dir, assets) = (TempDir::new().unwrap(), programs("echo the last words >&2; exit 3"));
    let up = testbed(dir.path(), &["up"])
        .env("KUBEBUILDER_ASSETS", assets.path())
        .env("IPAM_TESTBED_ANY_VERSION", "1")
        .output()
        .unwrap();
    assert_eq!(up.status.code(), Some(1));
    for part in ["the last words", "etcd.log", "hint: the whole log is in"] {
        assert!(stderr(&up).contains(part), "no `{part}` in: {}", stderr(&up));
    }
    assert_eq!(fs::read_to_string(dir.path().join("data/etcd.log")).unwrap(), "the last words\n");
}

#[test]
fn programs_of_another_release_are_refused_with_a_way_out() {
    let (dir, assets) = (TempDir::new().unwrap(), programs("echo v1.2.3"));
    let binaries =
        testbed(dir.path(), &["binaries"]).env("KUBEBUILDER_ASSETS", assets.path()).output().unwrap();
    assert_eq!(binaries.status.code(), Some(1));
    for part in ["etcd` is v1.2.3", "hint: unset KUBEBUILDER_ASSETS"] {
        assert!(stderr(&binaries).contains(part), "no `{part}` in: {}", stderr(&binaries));
    }
    let taken = testbed(dir.path(), &["binaries"])
        .env("KUBEBUILDER_ASSETS", assets.path())
        .env("IPAM_TESTBED_ANY_VERSION", "1")
        .output()
        .unwrap();
    assert!(stdout(&taken).contains(&*assets.path().join("kube-apiserver").to_string_lossy()));
}

#[test]
fn without_go_and_without_programs_both_ways_out_are_named() {
    let (dir, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let binaries = testbed(dir.path(), &["binaries"])
        .env_remove("KUBEBUILDER_ASSETS")
        .env("IPAM_TESTBED_CACHE", cache.path())
        .env("PATH", cache.path())
        .output()
        .unwrap();
    assert_eq!(binaries.status.code(), Some(1));
    for part in ["no Go toolchain on PATH", "https://go.dev/dl", "KUBEBUILDER_ASSETS"] {
        assert!(stderr(&binaries).contains(part), "no `{part}` in: {}", stderr(&binaries));
    }
}

#[test]
fn a_module_proxy_out_of_reach_is_named_with_both_ways_out() {
    let (dir, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let go = Command::new("sh").args(["-c", "command -v go"]).output().unwrap();
    let go = Path::new(stdout(&go).trim()).parent().unwrap().to_owned();
    let binaries = testbed(dir.path(), &["binaries"])
        .env_remove("KUBEBUILDER_ASSETS")
        .env("IPAM_TESTBED_CACHE", cache.path())
        .env("GOMODCACHE", cache.path().join("modules"))
        .env("GOPROXY", "http://127.0.0.1:1")
        // Nothing but Go: what else is on PATH would do instead of a build.
        .env("PATH", go)
        .output()
        .unwrap();
    assert_eq!(binaries.status.code(), Some(1));
    for part in
        ["modules of etcd", "could not be fetched", "hint: set GOPROXY", "GOFLAGS", "KUBEBUILDER_ASSETS"]
    {
        assert!(stderr(&binaries).contains(part), "no `{part}` in: {}", stderr(&binaries));
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let dir = Folder::new();
    assert_eq!(run(dir.path(), &["sideways"]).status.code(), Some(2));
}
