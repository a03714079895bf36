//! Steps in words.

use ipam::ledger::Outcome;

use super::state::{State, Step};
use crate::controller::Sent;
use crate::server::nth;

impl State {
    /// What a step means, in words.
    pub fn tell(&self, step: Step) -> String {
        let sent = |which: usize, at: usize| {
            let Sent { write, outcome } = &self.nodes[which].controller.sent[at];
            let outcome = outcome.as_ref().map(brief).unwrap_or_default();
            format!("[{which}] {} for {}{outcome}", write.act, write.subject)
        };
        match step {
            Step::Hear(which, kind) => format!("[{which}] hears of {kind:?}"),
            Step::Decide(which) => format!("[{which}] decides"),
            Step::Execute(which, at) => format!("the server executes {}", sent(which, at)),
            Step::Reply(which, at) => format!("the reply arrives: {}", sent(which, at)),
            Step::Delay(which, at) => format!("given up, and late: {}", sent(which, at)),
            Step::Hold(which, at) => {
                format!("the server executes, and the reply is late: {}", sent(which, at))
            }
            Step::Lag(which, kind, change) => {
                let from = change.map(|change| format!(": {}", self.tell(change.step()))).unwrap_or_default();
                format!("[{which}] hears late of {kind:?} from here on{from}")
            }
            Step::Land(at) => format!("late: {} for {}", self.late[at].act, self.late[at].subject),
            Step::Crash(which) => format!("[{which}] crashes"),
            Step::People => format!("people: {:?}", self.world.people[self.done]),
            Step::Pass => format!("time passes after {:?}", self.now),
        }
    }
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Seen(seen) => format!(": seen at {}", nth(seen.meta().version)),
        other => format!(": {other:?}"),
    }
}
