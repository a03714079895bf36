//! The Go toolchain, as far as the test bed needs it.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Error,
    leash::Leash,
    pins::{major_minor, pins},
};

/// How many lines of what `go` prints are shown when it fails.
const SHOWN: usize = 20;

/// Checks that there is a Go that can build what `needed` names. Run next to a `go.mod`, what is checked is the
/// toolchain which `go` would switch to.
pub(crate) fn check(dir: &Path, needed: &str) -> Result<(), Error> {
    let output = go(dir, ["version"]).output().map_err(not_run(needed))?;
    let said = if output.status.success() { &output.stdout } else { &output.stderr };
    let found = String::from_utf8_lossy(said).trim().to_owned();
    if output.status.success() && major_minor(&found) >= major_minor(&pins().go) {
        return Ok(());
    }
    Err(Error::GoTooOld { wanted: pins().go.clone(), found })
}

/// Runs a command of `go` that may fetch modules; returns what it printed.
pub(crate) fn fetch(dir: &Path, arguments: &[&str], of: &str) -> Result<Vec<u8>, Error> {
    let output = go(dir, arguments).output().map_err(not_run(of))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // `go mod download -json` reports failures on stdout.
    let said = [output.stderr, output.stdout].concat();
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = text.trim().lines().collect();
    Err(Error::Modules { of: of.to_owned(), output: lines[lines.len().saturating_sub(SHOWN)..].join("\n") })
}

/// Builds `package` into the file `product`; `built` is told of each package that is compiled on the way. Ends with
/// this process.
pub(crate) fn build(
    dir: &Path,
    package: &str,
    product: &Path,
    link_flags: &str,
    tool: &'static str,
    built: impl Fn(),
) -> Result<(), Error> {
    let leash = Leash::new(None).map_err(|source| Error::Run { program: "/bin/sh".into(), source })?;
    let arguments = ["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", link_flags, "-o"];
    let mut command = go(dir, arguments);
    command.arg(product).arg(package).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = leash.spawn(&mut command).map_err(not_run(tool))?;

    let mut shown = VecDeque::new();
    let stderr = child.stderr.take().expect("stderr is piped");
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        built();
        if shown.len() == SHOWN {
            shown.pop_front();
        }
        shown.push_back(line);
    }
    let status = child.wait().map_err(not_run(tool))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Build { tool, output: Vec::from(shown).join("\n") })
}

fn go(dir: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut go = Command::new("go");
    // No C compiler is needed, and no workspace or repository around the folder has a say.
    go.args(arguments).current_dir(dir).env("CGO_ENABLED", "0").env("GOWORK", "off").stdin(Stdio::null());
    go
}

fn not_run(needed: &str) -> impl FnOnce(std::io::Error) -> Error {
    let needed = needed.to_owned();
    move |source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NoGo { needed },
        _ => Error::Run { program: "go".into(), source },
    }
}
