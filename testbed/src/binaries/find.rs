//! Programs that are already on the machine.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Tool, build};
use crate::{Error, pins::major_minor};

/// What was found of [`Tool::ALL`], in that order.
pub(super) fn all() -> Result<Vec<Option<PathBuf>>, Error> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty());
    let any_version = std::env::var_os("IPAM_TESTBED_ANY_VERSION").is_some_and(|value| value == "1");
    let find = |tool: Tool| match assets.as_deref().and_then(|dir| executable(Path::new(dir), tool.name())) {
        Some(path) if any_version => Ok(Some(path)),
        Some(path) => exactly(tool, path).map(Some),
        None => Ok(build::built(tool).or_else(|| on_path(tool, std::env::var_os("PATH").as_deref()))),
    };
    Tool::ALL.into_iter().map(find).collect()
}

/// `path`, if it is the pinned minor release.
fn exactly(tool: Tool, path: PathBuf) -> Result<PathBuf, Error> {
    let found = version_of(tool, &path)?;
    if is_pinned(tool, &found) {
        return Ok(path);
    }
    Err(Error::WrongVersion { path, found, wanted: format!("{} {}", tool.name(), tool.version()) })
}

/// The first such program on the search path, if it is the pinned minor release.
fn on_path(tool: Tool, search_path: Option<&OsStr>) -> Option<PathBuf> {
    let path = std::env::split_paths(search_path?).find_map(|dir| executable(&dir, tool.name()))?;
    match exactly(tool, path) {
        Ok(path) => Some(path),
        Err(refusal) => {
            // Straight to stderr: a test harness would swallow `eprintln!`, and a build of minutes would look stuck.
            writeln!(std::io::stderr(), "testbed: passed over: {refusal}").ok();
            None
        }
    }
}

fn is_pinned(tool: Tool, found: &str) -> bool {
    major_minor(found).is_some_and(|found| Some(found) == major_minor(tool.version()))
}

/// What the program prints first about its version.
fn version_of(tool: Tool, path: &Path) -> Result<String, Error> {
    let output = Command::new(path)
        .args(tool.version_arguments())
        .output()
        .map_err(|source| Error::Run { program: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("of no known version").to_owned())
}

pub(super) fn executable(dir: &Path, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    let runs = path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    runs.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a `kubectl` that says it is `version`.
    fn folder_with_kubectl(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("#!/bin/sh\necho 'Client Version: {version}'\n");
        crate::write_program(&dir.path().join("kubectl"), &script).unwrap();
        dir
    }

    #[test]
    fn another_patch_release_on_path_will_do() {
        let (major, minor) = major_minor(Tool::Kubectl.version()).unwrap();
        let dir = folder_with_kubectl(&format!("v{major}.{minor}.99"));
        assert_eq!(on_path(Tool::Kubectl, Some(dir.path().as_os_str())), Some(dir.path().join("kubectl")));
    }

    #[test]
    fn another_minor_release_on_path_is_passed_over() {
        let dir = folder_with_kubectl("v1.2.3");
        assert_eq!(on_path(Tool::Kubectl, Some(dir.path().as_os_str())), None);
    }

    #[test]
    fn another_minor_release_where_the_user_pointed_is_an_error_that_names_both() {
        let dir = folder_with_kubectl("v1.2.3");
        let refusal = exactly(Tool::Kubectl, dir.path().join("kubectl")).unwrap_err();
        assert!(refusal.to_string().contains("v1.2.3"), "{refusal}");
        assert!(refusal.to_string().contains(Tool::Kubectl.version()), "{refusal}");
        assert!(refusal.hint().unwrap().contains("KUBEBUILDER_ASSETS"));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kubectl"), "").unwrap();
        assert_eq!(executable(dir.path(), "kubectl"), None);
    }
}
