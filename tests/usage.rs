//! What the controller says of its flags, as a page of the documentation.

#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::path::Path;
use std::process::Command;

fn reference() -> String {
    let program = env!("CARGO_BIN_EXE_ipam-controller");
    let output = Command::new(program).arg("--help").env_clear().env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    format!(
        "# `ipam-controller`: the flags\n\nThis file is written by a test from the help of the program: `UPDATE_DOCS=1 cargo test \
         --test usage`. The flags that Metal3's controller has are all accepted, with one dash or two.\n\n```text\n{}\n```\n",
        lines.join("\n")
    )
}

#[test]
fn the_reference_is_the_help_of_the_controller() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/controller.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, reference()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(committed == reference(), "docs/controller.md is not the help; UPDATE_DOCS=1 writes it anew");
}
