//! The certificate that admission is served with: made, shared among the replicas, renewed and trusted; or read from
//! files. What is due is decided in `plan`; here it is carried out.
//!
//! # Guarantees
//!
//! - Where the files `tls.crt` and `tls.key` exist, they are served, and neither Secret nor webhook configuration is
//!   touched; nor where they cannot be read.
//! - Any number of replicas may do this at once. The Secret's name is the lock of the first certificate, and its
//!   resource version that of each later one; whoever comes late uses what is there.
//! - Clients trust an authority before anything that it signed is served, but for the moment after everything was lost.
//! - No key is ever logged.

mod plan;
mod secret;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::sync::watch;

use plan::{Due, Stored, due, renewed};

use super::REQUEST_TIMEOUT;
use super::clock::Clock;
use crate::admission::Task;
use crate::admission::pki::{self, Pair};
use crate::api::{MUTATING_WEBHOOKS, SYSTEM_NAMESPACE, VALIDATING_WEBHOOKS, WEBHOOK_SECRET, WEBHOOK_SERVICE};
use crate::apply::{Applier, Change, Reply, Target};

/// Where certificates are from, and who has to trust them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOptions {
    /// Folder of `tls.crt` and `tls.key`; where they are not there, certificates are made.
    pub folder: Option<PathBuf>,
    /// Namespace of the Secret and of the Service.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// DNS names and addresses that admission is reached under.
    pub names: Vec<String>,
    /// Names of the webhook configurations that have to trust what is made: of the defaults and of the rules.
    pub configurations: [String; 2],
    /// How often the Secret and the webhook configurations are looked at; files, every five seconds at least.
    pub every: Duration,
}

impl CertificateOptions {
    /// As the shipped manifests have it, but for the namespace.
    pub fn shipped(namespace: &str) -> Self {
        let service = format!("{WEBHOOK_SERVICE}.{namespace}");
        Self {
            folder: None,
            namespace: namespace.to_owned(),
            secret: WEBHOOK_SECRET.to_owned(),
            names: vec![format!("{service}.svc"), format!("{service}.svc.cluster.local"), service],
            configurations: [MUTATING_WEBHOOKS.to_owned(), VALIDATING_WEBHOOKS.to_owned()],
            every: Duration::from_mins(1),
        }
    }
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self::shipped(SYSTEM_NAMESPACE)
    }
}

/// How often the files are read, at least.
const FILES: Duration = Duration::from_secs(5);
/// How soon what failed is tried again at first; twice as late each time, up to the usual time.
const AGAIN: Duration = Duration::from_secs(5);
/// How often in a row another replica may be faster before this one waits.
const RACES: usize = 5;

/// Keeps a certificate ready, for ever. The receiver shows it, and each that takes its place.
pub fn keep(client: Client, options: CertificateOptions) -> watch::Receiver<Option<Pair>> {
    let (served, receiver) = watch::channel(None);
    let applier = Applier::new(client, "ipam-controller", REQUEST_TIMEOUT);
    let (from_files, complaint) = (false, None);
    let keeper = Keeper { applier, options, clock: Clock::start(), served, from_files, complaint };
    tokio::spawn(keeper.work());
    receiver
}

struct Keeper {
    applier: Applier,
    options: CertificateOptions,
    clock: Clock,
    served: watch::Sender<Option<Pair>>,
    /// There were files.
    from_files: bool,
    /// What was wrong with the files when they were last read.
    complaint: Option<String>,
}

/// Why a look at the objects came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot {what} the {kind} `{name}`: {why}")]
    Reply { what: &'static str, kind: &'static str, name: String, why: String },
    #[error("another replica was faster {RACES} times in a row")]
    Races,
    #[error("there is no namespace `{0}` for the certificates of admission")]
    NoNamespace(String),
    #[error(transparent)]
    Made(#[from] pki::Error),
}

impl Keeper {
    /// Ends when nobody uses the certificates any more.
    async fn work(mut self) {
        let tick = self.options.every.min(FILES);
        let (mut failures, mut next) = (0, Duration::ZERO);
        loop {
            let now = self.clock.now().elapsed;
            if !self.goes_by_files().await && now >= next {
                failures = if self.look().await { 0 } else { failures + 1 };
                next = now + self.pause(failures);
            }
            tokio::select! {
                () = tokio::time::sleep(tick) => {}
                () = self.served.closed() => return,
            }
        }
    }

    /// Reads the files; true where they are what is served, or has to be.
    async fn goes_by_files(&mut self) -> bool {
        let complaint = match files(self.options.folder.as_deref()).await {
            Ok(Some(pair)) => {
                self.from_files = true;
                self.show(pair, "the files");
                None
            }
            // Once there were files, what was read of them stays good while they are being replaced.
            Ok(None) => return self.from_files,
            // Whoever put files there wants them served, and nothing else.
            Err(why) => Some(why),
        };
        if let Some(why) = complaint.as_ref().filter(|_| complaint != self.complaint) {
            tracing::warn!("the certificate of admission cannot be read from its files: {why}");
        }
        self.complaint = complaint;
        true
    }

    /// How long until the next look, after this many in a row have failed.
    fn pause(&self, failures: u32) -> Duration {
        match failures {
            0 => self.options.every,
            _ => self.options.every.min(AGAIN.saturating_mul(1 << (failures - 1).min(8))),
        }
    }

    /// One look at what is stored and at who trusts it; true if all is as it should be.
    async fn look(&self) -> bool {
        let stored = match self.stored().await {
            Ok(stored) => stored,
            Err(failure) => {
                let cause = std::error::Error::source(&failure).map(tracing::field::display);
                tracing::warn!(error = %failure, cause, "the certificate of admission cannot be kept; it is tried again");
                return false;
            }
        };
        let bundle = stored.bundle();
        let [mutating, validating] = &self.options.configurations;
        let mut trusted = true;
        for (task, name) in [(Task::Mutate, mutating), (Task::Validate, validating)] {
            let target = secret::configuration(task, name);
            if let Err(failure) = self.make_trust(target, &bundle).await {
                tracing::warn!(error = %failure, "the API server may not trust admission yet; it is tried again");
                trusted = false;
            }
        }
        self.show(stored.serving, "the Secret");
        trusted
    }

    fn show(&self, pair: Pair, source: &str) {
        let changed = self.served.send_if_modified(|shown| {
            let new = shown.as_ref() != Some(&pair);
            *shown = Some(pair);
            new
        });
        if changed {
            tracing::info!("admission has a certificate, from {source}");
        }
    }

    /// What is stored, after what is due was done.
    async fn stored(&self) -> Result<Stored, Failure> {
        let target = secret::secret(&self.options.namespace, &self.options.secret);
        let names = &self.options.names;
        for _ in 0..RACES {
            let object = self.read(target.clone()).await?;
            let stored = object.as_ref().and_then(secret::read);
            let now = self.clock.now().wall;
            let due = due(stored.as_ref(), names, now);
            let new = match (renewed(due, stored.as_ref(), names, now)?, stored) {
                (Some(new), _) => new,
                (None, Some(stored)) => return Ok(stored),
                (None, None) => continue,
            };
            let change = match &object {
                Some(old) => secret::replace(target.clone(), old, &new),
                None => secret::create(target.clone(), &new),
            };
            match self.applier.carry_out(&change).await {
                Reply::Object(_) => {
                    tracing::info!(secret = %target.name, renewed = said(due), "certificates were made");
                    return Ok(new);
                }
                // Only for want of a namespace is a creation answered so.
                Reply::NotFound if object.is_none() => {
                    return Err(Failure::NoNamespace(target.namespace));
                }
                Reply::AlreadyExists | Reply::GuardFailed { .. } | Reply::NotFound | Reply::Deleted => {}
                reply => return Err(failure("write", &target, reply)),
            }
        }
        Err(Failure::Races)
    }

    async fn make_trust(&self, target: Target, bundle: &str) -> Result<(), Failure> {
        let Some(configuration) = self.read(target.clone()).await? else {
            tracing::debug!(name = %target.name, "there is no such webhook configuration");
            return Ok(());
        };
        let Some(change) = secret::trust(target.clone(), &configuration, bundle) else { return Ok(()) };
        match self.applier.carry_out(&change).await {
            Reply::Object(_) => {
                tracing::info!(kind = target.resource.kind, name = %target.name, "its webhooks trust our certificates");
                Ok(())
            }
            reply => Err(failure("patch", &target, reply)),
        }
    }

    async fn read(&self, target: Target) -> Result<Option<Value>, Failure> {
        match self.applier.carry_out(&Change::Read { target: target.clone() }).await {
            Reply::Object(object) => Ok(Some(*object)),
            Reply::NotFound => Ok(None),
            reply => Err(failure("read", &target, reply)),
        }
    }
}

fn said(due: Due) -> &'static str {
    match due {
        Due::Nothing => "nothing",
        Due::Serving => "serving certificate",
        Due::Authority => "authority",
        Due::Everything => "authority and serving certificate",
    }
}

fn failure(what: &'static str, target: &Target, reply: Reply) -> Failure {
    let why = match reply {
        Reply::GuardFailed { message }
        | Reply::Refused { message, .. }
        | Reply::NotNow { message, .. }
        | Reply::Unknown { message } => message,
        Reply::NotFound | Reply::NotServed | Reply::Deleted => "it is gone".to_owned(),
        Reply::AlreadyExists => "it exists already".to_owned(),
        // Whoever calls has taken an object for a success.
        Reply::Object(_) => "the answer was not expected".to_owned(),
    };
    Failure::Reply { what, kind: target.resource.kind, name: target.name.clone(), why }
}

/// The certificate in a folder, where both files are there; or why they cannot be read.
async fn files(folder: Option<&Path>) -> Result<Option<Pair>, String> {
    let Some(folder) = folder else { return Ok(None) };
    let (certificate, key) = (file(folder.join("tls.crt")).await?, file(folder.join("tls.key")).await?);
    Ok(certificate.zip(key).map(|(certificate, key)| Pair { certificate, key }))
}

async fn file(path: PathBuf) -> Result<Option<String>, String> {
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("`{}`: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn files_that_cannot_be_read_are_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let untouched = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, Infallible>(http::Response::new(kube::client::Body::empty()))
        });
        let (served, shown) = watch::channel(None);
        let mut keeper = Keeper {
            applier: Applier::new(Client::new(untouched, "default"), "tests", REQUEST_TIMEOUT),
            options: CertificateOptions {
                folder: Some(folder.path().to_owned()),
                ..CertificateOptions::default()
            },
            clock: Clock::start(),
            served,
            from_files: false,
            complaint: None,
        };
        assert!(!keeper.goes_by_files().await);
        // As good as one that may not be read, which nothing is to root.
        std::fs::create_dir(place("tls.crt")).unwrap();
        assert!(keeper.goes_by_files().await && shown.borrow().is_none());
        let complaint = keeper.complaint.clone().unwrap();
        assert!(complaint.contains("tls.crt`: "), "{complaint}");
        std::fs::remove_dir(place("tls.crt")).unwrap();
        assert!(!keeper.goes_by_files().await);
        for name in ["tls.crt", "tls.key"] {
            std::fs::write(place(name), name).unwrap();
        }
        assert!(keeper.goes_by_files().await && shown.borrow().is_some());
        assert_eq!(keeper.complaint, None);
    }

    #[tokio::test]
    async fn files_are_served_as_they_are_and_again_when_they_change_and_nobody_is_asked() {
        let untouched = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
            assert_eq!(request.uri().path(), "", "no request is expected");
            Ok::<_, Infallible>(http::Response::new(kube::client::Body::empty()))
        });
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("tls.crt", "one");
        write("tls.key", "key");
        let options = CertificateOptions {
            folder: Some(folder.path().to_owned()),
            every: Duration::from_millis(5),
            ..CertificateOptions::default()
        };
        let mut served = keep(Client::new(untouched, "default"), options);
        let pair = |certificate: &str| Some(Pair { certificate: certificate.into(), key: "key".into() });
        served.wait_for(|shown| *shown == pair("one")).await.unwrap();
        write("tls.crt", "two");
        served.wait_for(|shown| *shown == pair("two")).await.unwrap();
        // A file that is away for a moment changes nothing.
        std::fs::remove_file(folder.path().join("tls.key")).unwrap();
        write("tls.crt", "three");
        write("tls.key", "key");
        served.wait_for(|shown| *shown == pair("three")).await.unwrap();
    }
}
