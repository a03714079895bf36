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
    pins::{CLUSTERCTL, CONTROL_PLANE, Modules, major_minor, pins},
};

/// What a program is built from, and how.
struct Recipe {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    modules: Modules,
    link_flags: String,
    /// The folder of the cache that it is kept in.
    shelf: PathBuf,
}

/// The program from an earlier build, if there was one.
pub(super) fn built(tool: Tool) -> Option<PathBuf> {
    Recipe::of(tool).built()
}

/// All of [`Tool::ALL`], of which `found` was there already; the others are built.
pub(super) fn missing(found: Vec<Option<PathBuf>>) -> Result<Vec<PathBuf>, Error> {
    let _lock = found.iter().any(Option::is_none).then(|| lock(&cache_dir())).transpose()?;
    let complete = |(tool, found): (Tool, Option<PathBuf>)| match found {
        Some(path) => Ok(path),
        // Another process may have built it while this one waited for the lock.
        None => built(tool).map_or_else(|| Recipe::of(tool).build(), Ok),
    };
    Tool::ALL.into_iter().zip(found).map(complete).collect()
}

/// Cluster API's command line, of the pinned release.
pub(super) fn clusterctl() -> Result<PathBuf, Error> {
    let recipe = Recipe::of_clusterctl();
    if let Some(path) = recipe.built() {
        return Ok(path);
    }
    let _lock = lock(&cache_dir())?;
    recipe.built().map_or_else(|| recipe.build(), Ok)
}

impl Recipe {
    fn of(tool: Tool) -> Self {
        let link_flags = link_flags("k8s.io/component-base/version", &pins().kubernetes);
        let releases = format!("kubernetes-{}-etcd-{}", pins().kubernetes, pins().etcd);
        Self {
            name: tool.name(),
            version: tool.version(),
            package: tool.package(),
            modules: CONTROL_PLANE,
            shelf: cache_dir().join(format!("{releases}-{}", CONTROL_PLANE.fingerprint(&link_flags))),
            link_flags,
        }
    }

    fn of_clusterctl() -> Self {
        let version = &pins().clusterctl;
        let link_flags = link_flags("sigs.k8s.io/cluster-api/version", version);
        Self {
            name: "clusterctl",
            version,
            package: "sigs.k8s.io/cluster-api/cmd/clusterctl",
            modules: CLUSTERCTL,
            shelf: cache_dir().join(format!("clusterctl-{version}-{}", CLUSTERCTL.fingerprint(&link_flags))),
            link_flags,
        }
    }

    fn built(&self) -> Option<PathBuf> {
        executable(&self.shelf, self.name)
    }

    fn build(&self) -> Result<PathBuf, Error> {
        let label = format!("{} {}", self.name, self.version);
        let workshop = cache_dir().join("building");
        self.modules.write(&workshop)?;
        go::check(&workshop, &label)?;

        let fetching = Step::start(format!("fetching the modules of {label}"));
        // Listing what it is made of fetches exactly that, and tells how long the way is.
        let packages = go::fetch(&workshop, &["list", "-deps", self.package], &label)?;
        fetching.done(format!("fetched the modules of {label}"));

        let building = Step::start(format!("building {label} (the first build takes minutes)"));
        building.set_length(packages.split(|byte| *byte == b'\n').count() as u64);
        let product = workshop.join(self.name);
        go::build(&workshop, self.package, &product, &self.link_flags, self.name, || building.advance())?;
        fs::create_dir_all(&self.shelf).map_err(Error::file("create", &self.shelf))?;
        let path = self.shelf.join(self.name);
        fs::rename(&product, &path).map_err(Error::file("create", &path))?;
        building.done(format!("built {label}"));
        Ok(path)
    }
}

/// Kubernetes' programs learn their version from the linker; without this they say v0.0.0, and clients refuse them.
fn link_flags(package: &str, version: &str) -> String {
    let (major, minor) = major_minor(version).expect("the module files pin versions");
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
            let waiting = Step::start("waiting for another process that builds programs");
            file.lock().map_err(Error::file("lock", &path))?;
            waiting.done("waited for another process");
        }
        Err(TryLockError::Error(source)) => return Err(Error::File { action: "lock", path, source }),
    }
    Ok(file)
}

impl Modules {
    fn write(&self, workshop: &Path) -> Result<(), Error> {
        fs::create_dir_all(workshop).map_err(Error::file("create", workshop))?;
        for (name, content) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            let path = workshop.join(name);
            fs::write(&path, content).map_err(Error::file("write", path))?;
        }
        Ok(())
    }
}
