//! What a person is told before anything is asked of a cluster.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use assert_cmd::Command;

/// The verbs, in the order of the help.
fn verbs() -> Vec<String> {
    let help = run(&["--help"]).1;
    let of = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let names = of.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// The help of everything, as one document. What all verbs have is said once.
fn reference() -> String {
    let shared = ["Connection Options:", "Output Options:"];
    let sections =
        |help: String| -> Vec<String> { help.split("\n\n").map(|part| part.trim_end().to_owned()).collect() };
    let mut parts = vec![String::from(
        "# `kubectl ipam`: the command line\n\nThis file is written by a test from the help of the program: \
         `UPDATE_DOCS=1 cargo test -p kubectl-ipam --test usage`.\n",
    )];
    parts.push(format!("\n```text\n{}\n```\n", run(&["--help"]).1.trim_end()));
    for verb in verbs() {
        let (code, help, _) = run(&[&verb, "--help"]);
        assert_eq!(code, 0, "{verb}");
        let mut own = Vec::new();
        let mut skipping = false;
        for section in sections(help) {
            // An option's help may have several paragraphs; the next title that stands at the margin ends it.
            if !section.starts_with(' ') {
                skipping = shared.iter().any(|title| section.starts_with(title));
            }
            if !skipping {
                own.push(section);
            }
        }
        parts.push(format!("\n## `{verb}`\n\n```text\n{}\n```\n", own.join("\n\n")));
    }
    parts.push(format!(
        "\n## Data\n\nWith `-o json`, `yaml` and `jsonpath`, answers that are no objects of the cluster have `apiVersion: ipam.cli/v1`, \
         their `kind` and these fields. Numbers of addresses are decimal texts, as they may exceed what JSON holds.\n\n```text\n{}```\n",
        include_str!("data.txt")
    ));
    parts.concat()
}

#[test]
fn the_reference_is_the_help_of_every_verb() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/cli.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, reference()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(committed == reference(), "docs/cli.md is not the help; UPDATE_DOCS=1 writes it anew");
}

/// Exit code, stdout and stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("kubectl-ipam").unwrap();
    let output =
        command.env("KUBECONFIG", "/nowhere/config").env("COLUMNS", "100").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_help_says_what_exit_codes_and_findings_mean() {
    for flag in ["-h", "--help"] {
        let help = run(&[flag]).1;
        for row in ["0  done", "1  it failed, or `check` found something", "124  the wait timed out"] {
            assert!(help.contains(row), "{row} is not in {help}");
        }
    }
    let help = run(&["check", "--help"]).1;
    let (_, findings) = help.split_once("\nFindings:\n").unwrap();
    assert!(
        findings.contains("  leaked-address       an address is held for a claim that is gone\n"),
        "{findings}"
    );
    assert_eq!(findings.lines().count(), 22);
    let (code, help, _) = run(&["install", "--help"]);
    assert!(code == 0 && !help.contains("what was written"), "{help}");
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

#[test]
fn whoever_reads_may_stop_at_any_line() {
    use std::process::{Command, Stdio};

    let program = assert_cmd::cargo::cargo_bin("kubectl-ipam");
    let mut child = Command::new(program)
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn install_needs_no_cluster_and_says_what_to_do_next() {
    let (code, stdout, stderr) =
        run(&["install", "-n", "team-net", "--image", "example.org/ipam:v1", "--replicas", "3"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("apiVersion: v1\nkind: Namespace\n"), "{stdout}");
    assert!(stdout.contains("image: example.org/ipam:v1\n") && stdout.contains("replicas: 3\n"), "{stdout}");
    assert_eq!(
        stderr,
        "next: `kubectl -n team-net rollout status deployment ipam-controller-manager`, then `kubectl ipam create-pool`\n"
    );
    let (code, names, stderr) = run(&["install", "-o", "name", "--image", "example.org/ipam:v1"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(names.contains("\ndeployment.apps/ipam-controller-manager\n"), "{names}");
    assert!(names.starts_with("namespace/metal3-ipam-system\n"), "{names}");
}

#[test]
fn install_refuses_what_the_controller_would_not_start_with() {
    for (arguments, told) in [
        (
            &["--set", "leader-elct=true"][..],
            "error: the controller has no flag `leader-elct`\nhint: did you mean",
        ),
        (
            &["--set", "logging-format=xml"],
            "error: the controller would not start with these flags\n  because: ",
        ),
        (&["--set", "webhook-port=1"], "error: `webhook-port` cannot be set alone\n"),
        (&["--replicas", "2", "--set", "leader-elect=false"], "error: 2 replicas would all write\n"),
        (&["--image", ""], "error: --image `` is no image\n"),
        (&["-n", "Team"], "error: `Team` is no name of a namespace\n"),
    ] {
        let (code, stdout, stderr) = run(&[&["install"], arguments].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with(told), "{stderr}");
    }
}
