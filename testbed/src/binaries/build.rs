//! Building programs from pinned Go modules, once for all runs of a user.
//!
//! A program appears in the cache by a rename, so it is whole or not there. One lock covers the cache; it falls with
//! the process that holds it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{Tool, cache_dir, find::executable, progress::Step};
use crate::{
    Error, go,
    pins::{GO_MOD, GO_SUM, fingerprint, major_minor, pins},
};

/// The program from an earlier build, if there was one.
pub(super) fn built(tool: Tool) -> Option<PathBuf> {
    executable(&target_dir(), tool)
}

/// All of [`Tool::ALL`], of which `found` was there already; the others are built.
pub(super) fn missing(found: Vec<Option<PathBuf>>) -> Result<Vec<PathBuf>, Error> {
    let _lock = found.iter().any(Option::is_none).then(|| lock(&cache_dir())).transpose()?;
    let complete = |(tool, found): (Tool, Option<PathBuf>)| match found {
        Some(path) => Ok(path),
        // Another process may have built it while this one waited for the lock.
        None => built(tool).map_or_else(|| build(tool), Ok),
    };
    Tool::ALL.into_iter().zip(found).map(complete).collect()
}

fn build(tool: Tool) -> Result<PathBuf, Error> {
    let label = format!("{} {}", tool.name(), tool.version());
    let workshop = cache_dir().join("building");
    write_modules(&workshop)?;
    go::check(&workshop, &label)?;

    let fetching = Step::start(format!("fetching the modules of {label}"));
    // Listing what it is made of fetches exactly that, and tells how long the way is.
    let packages = go::fetch(&workshop, &["list", "-deps", tool.package()], &label)?;
    fetching.done(format!("fetched the modules of {label}"));

    let building = Step::start(format!("building {label} (the first build takes minutes)"));
    building.set_length(packages.split(|byte| *byte == b'\n').count() as u64);
    let product = workshop.join(tool.name());
    go::build(&workshop, tool.package(), &product, &link_flags(), tool.name(), || building.advance())?;
    let target = target_dir();
    fs::create_dir_all(&target).map_err(Error::file("create", &target))?;
    let path = target.join(tool.name());
    fs::rename(&product, &path).map_err(Error::file("create", &path))?;
    building.done(format!("built {label}"));
    Ok(path)
}

fn target_dir() -> PathBuf {
    cache_dir().join(fingerprint(&link_flags()))
}

/// Kubernetes learns its version from the linker; without this it says v0.0.0, and clients refuse it.
fn link_flags() -> String {
    let version = &pins().kubernetes;
    let (major, minor) = major_minor(version).expect("modules/go.mod pins a version of Kubernetes");
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

fn lock(dir: &Path) -> Result<File, Error> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let path = dir.join("lock");
    let file = File::create(&path).map_err(Error::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let waiting = Step::start("waiting for another process that builds the control plane");
            file.lock().map_err(Error::file("lock", &path))?;
            waiting.done("waited for another process");
        }
        Err(TryLockError::Error(source)) => return Err(Error::File { action: "lock", path, source }),
    }
    Ok(file)
}

fn write_modules(workshop: &Path) -> Result<(), Error> {
    fs::create_dir_all(workshop).map_err(Error::file("create", workshop))?;
    for (name, content) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        let path = workshop.join(name);
        fs::write(&path, content).map_err(Error::file("write", path))?;
    }
    Ok(())
}
