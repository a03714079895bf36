//! What is refused, and the way out that is named.

use crate::scene::{Scene, objects};

#[tokio::test(flavor = "multi_thread")]
async fn where_rbac_refuses_the_missing_verb_and_resource_are_named() {
    let scene = Scene::new("rbac").await;
    let namespace = &scene.namespace;
    for (arguments, verb, resource) in [
        (&["status"][..], "list", "ippools.ipam.metal3.io"),
        (&["claims"], "list", "ipclaims.ipam.metal3.io"),
        (&["addresses"], "list", "ipaddresses.ipam.metal3.io"),
        (&["map", "p"], "list", "ippools.ipam.metal3.io"),
        (&["release", "c", "--yes"], "get", "ipclaims.ipam.metal3.io"),
        (&["claim", "c", "--pool", "p"], "create", "ipclaims.ipam.metal3.io"),
        (&["pause", "p"], "get", "ippools.ipam.metal3.io"),
    ] {
        let said = scene.ipam(&[arguments, &["--as", "nobody"]].concat());
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{arguments:?}");
        let hint =
            format!("hint: your account needs the verb `{verb}` on `{resource}` in namespace {namespace}\n");
        assert!(said.stderr.ends_with(&hint), "{arguments:?}: {}", said.stderr);
    }
    let said = scene.ipam(&["status", "-A", "--as", "nobody"]);
    assert!(said.stderr.ends_with("on `ippools.ipam.metal3.io` in all namespaces\n"), "{}", said.stderr);
    let said = scene.ipam(&["check", "--as", "nobody"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_may_not_be_seen_is_left_out_with_a_warning() {
    let scene = Scene::new("half-blind").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), objects::claim("c", "p", None)]);
    scene.kubectl(&[
        "create",
        "role",
        "half",
        "--verb=get,list,watch",
        "--resource=ippools.ipam.metal3.io,ipclaims.ipam.metal3.io,ipaddresses.ipam.metal3.io",
    ]);
    scene.kubectl(&["create", "rolebinding", "half", "--role=half", "--user=half"]);
    let said = scene.ipam(&["status", "--as", "half", "--no-headers"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("p   "), "{}", said.stdout);
    assert!(
        said.stderr.contains("warning: cannot list ipaddressclaims.ipam.cluster.x-k8s.io"),
        "{}",
        said.stderr
    );
    // What cannot be seen might be wrong, or held.
    assert_eq!(scene.ipam(&["check", "--as", "half"]).code, 2);
    assert_eq!(scene.ipam(&["free", "p", "--as", "half"]).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_name_is_recognized() {
    let scene = Scene::new("typo").await;
    scene.create(&[
        objects::pool("provisioning", "10.0.0.1", "10.0.0.9"),
        objects::claim("worker-1", "provisioning", None),
    ]);
    for arguments in [
        &["status", "provisionning"][..],
        &["map", "provisionning"],
        &["pause", "provisionning"],
        &["preallocate", "provisionning", "a=10.0.0.1"],
        &["delete-pool", "provisionning", "--yes"],
    ] {
        let said = scene.ipam(arguments);
        assert_eq!(said.code, 1, "{arguments:?}");
        let told = format!(
            "error: there is no pool provisionning in namespace {}\nhint: did you mean `provisioning`?\n",
            scene.namespace
        );
        assert_eq!(said.stderr, told, "{arguments:?}");
    }
    for arguments in
        [&["release", "wroker-1", "--yes"][..], &["explain", "wroker-1"], &["pause", "claim/wroker-1"]]
    {
        let said = scene.ipam(arguments);
        assert_eq!(said.code, 1, "{arguments:?}");
        let told = format!(
            "error: there is no claim wroker-1 in namespace {}\nhint: did you mean `worker-1`?\n",
            scene.namespace
        );
        assert_eq!(said.stderr, told, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_at_once_where_nobody_can_be_asked() {
    let scene = Scene::new("missing").await;
    for (arguments, missing) in [
        (&["create-pool"][..], "NAME, --subnet CIDR or --range FIRST-LAST"),
        (&["claim"], "NAME, --pool NAME"),
        (&["claim", "c"], "--pool NAME"),
        (&["preallocate"], "POOL, CLAIM=IP"),
        (&["pause"], "POOL or --cluster NAME"),
        (&["release"], "CLAIM"),
        (&["delete-pool"], "POOL"),
        (&["map"], "POOL"),
        (&["free"], "POOL"),
        (&["explain"], "CLAIM"),
        (&["whois"], "IP, CLAIM or MACHINE"),
    ] {
        let said = scene.ipam(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(
            said.stderr.starts_with(&format!("error: missing: {missing}\n")),
            "{arguments:?}: {}",
            said.stderr
        );
    }
    scene.create(&[objects::claim("c", "p", None)]);
    let said = scene.ipam(&["release", "c"]);
    assert_eq!((said.code, said.stderr.lines().next().unwrap()), (2, "error: missing: --yes"));
}
