//! Completion, through kubectl itself.

use std::process::Command;

use crate::scene::{Scene, binary, objects, path};

/// What kubectl offers for a line.
fn offered(scene: &Scene, words: &[&str]) -> Vec<String> {
    let folder = scene.plane.dir().join("complete");
    let program = binary("kubectl-ipam");
    std::fs::create_dir_all(&folder).unwrap();
    let installed =
        Command::new(&program).args(["completion", "install", "--dir"]).arg(&folder).output().unwrap();
    assert!(installed.status.success());
    let mut command = scene.plane.kubectl();
    command.env("PATH", format!("{}:{}", folder.display(), path())).args(["__complete", "ipam"]).args(words);
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    output.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_completes_verbs_flags_and_live_names() {
    let scene = Scene::new("complete").await;
    scene.create(&[
        objects::pool("rack-1", "10.0.0.1", "10.0.0.9"),
        objects::pool("rack-2", "10.1.0.1", "10.1.0.9"),
        objects::claim("c", "rack-1", None),
    ]);
    let verbs = offered(&scene, &["cl"]);
    assert_eq!(verbs[..2], ["claim", "claims"], "{verbs:?}");
    assert_eq!(verbs.last().unwrap(), ":4");
    let namespace = scene.namespace.as_str();
    assert_eq!(offered(&scene, &["status", "-n", namespace, "ra"]), ["rack-1", "rack-2", ":4"]);
    assert_eq!(offered(&scene, &["claim", "x", "-n", namespace, "--pool", ""]), ["rack-1", "rack-2", ":4"]);
    assert_eq!(offered(&scene, &["release", "-n", namespace, ""])[0], "c");
    assert!(offered(&scene, &["create-pool", "--str"]).contains(&"--strategy".to_owned()));
    assert_eq!(offered(&scene, &["create-pool", "--strategy", "s"]), ["sequential", ":4"]);
}

#[test]
fn each_shell_gets_a_script_for_the_program_itself() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(binary("kubectl-ipam")).args(["completion", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("kubectl-ipam"), "{shell}: {script}");
    }
}
