//! The sessions of README.md's "Use it", typed as they are written, on a real API server with a controller.

use std::path::Path;
use std::process::Command;

use crate::scene::{Scene, path, said};

/// A command, and what the page shows of it.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    shown: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The commands of a section's `console` blocks.
fn steps(page: &str, section: &str) -> Vec<Step> {
    let section = page.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.into(), shown: String::new() }),
                (None, Some(step)) if step.shown.is_empty() && step.command.ends_with('\\') => {
                    step.command = format!("{}\n{line}", step.command);
                }
                (None, step) => step.unwrap().shown.extend([line, "\n"]),
            }
        }
    }
    steps
}

/// Whether lines are those that are shown; a line that is `…` stands for any.
fn is_shown(shown: &[&str], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((&"…", rest)) => (0..=lines.len()).any(|at| is_shown(rest, &lines[at..])),
        Some((line, rest)) => lines.first() == Some(line) && is_shown(rest, &lines[1..]),
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_what_happens() {
    // The leak that the page repairs is not to be repaired by the controller first.
    let scene = Scene::new("readme").await.with_controller_and(&["--orphan-grace", "3600"]);
    let kubeconfig = scene.plane.dir().join("readme.kubeconfig");
    std::fs::copy(scene.plane.kubeconfig(), &kubeconfig).unwrap();
    let kubectl = scene.plane.kubectl().get_program().to_owned();
    let mut context = Command::new(&kubectl);
    context.env("KUBECONFIG", &kubeconfig).args(["config", "set-context", "--current", "--namespace"]);
    assert_eq!(said(context.arg(&scene.namespace)).code, 0);
    let folder = Path::new(&kubectl).parent().unwrap().display().to_string();

    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let steps = steps(&page, "Use it");
    assert!(steps.len() > 8, "{steps:?}");
    for Step { command, shown } in steps {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).current_dir(root());
        shell.env("KUBECONFIG", &kubeconfig).env("KUBECACHEDIR", scene.plane.dir().join("readme-cache"));
        shell.env("PATH", format!("{folder}:{}", path())).env("KUBERC", "off");
        // Who reads the page is in the namespace `default`.
        let text = said(&mut shell).stdout.replace(&scene.namespace, "default");
        assert!(is_shown(&lines(&shown), &lines(&text)), "$ {command}\n{text}README.md shows:\n{shown}");
    }
}

#[test]
fn a_session_is_read_with_its_commands_and_a_gap_stands_for_any_lines() {
    let page = "\n## A\n```console\n$ a \\\n  b\n1\n$ c\n```\n## B\n```console\n$ d\n```\n";
    let step = |command: &str, shown: &str| Step { command: command.into(), shown: shown.into() };
    assert_eq!(steps(page, "A"), [step("a \\\n  b", "1\n"), step("c", "")]);
    let matches = |shown: &str, text: &str| is_shown(&lines(shown), &lines(text));
    assert!(matches("a\n…\nd", "a\nb\nc\nd") && matches("a\n…", "a") && matches("a …", "a …"));
    assert!(!matches("a\n…\nd", "a\nb\nc") && !matches("a", "a\nb") && !matches("a …", "a b"));
}
