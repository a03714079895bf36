//! The verbs that write.

use serde_json::Value;
use testbed::proxy::{Action, Match, Proxy, Reply, Rule, Verb};

use crate::scene::{Scene, objects, words};

#[tokio::test(flavor = "multi_thread")]
async fn from_a_pool_to_an_address_and_back() {
    let scene = Scene::new("there-and-back").await.with_controller();
    let pool =
        ["create-pool", "p", "--range", "10.0.0.10-10.0.0.12", "--prefix", "24", "--gateway", "10.0.0.1"];
    let said = scene.ipam(&[&pool[..], &["--strategy", "sequential"]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (0, "ippool.ipam.metal3.io/p created\n"));
    assert_eq!(said.stderr, "3 addresses: 10.0.0.10-10.0.0.12\nThe pool hands out addresses\n");

    let claims = scene.done(&["claim", "c", "--count", "2", "--pool", "p"]);
    assert!(claims.starts_with("ipclaim.ipam.metal3.io/c-1 created\nipclaim.ipam.metal3.io/c-2 created\n"));
    let mut ips: Vec<&str> = claims.lines().skip(2).map(|line| words(line)[1]).collect();
    ips.sort_unstable();
    assert_eq!(ips, ["10.0.0.10/24", "10.0.0.11/24"]);

    let said = scene.ipam(&["claim", "third", "--pool", "p", "--ip", "10.0.0.10", "--timeout", "8s"]);
    assert_eq!(said.code, 124);
    let told = "error: not within 8s: claim third of pool p has its address\n  because: Requested IP not available\n";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    assert!(said.stderr.contains("hint: `kubectl ipam explain third` says more\n"), "{}", said.stderr);

    let status = scene.done(&["status", "--no-headers"]);
    assert_eq!(words(&status), ["p", "3", "2", "0", "1", "1", "66%", "Available"]);

    let said = scene.ipam(&["delete-pool", "p", "--yes"]);
    assert_eq!(said.code, 1);
    let told = "error: pool p is in use\n  because: claim c-1, claim c-2, claim third, address 10.0.0.1";
    assert!(said.stderr.starts_with(told), "{}", said.stderr);
    let gone = scene.done(&["delete-pool", "p", "--release-claims", "--yes"]);
    assert!(gone.ends_with("ippool.ipam.metal3.io/p deleted\n"), "{gone}");
    let said = scene.ipam(&["status"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    let told = format!("no pools in namespace {}; `kubectl ipam create-pool` makes one\n", scene.namespace);
    assert_eq!(said.stderr, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume_and_reservations() {
    let scene = Scene::new("pause").await.with_controller();
    let pool =
        ["create-pool", "p", "--subnet", "10.0.0.0/29", "--gateway", "10.0.0.1", "--strategy", "sequential"];
    scene.done(&pool);
    let said = scene.ipam(&["pause", "p"]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()),
        (0, "ippool.ipam.metal3.io/p paused\n", "0 claims of pool p are waiting\n")
    );
    assert_eq!(scene.done(&["pause", "p"]), "ippool.ipam.metal3.io/p paused (unchanged)\n");
    scene.done(&["claim", "c", "--pool", "p", "--wait=false"]);
    let resumed = scene.done(&["resume", "p"]);
    assert_eq!(resumed, "ippool.ipam.metal3.io/p resumed\nipclaim.ipam.metal3.io/c served\n");
    assert_eq!(scene.done(&["pause", "claim/c"]), "ipclaim.ipam.metal3.io/c paused\n");
    assert!(scene.done(&["resume", "ipclaim/c"]).starts_with("ipclaim.ipam.metal3.io/c resumed\n"));

    assert_eq!(
        scene.done(&["preallocate", "p", "vip=10.0.0.5"]),
        "ippool.ipam.metal3.io/p preallocations changed\nvip=10.0.0.5\n"
    );
    assert_eq!(scene.done(&["preallocate", "p", "vip=10.0.0.5"]), "ippool.ipam.metal3.io/p unchanged\n");
    assert!(scene.done(&["preallocate", "p", "db", "--free"]).ends_with("db=10.0.0.3\n"));
    let said = scene.ipam(&["preallocate", "p", "other=10.0.0.2"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.starts_with("error: 10.0.0.2 is held by claim c\nhint: "), "{}", said.stderr);
    let said = scene.ipam(&["preallocate", "p", "zz=10.0.0.5"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("already pre-allocated to claim \"vip\""), "{}", said.stderr);
    assert_eq!(scene.done(&["preallocate", "p", "vip-", "db-", "--dry-run"]), "~ ippool.ipam.metal3.io/p\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_waits_for_those_that_can_be_served_and_says_why_the_others_cannot() {
    let scene = Scene::new("resume").await.with_controller();
    scene.done(&["create-pool", "p", "--range", "10.0.0.1-10.0.0.9"]);
    scene.done(&["pause", "p"]);
    for claim in [&["served"][..], &["still"], &["beyond", "--ip", "10.0.0.99"]] {
        scene.done(&[&["claim", "--pool", "p", "--wait=false"], claim].concat());
    }
    scene.done(&["pause", "claim/still"]);
    let said = scene.ipam(&["delete-pool", "p", "--release-claims", "--yes"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    let told =
        "error: pool p is paused: its claims would not be released\nhint: `kubectl ipam resume p` ends that";
    assert!(said.stderr.starts_with(told), "{}", said.stderr);

    let said = scene.ipam(&["resume", "p"]);
    let resumed = "ippool.ipam.metal3.io/p resumed\nipclaim.ipam.metal3.io/served served\n";
    assert_eq!((said.code, said.stdout.as_str()), (0, resumed), "{}", said.stderr);
    let namespace = &scene.namespace;
    for told in [
        format!(
            "claim still is not served: the claim itself is paused; next: `kubectl ipam resume ipclaim/still -n {namespace}`\n"
        ),
        format!(
            "claim beyond is not served: 10.0.0.99 is in no entry of the pool p; next: `kubectl edit ippools p -n {namespace}`\n"
        ),
    ] {
        assert!(said.stderr.contains(&told), "{}", said.stderr);
    }

    // What is paused is not released either, and whoever waits for it hears so.
    scene.done(&["pause", "claim/served"]);
    let said = scene.ipam(&["release", "served", "--yes", "--timeout", "2s"]);
    assert_eq!(said.code, 124);
    assert!(said.stderr.contains("because: the claim itself is paused\n"), "{}", said.stderr);
    assert!(
        said.stderr.contains("hint: `kubectl ipam explain served` says what is in the way\n"),
        "{}",
        said.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pools_of_a_cluster_are_paused_at_once() {
    let scene = Scene::new("pause-cluster").await;
    for (pool, cluster) in [("p", "k"), ("q", "k"), ("r", "other")] {
        let range = "10.0.0.1-10.0.0.9";
        scene.done(&["create-pool", pool, "--range", range, "--cluster", cluster, "--wait=false"]);
    }
    let paused = scene.done(&["pause", "--cluster", "k"]);
    assert_eq!(paused, "ippool.ipam.metal3.io/p paused\nippool.ipam.metal3.io/q paused\n");
    let resumed = scene.done(&["resume", "--cluster", "k", "--wait=false", "-o", "name"]);
    assert_eq!(resumed, "ippool.ipam.metal3.io/p\nippool.ipam.metal3.io/q\n");
    let said = scene.ipam(&["pause", "--cluster", "othr"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.ends_with("hint: did you mean `other`?\n"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_can_be_shown_as_an_object() {
    let scene = Scene::new("objects").await.with_controller();
    let create = ["create-pool", "p", "--range", "10.0.0.1-10.0.0.9", "--dry-run=client"];
    let manifest = scene.done(&[&create[..], &["-o", "yaml"]].concat());
    insta::with_settings!({filters => vec![(scene.namespace.as_str(), "NAMESPACE")]}, {
        insta::assert_snapshot!(manifest, @r#"
        apiVersion: ipam.metal3.io/v1alpha1
        kind: IPPool
        metadata:
          name: p
          namespace: NAMESPACE
        spec:
          allocationStrategy: random
          namePrefix: p
          pools:
          - end: "10.0.0.9"
            start: "10.0.0.1"
        "#);
    });
    let file = scene.plane.dir().join("objects.yaml");
    std::fs::write(&file, manifest).unwrap();
    scene.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let claim = scene.done(&["claim", "c", "--pool", "p", "-o", "jsonpath={.kind} {.status.address.name}"]);
    assert!(claim.starts_with("IPClaim p-10-0-0-"), "{claim}");
    assert_eq!(
        scene.done(&["claim", "d", "e", "--pool", "p", "--wait=false", "-o", "name"]),
        "ipclaim.ipam.metal3.io/d\nipclaim.ipam.metal3.io/e\n"
    );
    let said = scene.ipam(&["release", "c", "--yes", "--dry-run=client", "-o", "yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("hint: --dry-run=server"), "{}", said.stderr);
    let pool = scene.done(&["pause", "p", "--dry-run=server", "-o", "json"]);
    let pool: Value = serde_json::from_str(&pool).unwrap();
    assert_eq!(pool["metadata"]["annotations"]["cluster.x-k8s.io/paused"], "");
    assert_eq!(
        scene.done(&["pause", "p", "--dry-run=server"]),
        "ippool.ipam.metal3.io/p paused (server dry run)\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_cluster_api_are_made_and_released_alike() {
    let scene = Scene::new("capi-claims").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let made = scene.done(&["claim", "c", "--pool", "p", "--kind", "ipaddressclaim", "--wait=false"]);
    assert_eq!(made, "ipaddressclaim.ipam.cluster.x-k8s.io/c created\n");
    scene.create(&[objects::claim("c", "p", None)]);
    let said = scene.ipam(&["release", "c", "--yes"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.ends_with("hint: write ipclaim/c or ipaddressclaim/c\n"), "{}", said.stderr);
    let gone = scene.done(&["release", "ipaddressclaim/c", "--yes"]);
    assert_eq!(
        gone,
        "ipaddressclaim.ipam.cluster.x-k8s.io/c deletion asked for\nipaddressclaim.ipam.cluster.x-k8s.io/c released\n"
    );
    // No controller takes the finalizer off: the wait ends, and says on whom it waited.
    let said = scene.ipam(&["release", "c", "--yes", "--timeout", "5s"]);
    assert_eq!(said.code, 124);
    let told =
        "error: not within 5s: claim c is gone\n  because: its address is being released by the controller\n";
    assert!(said.stderr.contains(told), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_says_whose_finalizer_holds_it_up() {
    let scene = Scene::new("held-up").await.with_controller();
    scene.done(&["create-pool", "p", "--range", "10.0.0.1-10.0.0.9"]);
    scene.done(&["claim", "c", "--pool", "p"]);
    let foreign = r#"[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.org/mine"}]"#;
    scene.kubectl(&["patch", "ipclaims.ipam.metal3.io/c", "--type", "json", "-p", foreign]);
    let said = scene.ipam(&["release", "c", "--yes", "--timeout", "8s"]);
    assert_eq!(said.code, 124);
    assert!(
        said.stderr.contains("held by the finalizer example.org/mine of another controller"),
        "{}",
        said.stderr
    );
    let explained = scene.done(&["explain", "c"]);
    assert!(
        explained.contains("waits for the finalizer example.org/mine of another controller"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_a_wait_ends_and_a_plan_is_shown() {
    let scene = Scene::new("no-controller").await;
    let said = scene.ipam(&["create-pool", "p", "--subnet", "10.0.0.0/24", "--timeout", "1s"]);
    assert_eq!((said.code, said.stdout.as_str()), (124, "ippool.ipam.metal3.io/p created\n"));
    assert!(said.stderr.contains("because: the controller has said nothing about it"), "{}", said.stderr);
    assert!(
        said.stderr.contains("hint: `kubectl ipam version` shows whether a controller runs"),
        "{}",
        said.stderr
    );

    let said = scene.ipam(&["create-pool", "q", "--subnet", "10.0.0.0/24", "--dry-run"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "+ ippool.ipam.metal3.io/q\n"));
    assert!(
        said.stderr.contains("warning: it overlaps with 10.0.0.1-10.0.0.255 of pool p"),
        "{}",
        said.stderr
    );
    assert_eq!(scene.ipam(&["create-pool", "q", "--subnet", "10.0.0.0/24", "--dry-run", "-q"]).stderr, "");
    assert_eq!(
        scene.done(&["create-pool", "q", "--subnet", "10.1.0.0/24", "--dry-run=server"]),
        "ippool.ipam.metal3.io/q created (server dry run)\n"
    );
    let said = scene.ipam(&["create-pool", "p", "--subnet", "10.1.0.0/24"]);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("because: it exists already"), "{}", said.stderr);
    let manager = scene.kubectl(&[
        "get",
        "ippools",
        "p",
        "-o",
        "jsonpath={.metadata.managedFields[0].manager}",
        "--show-managed-fields",
    ]);
    assert_eq!(manager, "kubectl-ipam");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_not_put_off_while_the_api_server_cannot_be_asked_but_by_a_refusal() {
    let scene = Scene::new("away").await.with_controller();
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let kubeconfig = proxy.kubeconfig(scene.plane.admin_token()).unwrap();
    let claim = |name, timeout| {
        let file = kubeconfig.to_str().unwrap();
        scene.ipam(&["claim", name, "--pool", "p", "--timeout", timeout, "--kubeconfig", file])
    };
    let lists = Match::verb(Verb::List).resource("ipclaims.ipam.metal3.io").query("fieldSelector");
    let answer = |reply| Rule::new(lists.clone(), Action::AnswerBefore(reply));

    let away = proxy.add(answer(Reply::unavailable()).times(3));
    let said = claim("a", "60s");
    assert_eq!((said.code, away.count()), (0, 3), "{}", said.stderr);
    let told = said.stderr.matches("the API server cannot be asked at the moment: ").count();
    assert_eq!(told, 1, "{}", said.stderr);

    let away = proxy.add(answer(Reply::unavailable()));
    let said = claim("b", "2s");
    assert_eq!(said.code, 124);
    let told = "error: not within 2s: claim b of pool p has its address\n  because: the API server cannot be asked: ";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    away.release();

    proxy.add(answer(Reply::new(403, "Forbidden", "you may not")));
    let said = claim("c", "60s");
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("you may not"), "{}", said.stderr);
}
