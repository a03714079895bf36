//! A controller of a small world, and what it knows.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use ipam::api::Kind;
use ipam::ledger::{Config, Id, Now, Outcome, Seen, Uid, Write};

use super::form::{Form, Former};

use crate::controller::{Controller, Sent};
use crate::server::{Event, KINDS, Server};

/// A pool's status decides nothing for its claims: it is written at the beginning, and when all else is done.
fn config() -> Config {
    Config { status_interval: Duration::from_hours(1), ..Config::default() }
}

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
            controller: Controller::configured(fences, config()),
            told: BTreeMap::new(),
            silent: None,
            held: None,
            form: None,
        }
    }

    /// What the watch of a kind has to tell; `None` before its list.
    pub fn unheard<'a>(&self, server: &'a Server, kind: Kind) -> Option<&'a [Event]> {
        let log = server.log.get(&kind).map_or(&[][..], Vec::as_slice);
        log.get(self.controller.position(kind)?..)
    }

    /// The next of it.
    pub fn next_event<'a>(&self, server: &'a Server, kind: Kind) -> Option<&'a Event> {
        self.unheard(server, kind)?.first()
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

    /// The objects that its watches or the replies to its writes may still show; what has ended stays so.
    fn may_be_shown<'a>(&'a self, server: &'a Server) -> Vec<&'a Uid> {
        let unheard = KINDS.into_iter().filter_map(|kind| self.unheard(server, kind)).flatten();
        let unheard = unheard.map(|(Event::Seen(seen) | Event::Deleted(seen))| &seen.meta().uid);
        let replies = self.controller.sent.iter().filter_map(|sent| match &sent.outcome {
            Some(Outcome::Seen(seen)) => Some(&seen.meta().uid),
            _ => None,
        });
        let alive = server.objects.values().map(|object| &object.seen.meta().uid);
        unheard.chain(replies).chain(alive).collect()
    }

    /// What it knows, and what it has under way.
    pub fn form(&mut self, now: Now, server: &Server) -> &Form {
        let form = self.form.take().unwrap_or_else(|| self.work_out(now, server));
        self.form.insert(form)
    }

    fn work_out(&self, now: Now, server: &Server) -> Form {
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
        let may_show = self.may_be_shown(server);
        let under_way = sent.iter().map(|(_, number)| *number);
        self.controller.ledger.digest(now, under_way, |uid| may_show.contains(&uid), &mut former);
        Form::all(std::iter::once(&former.form()).chain(sent.iter().map(|(form, _)| form)))
    }
}
