//! Which cluster is asked, as whom, and for how long: kubectl's own flags, and its kubeconfigs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::proxy::{Action, Match, Proxy, Rule};

use crate::scene::{Said, Scene, binary, objects, said};

/// A pool `p`, so that there is something to see.
async fn scene(name: &str) -> Scene {
    let scene = Scene::new(name).await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    scene
}

/// What `status -o name` says where the pool is seen.
const SEEN: &str = "ippool.ipam.metal3.io/p\n";

/// The plugin with nothing but these kubeconfigs.
fn with(kubeconfigs: &[&Path], arguments: &[&str]) -> Said {
    let mut command = Command::new(binary("kubectl-ipam"));
    command.env("KUBECONFIG", std::env::join_paths(kubeconfigs).unwrap()).env("HOME", "/nowhere");
    said(command.args(arguments).stdin(Stdio::null()))
}

/// A kubeconfig of these contexts, each a name, an address and a token for a cluster and a user of that name.
fn kubeconfig(scene: &Scene, file: &str, current: &str, contexts: &[(&str, &str, &str)]) -> PathBuf {
    let named = |what: &'static str, of: &dyn Fn(&(&str, &str, &str)) -> Value| -> Value {
        contexts.iter().map(|context| json!({"name": context.0, what: of(context)})).collect()
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": current,
        "clusters": named("cluster", &|(_, url, _)| json!({"server": url, "certificate-authority": scene.plane.ca_path()})),
        "users": named("user", &|(_, _, token)| json!({ "token": token })),
        "contexts": named("context", &|(name, ..)| json!({"cluster": name, "user": name, "namespace": scene.namespace})),
    });
    let path = scene.plane.dir().join(format!("{}-{file}", scene.namespace));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn address_token_and_authority_do_without_a_kubeconfig() {
    let scene = scene("no-config").await;
    let empty = scene.plane.dir().join(format!("{}-empty", scene.namespace));
    std::fs::write(&empty, "").unwrap();
    let (url, authority) = (scene.plane.url(), scene.plane.ca_path());
    let server = ["status", "-o", "name", "-n", &scene.namespace, "--server", &url];
    let authority = ["--certificate-authority", authority.to_str().unwrap()];
    let token = ["--token", scene.plane.admin_token()];
    for file in [&empty, Path::new("/nowhere/config")] {
        let said = with(&[file], &[&server[..], &authority, &token].concat());
        assert_eq!((said.code, said.stdout.as_str()), (0, SEEN), "{}", said.stderr);
    }
    let said = with(&[&empty], &[&server[..], &token].concat());
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("UnknownIssuer"), "{}", said.stderr);
    let said = with(&[&empty], &[&server[..], &authority, &["--token", "nobody's"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("Unauthorized"), "{}", said.stderr);
    // A file that is named has to be there.
    let named = ["--kubeconfig", "/nowhere/config"];
    assert_eq!(with(&[&empty], &[&server[..], &authority, &token, &named].concat()).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_as_somebody_of_a_group_may_what_the_group_may() {
    let scene = scene("as-group").await;
    let resources = "--resource=ippools.ipam.metal3.io,ipclaims.ipam.metal3.io,ipaddresses.ipam.metal3.io";
    scene.kubectl(&["create", "role", "readers", "--verb=get,list,watch", resources]);
    scene.kubectl(&["create", "rolebinding", "readers", "--role=readers", "--group=readers"]);
    let status = ["status", "-o", "name", "--as", "somebody"];
    assert_eq!(scene.ipam(&status).code, 1);
    assert_eq!(scene.ipam(&[&status[..], &["--as-group", "others"]].concat()).code, 1);
    let groups = ["--as-group", "others", "--as-group", "readers"];
    assert_eq!(scene.done(&[&status[..], &groups].concat()), SEEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn context_cluster_and_user_are_chosen_by_name() {
    let scene = scene("contexts").await;
    let (url, token) = (scene.plane.url(), scene.plane.admin_token());
    let contexts = [("right", url.as_str(), token), ("wrong", "https://127.0.0.1:1", "nobody's")];
    let config = kubeconfig(&scene, "contexts", "wrong", &contexts);
    let status = |flags: &[&str]| with(&[&config], &[&["status", "-o", "name"], flags].concat());
    assert_eq!(status(&[]).code, 1);
    for flags in [&["--context", "right"][..], &["--cluster", "right", "--user", "right"]] {
        let said = status(flags);
        assert_eq!((said.code, said.stdout.as_str()), (0, SEEN), "{flags:?}: {}", said.stderr);
    }
    let said = status(&["--context", "right", "--user", "wrong"]);
    assert!(said.code == 1 && said.stderr.contains("Unauthorized"), "{}", said.stderr);
    let said = status(&["--context", "right", "--cluster", "wrong"]);
    assert!(said.code == 1 && said.stderr.contains("refused"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_answered_in_time_has_failed() {
    let scene = scene("timeout").await;
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let list = Match::any().resource("ippools");
    let held = proxy.add(Rule::new(list, Action::HoldBefore));
    let config = proxy.kubeconfig(scene.plane.admin_token()).unwrap();
    let namespace = scene.namespace.clone();
    let status = ["status", "-n", &namespace, "--request-timeout", "3s"];
    let said = with(&[&config], &status);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    let hint = "hint: --request-timeout says how long a request may take\n";
    assert!(said.stderr.contains("no answer within 3s"), "{}", said.stderr);
    assert!(said.stderr.ends_with(hint), "{}", said.stderr);
    held.parked(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_known_by_the_name_that_was_given() {
    let scene = scene("manager").await;
    let manager = |claim: &str, flags: &[&str]| {
        scene.done(&[&["claim", claim, "--pool", "p", "--wait=false"], flags].concat());
        scene.kubectl(&["get", "ipclaim", claim, "-o", "jsonpath={.metadata.managedFields[*].manager}"])
    };
    assert_eq!(manager("a", &[]), "kubectl-ipam");
    assert_eq!(manager("b", &["--field-manager", "somebody"]), "somebody");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_kubeconfigs_the_first_that_is_there_and_says_something_is_right() {
    let scene = scene("several").await;
    let (url, token) = (scene.plane.url(), scene.plane.admin_token());
    let missing = Path::new("/nowhere/config");
    let right = kubeconfig(&scene, "right", "right", &[("right", &url, token)]);
    let wrong = kubeconfig(&scene, "wrong", "wrong", &[("wrong", "https://127.0.0.1:1", "nobody's")]);
    for (files, current) in [
        ([missing, &right, &wrong], "right"),
        ([&right, missing, &wrong], "right"),
        ([missing, &wrong, &right], "wrong"),
    ] {
        let mut kubectl = scene.plane.kubectl();
        kubectl.env("KUBECONFIG", std::env::join_paths(files).unwrap()).args(["config", "current-context"]);
        assert_eq!(said(&mut kubectl).stdout.trim(), current, "{files:?}");
        let said = with(&files, &["status", "-o", "name"]);
        assert_eq!(said.code == 0, current == "right", "{files:?}: {}", said.stderr);
        // What another file says is there all the same.
        let said = with(&files, &["status", "-o", "name", "--context", "right"]);
        assert_eq!((said.code, said.stdout.as_str()), (0, SEEN), "{files:?}: {}", said.stderr);
    }
}
