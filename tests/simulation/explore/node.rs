//! A controller of a small world, and what it knows.

use std::collections::BTreeMap;
use std::hash::Hash;

use ipam::api::Kind;
use ipam::ledger::{Id, Now, Seen, Write};

use super::form::{Form, Former};

use crate::controller::{Controller, Sent};
use crate::server::{Event, Server};

/// A controller, and what it knows.
#[derive(Clone)]
pub struct Node {
    pub controller: Controller,
    /// The last version of each object that it was told of, in whatever way.
    told: BTreeMap<Id, u64>,
    /// The watch that is late: that keeps silent while time passes, or whatever happens in a swift world.
    pub silent: Option<Kind>,
    /// The write whose reply is late.
    pub held: Option<u64>,
    /// None while it has to be worked out anew.
    pub form: Option<Form>,
}

/// A write, whichever its number is.
pub fn form_of_write(write: &Write) -> Form {
    let mut former = Former::default();
    (&write.subject, &write.uid).hash(&mut former);
    former.text(&format!("{:?}", write.act));
    former.form()
}

impl Node {
    /// One that knows nothing.
    pub fn new(fences: bool) -> Self {
        Self {
            controller: Controller::new(fences),
            told: BTreeMap::new(),
            silent: None,
            held: None,
            form: None,
        }
    }

    /// The next that the watch of a kind has to tell.
    pub fn next_event<'a>(&self, server: &'a Server, kind: Kind) -> Option<&'a Event> {
        server.log.get(&kind)?.get(self.controller.position(kind)?)
    }

    /// How much the watch of a kind has to tell.
    pub fn unheard(&self, server: &Server, kind: Kind) -> usize {
        let all = server.log.get(&kind).map_or(0, Vec::len);
        self.controller.position(kind).map_or(0, |at| all - at)
    }

    /// Notes that it has seen this.
    pub fn is_told(&mut self, seen: &Seen) {
        let version = self.told.entry(seen.id().clone()).or_default();
        *version = seen.meta().version.max(*version);
    }

    /// Whether an event is no news.
    pub fn knows(&self, event: &Event) -> bool {
        let (Event::Seen(seen) | Event::Deleted(seen)) = event;
        self.told.get(seen.id()).is_some_and(|version| seen.meta().version <= *version)
    }

    /// What it knows, and what it has under way.
    pub fn form(&mut self, now: Now) -> &Form {
        let form = self.form.take().unwrap_or_else(|| self.work_out(now));
        self.form.insert(form)
    }

    fn work_out(&self, now: Now) -> Form {
        let form_of_sent = |Sent { write, outcome }: &Sent| {
            let mut former = Former::default();
            (outcome.is_some(), self.held == Some(write.number)).hash(&mut former);
            former.text(&format!("{outcome:?}"));
            (Form::all([&form_of_write(write), &former.form()]), write.number)
        };
        let mut sent: Vec<(Form, u64)> = self.controller.sent.iter().map(form_of_sent).collect();
        sent.sort_unstable();
        let mut former = Former::default();
        (self.silent, self.controller.fences).hash(&mut former);
        self.controller.ledger.digest(now, sent.iter().map(|(_, number)| *number), &mut former);
        Form::all(std::iter::once(&former.form()).chain(sent.iter().map(|(form, _)| form)))
    }
}
