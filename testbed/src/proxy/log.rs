//! What went through a proxy.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use super::Call;

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The request.
    pub call: Call,
    /// Whether a rule acted on it.
    pub faulted: bool,
    /// The HTTP status that the API server answered; `None` if it was not asked (yet), or did not answer.
    pub server_status: Option<u16>,
    /// The HTTP status that the client was given; `None` if there was none (yet).
    pub status: Option<u16>,
    /// When the request had been read.
    pub started: Instant,
    /// When its answer had been sent, or was given up; a watch ends with its last event.
    pub ended: Option<Instant>,
}

/// All requests, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Vec<Entry>>,
    changes: watch::Sender<()>,
}

impl Log {
    /// Notes a request; the note is closed when what is returned is dropped.
    pub(super) fn open(self: &Arc<Self>, call: Call, faulted: bool) -> Open {
        let started = Instant::now();
        let mut entries = self.entries();
        entries.push(Entry { call, faulted, server_status: None, status: None, started, ended: None });
        let index = entries.len() - 1;
        drop(entries);
        self.changes.send_replace(());
        Open { log: self.clone(), index }
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `condition` holds.
    pub(super) async fn until(&self, condition: impl Fn(&[Entry]) -> bool) {
        let mut changes = self.changes.subscribe();
        // Cannot fail while `self` has the sender.
        changes.wait_for(|()| condition(&self.entries())).await.ok();
    }
}

/// A request that is not over.
#[derive(Debug)]
pub(super) struct Open {
    log: Arc<Log>,
    index: usize,
}

impl Open {
    pub(super) fn answered_by_server(&self, status: u16) {
        self.change(|entry| entry.server_status = Some(status));
    }

    pub(super) fn answered(&self, status: u16) {
        self.change(|entry| entry.status = Some(status));
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        change(&mut self.log.entries()[self.index]);
        self.log.changes.send_replace(());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.change(|entry| entry.ended = Some(Instant::now()));
    }
}
