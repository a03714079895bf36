//! A control plane: what it is made of, how it starts and how it ends.

mod access;
mod etcd;
mod kubeconfig;
mod kubectl;
mod layout;
mod pki;
mod ports;
mod recipes;
mod server;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use rustix::process::Signal;
use tokio::sync::OnceCell;

use self::{kubeconfig::Credentials, layout::Layout, recipes::Recipes, server::Server};
use crate::{
    Binaries, Error, Tool,
    leash::{KEEP, Leash},
    wait::{PATIENCE, until},
};

pub use etcd::Stored;
pub(crate) use kubeconfig::{config, kubeconfig_text};
pub use ports::free as free_port;

/// How often new ports are tried when somebody takes the chosen ones meanwhile.
const ATTEMPTS: usize = 5;

/// What a control plane should be like. The default is what tests want.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run kube-controller-manager: garbage collection, the end of namespaces, aggregated roles. It looks for new kinds
    /// twice a minute; [`ControlPlane::restart`] makes it do so at once. Default: yes.
    pub controller_manager: bool,
    /// Let etcd wait for the disk after each write. Default: no; nothing here has to survive the machine.
    pub fsync: bool,
    /// Further arguments of kube-apiserver, as `--name=value`.
    pub apiserver_arguments: Vec<String>,
    /// The folder for its files, which must not exist and is removed at the end. Default: one in the folder for
    /// temporary files.
    pub dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controller_manager: true, fsync: false, apiserver_arguments: Vec::new(), dir: None }
    }
}

impl Options {
    /// One whose store forgets nothing of what happened, however long ago.
    pub fn with_history() -> Self {
        Self { apiserver_arguments: vec!["--etcd-compaction-interval=0".to_owned()], ..Self::default() }
    }
}

/// A process of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

impl Component {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];

    /// The program that it runs.
    pub const fn tool(self) -> Tool {
        match self {
            Self::Etcd => Tool::Etcd,
            Self::ApiServer => Tool::KubeApiserver,
            Self::ControllerManager => Tool::KubeControllerManager,
        }
    }
}

/// A running control plane, with RBAC on, reachable on 127.0.0.1 only.
///
/// # Guarantees
/// - Dropping it ends its processes and removes its files. So does the end of this process, however it ends, SIGKILL
///   included. (A start that fails leaves its folder, as the error names a log in it.)
/// - URLs, credentials and data stay the same over [`restart`](Self::restart).
/// - It may be used from any runtime, and from several at once.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: first the processes, then the leash, which removes their folder.
    servers: Mutex<[Option<Server>; 3]>,
    leash: Leash,
    layout: Layout,
    recipes: Recipes,
    binaries: Binaries,
    credentials: Credentials,
}

impl ControlPlane {
    /// Starts a control plane, and waits until it serves requests and has its `default` namespace. Makes the programs
    /// first if need be (see [`Binaries::ensure`]). kube-controller-manager is started, but not waited for.
    ///
    /// # Errors
    /// Those of [`Binaries::ensure`]; a component that ends or does not get ready in a minute.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let found = tokio::task::spawn_blocking(Binaries::ensure).await;
        let binaries = found.unwrap_or_else(|join| std::panic::resume_unwind(join.into_panic()))?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&binaries, &options).await {
                Err(Error::PortTaken { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    /// The control plane that all tests of this process share; the first call starts it. It ends with the process.
    ///
    /// # Errors
    /// Those of [`start`](Self::start); the next call tries again.
    pub async fn shared() -> Result<Arc<Self>, Error> {
        static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async { Self::start(Options::with_history()).await.map(Arc::new) })
            .await
            .cloned()
    }

    async fn start_once(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let dir = make_dir(options.dir.as_deref())?;
        let leash =
            Leash::new(Some(&dir)).map_err(|source| Error::Run { program: "/bin/sh".into(), source })?;
        let layout = Layout::new(dir);
        let credentials = pki::write(&layout)?;
        let recipes = Recipes::new(binaries, &layout, options)?;
        let text = kubeconfig_text(&recipes.api_url(), Some(&layout.ca()), &credentials.token);
        pki::write_private(&layout.admin_kubeconfig(), &text)?;
        let servers = Mutex::default();
        let plane = Self { servers, leash, layout, recipes, binaries: binaries.clone(), credentials };
        plane.start_all().await.inspect_err(|error| plane.keep_logs(error))?;
        Ok(plane)
    }

    async fn start_all(&self) -> Result<(), Error> {
        for component in Component::ALL {
            if let Some(recipe) = self.recipes.of(component) {
                self.servers()[component as usize] = Some(Server::start(&self.leash, recipe.clone())?);
                self.until_ready(component).await?;
            }
        }
        self.check()
    }

    /// An error if a component has ended by itself.
    ///
    /// # Errors
    /// [`Error::Ended`] with the end of its log.
    pub fn check(&self) -> Result<(), Error> {
        self.servers().iter_mut().flatten().try_for_each(Server::check)
    }

    /// Starts a client of this control plane, a controller for example, which ends with it at the latest: by then it is
    /// killed, however this process ends. The caller reaps it.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn spawn(&self, client: &mut Command) -> io::Result<Child> {
        self.leash.spawn(client)
    }

    /// The process of a component; `None` while it is not there.
    pub fn pid(&self, component: Component) -> Option<u32> {
        self.servers()[component as usize].as_ref().map(Server::pid)
    }

    /// Kills a component (SIGKILL); it stays away until [`restart`](Self::restart).
    pub fn kill(&self, component: Component) {
        let killed = self.servers()[component as usize].take();
        drop(killed);
    }

    /// Kills a component if it is there, starts it again with the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// As for [`start`](Self::start); [`Error::PortTaken`] where somebody has taken the port meanwhile.
    pub async fn restart(&self, component: Component) -> Result<(), Error> {
        self.kill(component);
        if let Some(recipe) = self.recipes.of(component) {
            self.servers()[component as usize] = Some(Server::start(&self.leash, recipe.clone())?);
        }
        self.until_ready(component).await
    }

    /// Stops a component (SIGSTOP): its connections stay open, and nothing is answered.
    pub fn pause(&self, component: Component) {
        self.signal(component, Signal::STOP);
    }

    /// Lets a stopped component go on (SIGCONT).
    pub fn resume(&self, component: Component) {
        self.signal(component, Signal::CONT);
    }

    fn signal(&self, component: Component, signal: Signal) {
        if let Some(server) = &mut self.servers()[component as usize] {
            server.signal(signal);
        }
    }

    async fn until_ready(&self, component: Component) -> Result<(), Error> {
        let ready = until(PATIENCE, || async {
            let failure = self.servers()[component as usize].as_mut().and_then(|server| server.check().err());
            match failure {
                Some(error) => Some(Err(error)),
                None => self.answers(component).await.then_some(Ok(())),
            }
        });
        match ready.await {
            Some(result) => result,
            None => Err(self.not_ready(component)),
        }
    }

    async fn answers(&self, component: Component) -> bool {
        match component {
            Component::Etcd => kubeconfig::answers(self.recipes.etcd_config(), "/health").await,
            Component::ApiServer => {
                let client = self.client();
                client.request_text(kubeconfig::get("/readyz")).await.is_ok()
                    && Api::<Namespace>::all(client).get("default").await.is_ok()
            }
            // It serves nothing that could be asked.
            Component::ControllerManager => true,
        }
    }

    fn not_ready(&self, component: Component) -> Error {
        let servers = self.servers();
        servers[component as usize].as_ref().map_or_else(
            || Error::NeverHappened { what: format!("{} to be there", component.tool().name()), seconds: 0 },
            |server| server.not_ready(PATIENCE.as_secs()),
        )
    }

    /// Keeps the folder where `error` refers to a log in it.
    pub(crate) fn keep_logs(&self, error: &Error) {
        if matches!(error, Error::Ended { .. } | Error::NotReady { .. }) {
            fs::write(self.layout.dir().join(KEEP), "").ok();
        }
    }

    fn servers(&self) -> MutexGuard<'_, [Option<Server>; 3]> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_dir(wanted: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(dir) = wanted else {
        let parent = std::env::temp_dir();
        let made = tempfile::Builder::new().prefix("testbed-").tempdir_in(&parent);
        return Ok(made.map_err(Error::file("create a folder in", parent))?.keep());
    };
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(Error::file("create", dir))?;
    Ok(dir.to_owned())
}
