//! One write on its way: sent, timed and counted. Behaviour does not belong here.

use tokio::time::Instant;

use super::clock::wall;
use super::metrics::Metrics;
use crate::api::CapiVersion;
use crate::apply::{self, Applier, Reply};
use crate::ledger::{Act, Ledger, Outcome, Write};

/// Sends a write; a read in every version until one is served. That which was served a moment ago may not be any more, and
/// then its objects are there in another.
async fn carry_out(applier: &Applier, write: &Write, capi: CapiVersion) -> Reply {
    let reply = applier.carry_out(&apply::change(write, capi)).await;
    if reply != Reply::NotServed || !write.act.is_read() {
        return reply;
    }
    for &other in write.kind().versions().iter().filter(|&&version| version != capi) {
        match applier.carry_out(&apply::change(write, other)).await {
            Reply::NotServed => {}
            reply => return reply,
        }
    }
    reply
}

/// A write that is to be carried out.
pub(super) struct Errand {
    write: Write,
    capi: CapiVersion,
    /// It reads what is of a kind that is known not to be served: there is none.
    reads_nothing: bool,
    /// When the claim was made that has its first address once this write is done.
    waits_since: Option<i64>,
}

impl Errand {
    pub fn new(write: Write, capi: CapiVersion, ledger: &Ledger) -> Self {
        let binds = matches!(&write.act, Act::Publish { status, .. } if status.address.is_some());
        let waits_since = binds.then(|| ledger.waits_since(&write.subject)).flatten();
        let reads_nothing = write.act.is_read() && !ledger.is_served(write.kind());
        Self { write, capi, reads_nothing, waits_since }
    }

    /// Sends the write, and says what became of it.
    pub async fn run(self, applier: Applier, metrics: Metrics) -> (Write, Outcome) {
        let Self { write, capi, reads_nothing, waits_since } = self;
        let sent = Instant::now();
        let outcome = match carry_out(&applier, &write, capi).await {
            // Each of several API servers learns by itself which versions there are, so that there are none is for the watch to
            // say, and proves nothing before.
            Reply::NotServed if reads_nothing => Outcome::Gone,
            reply => apply::outcome(&write, reply),
        };
        metrics.took(&write.act, sent.elapsed());
        if let (Some(since), Outcome::Seen(_)) = (waits_since, &outcome) {
            metrics.bound_after(wall().as_second().saturating_sub(since));
        }
        (write, outcome)
    }
}
