//! `-w`: what changes, as it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use ipam::api::{Family, Kind};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};

use crate::cluster::Cluster;
use crate::error::{Error, Kind as Failure};
use crate::output::{Cell, Output, Table, out};
use crate::world::Scope;

/// Rows are looked at again at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes whenever an object of these kinds changes. A watch wakes and does not inform: what is shown is read anew.
struct Changes(SelectAll<BoxStream<'static, Result<(), watcher::Error>>>);

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
            let resource = resource.described();
            let client = cluster.client.clone();
            let api: Api<DynamicObject> = match &scope.namespace {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            let events = watcher(api, watcher::Config::default()).default_backoff();
            // The end of a list wakes too: what changed between a look and the beginning of a watch is in neither.
            let changes = events.try_filter_map(async |event| {
                let is_news = matches!(
                    event,
                    watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone
                );
                Ok(is_news.then_some(()))
            });
            streams.push(changes.boxed());
        }
        Ok(Self(streams))
    }

    /// Waits for a change, and a little for those that come with it.
    async fn next(&mut self) -> Result<(), Error> {
        let lost = |error: watcher::Error| {
            Error::new(Failure::Failed, "cannot watch for changes").caused_by(error.to_string())
        };
        if let Some(change) = self.0.next().await {
            change.map_err(lost)?;
        }
        let more = async { while self.0.next().await.is_some() {} };
        drop(tokio::time::timeout(PAUSE, more).await);
        Ok(())
    }
}

/// Shows rows, and goes on to show those that change; each goes by its key.
pub async fn follow(
    cluster: &Cluster,
    scope: &Scope,
    output: &Output,
    empty: impl Fn() -> Table,
    look: impl AsyncFn() -> Result<Vec<(String, Vec<Cell>)>, Error>,
) -> Result<(), Error> {
    let mut changes = Changes::of(cluster, scope).await?;
    let (mut shown, mut first) = (Shown::default(), true);
    loop {
        let news = shown.news(empty(), look().await?);
        if !news.is_empty() {
            out(format_args!("{}", news.render(first && output.headers(), output.is_wide())));
            first = false;
        }
        changes.next().await?;
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
            if self.0.get(&key) != Some(&row) {
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
    }
}
