//! `-w`: what changes, as it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use ipam::api::{Family, GROUP, Kind};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;

use crate::cluster::Cluster;
use crate::error::{Asked, Error, Kind as Failure};
use crate::lasting::{self, Said};
use crate::output::{Cell, Output, Table, out};
use crate::ui::Ui;
use crate::world::Scope;

/// Rows are looked at again at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// What wakes: a change, or trouble with a watch.
type Wake = Result<Option<String>, Error>;

/// Wakes whenever an object of these kinds changes. A watch wakes and does not inform: what is shown is read anew.
struct Changes(SelectAll<BoxStream<'static, Wake>>);

impl Changes {
    /// Watches pools, claims and addresses of both families.
    async fn of(cluster: &Cluster, scope: &Scope) -> Result<Self, Error> {
        let mut streams = SelectAll::new();
        let kinds = Family::ALL
            .map(Kind::Claim)
            .into_iter()
            .chain(Family::ALL.map(Kind::Address))
            .chain([Kind::Pool]);
        for kind in kinds {
            let Some(resource) = cluster.resource(kind).await? else { continue };
            let full = format!("{}.{}", resource.plural, resource.group);
            let asked = Asked { verb: "watch", resource: full, namespace: scope.namespace.clone() };
            let resource = resource.described();
            let client = cluster.client.clone();
            let api: Api<DynamicObject> = match &scope.namespace {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            let events = lasting::events(api, watcher::Config::default(), asked);
            // What is shown without a kind of Cluster API's, as its absence is told of, goes on without its changes.
            let is_ours = kind.group() == GROUP;
            streams.push(events.filter_map(move |said| std::future::ready(wake(said, is_ours))).boxed());
        }
        Ok(Self(streams))
    }

    /// Waits for a change, and a little for those that come with it.
    async fn next(&mut self, troubles: &mut Troubles<'_>) -> Result<(), Error> {
        while let Some(wake) = self.0.next().await {
            match wake? {
                None => break,
                Some(why) => troubles.say(&why),
            }
        }
        let more = async { while self.0.next().await.is_some() {} };
        drop(tokio::time::timeout(PAUSE, more).await);
        Ok(())
    }
}

fn wake(said: Result<Said, Error>, is_needed: bool) -> Option<Wake> {
    match said {
        // The end of a list wakes too: what changed between a look and the beginning of a watch is in neither.
        Ok(Said::Event(event)) => {
            let is_old = matches!(*event, watcher::Event::Init | watcher::Event::InitApply(_));
            (!is_old).then_some(Ok(None))
        }
        Ok(Said::Trouble(why)) => Some(Ok(Some(why))),
        Err(error) if is_needed => Some(Err(error)),
        Err(error) => Some(Ok(Some(error.line()))),
    }
}

/// Says why nothing new can be seen at the moment, once for each reason.
struct Troubles<'a> {
    ui: &'a Ui,
    said: BTreeSet<String>,
}

impl Troubles<'_> {
    fn say(&mut self, why: &str) {
        if self.said.insert(why.to_owned()) {
            self.ui.say(&format!("nothing new can be seen at the moment: {why}"));
        }
    }
}

/// Shows rows, and goes on to show those that change; each goes by its key.
pub async fn follow(
    ui: &Ui,
    cluster: &Cluster,
    scope: &Scope,
    output: &Output,
    empty: impl Fn() -> Table,
    look: impl AsyncFn() -> Result<Vec<(String, Vec<Cell>)>, Error>,
) -> Result<(), Error> {
    if !output.is_table() {
        return Err(Error::new(Failure::Usage, "-w shows a table")
            .hint("without -w, -o json, yaml or name show what there is now"));
    }
    let mut changes = Changes::of(cluster, scope).await?;
    let (mut shown, mut headed, mut looked) = (Shown::default(), false, false);
    let mut troubles = Troubles { ui, said: BTreeSet::new() };
    loop {
        let rows = match look().await {
            Err(error) if error.may_pass() && looked => {
                troubles.say(&error.line());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            rows => rows?,
        };
        looked = true;
        troubles.said.clear();
        let news = shown.news(empty(), rows);
        if !news.is_empty() {
            out(format_args!("{}", news.render(!headed && output.headers(), output.is_wide())));
            headed = true;
        }
        changes.next(&mut troubles).await?;
    }
}

/// What was shown last, so that only what is new is shown again, as `kubectl get -w` does.
#[derive(Default)]
struct Shown(BTreeMap<String, Vec<Cell>>);

impl Shown {
    /// A table of those rows that are not as they were; each row goes by its key.
    fn news(&mut self, empty: Table, rows: Vec<(String, Vec<Cell>)>) -> Table {
        let mut news = empty;
        let mut now = BTreeMap::new();
        for (key, row) in rows {
            let same = |before: &Vec<Cell>| {
                before.len() == row.len() && row.iter().zip(before).all(|(now, then)| now.says_the_same(then))
            };
            if !self.0.get(&key).is_some_and(same) {
                news.row(row.clone());
            }
            now.insert(key, row);
        }
        self.0 = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_changed_are_shown_again() {
        let mut shown = Shown::default();
        let row = |used: &str| ("p".to_owned(), vec![Cell::from("p"), Cell::from(used)]);
        let mut news = |used| shown.news(Table::new(&["POOL", "USED"]), vec![row(used)]).render(false, false);
        assert_eq!(news("1"), "p   1\n");
        assert_eq!(news("1"), "");
        assert_eq!(news("2"), "p   2\n");
        let mut aged = |age: &str| {
            let row = ("q".to_owned(), vec![Cell::from("q"), Cell::age(age)]);
            shown.news(Table::new(&["CLAIM", "AGE"]), vec![row]).render(false, false)
        };
        assert_eq!(aged("1s"), "q   1s\n");
        assert_eq!(aged("2s"), "");
    }
}
