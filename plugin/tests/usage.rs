//! What a person is told before anything is asked of a cluster.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use assert_cmd::Command;

/// Exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("kubectl-ipam").unwrap();
    let output = command.env("KUBECONFIG", "/nowhere/config").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_pool_that_is_not_valid_is_refused_with_field_value_and_reason() {
    let (code, stdout, stderr) = run(&["create-pool", "p", "--subnet", "10.0.0.0/33", "--gateway", "x"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("spec.gateway: Invalid value: \"x\": is not a valid IP address"), "{stderr}");
    assert!(stderr.contains("spec.pools[0]: Invalid value: \"10.0.0.0/33\": invalid Subnet"), "{stderr}");
}

#[test]
fn a_pool_that_would_hold_nothing_is_refused() {
    let (code, _, stderr) = run(&["create-pool", "p", "--subnet", "10.0.0.1/32"]);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: the pool would hold no address\nhint: "), "{stderr}");
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named_with_the_way_out() {
    let (code, stdout, stderr) = run(&["claim", "c", "--pool", "p"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("/nowhere/config"), "{stderr}");
    assert!(stderr.contains("hint: --kubeconfig or KUBECONFIG names the file"), "{stderr}");
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    for arguments in [
        &["claim", "a", "b", "--pool", "p", "--ip", "10.0.0.1"][..],
        &["claim", "a", "b", "--pool", "p", "--count", "2"],
        &["claim", "a", "--pool", "p", "--ip", "10.0.0"],
        &["claim", "a"],
        &["create-pool", "p"],
        &["claim", "a", "--pool", "p", "--timeout", "soon"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}
