//! The question to the controller's loop: who holds an address right now?

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::addr::AddressSet;
use crate::ledger::Id;

/// How long an answer is waited for: less than the API server waits for ours.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many questions may wait; each is an edit of a pool.
const WAITING: usize = 64;

/// Which addresses of a pool, among these, somebody holds.
#[derive(Debug)]
pub struct Question {
    /// The pool.
    pub pool: Id,
    /// The addresses that are asked about.
    pub within: AddressSet,
    /// Takes the held ones, in order. It is dropped where that is not known yet.
    pub answer: oneshot::Sender<Vec<IpAddr>>,
}

/// Asks the controller's loop, which alone knows.
#[derive(Clone, Debug)]
pub struct Live {
    questions: mpsc::Sender<Question>,
}

impl Live {
    /// The end that asks, and the one that the loop answers from.
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(WAITING);
        (Self { questions }, asked)
    }

    /// The addresses of `pool` among `within` that somebody holds; `None` where that is not known, because the
    /// controller has not listed all objects yet, or does not answer.
    pub async fn held(&self, pool: Id, within: AddressSet) -> Option<Vec<IpAddr>> {
        let (answer, answered) = oneshot::channel();
        let question = Question { pool, within, answer };
        let asked = async {
            self.questions.send(question).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }
}
