//! Waiting for what the controller does.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use futures::TryStreamExt;
use ipam::api::Kind as ObjectKind;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::cluster::{Cluster, not_installed};
use crate::error::{Asked, Error, Kind};
use crate::lasting::{self, Said};
use crate::output::some_of;
use crate::ui::{Progress, Ui};
use crate::world::Raw;

/// Flags of every command that waits.
#[derive(Args, Clone, Debug)]
pub struct Waiting {
    /// Wait for the result
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, hide_default_value = true)]
    wait: bool,
    /// How long to wait, such as 60s or 5m; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
}

/// Reads a time span as kubectl does: `60s`, `5m`, `1h`, `1m30s`, `250ms`, or a bare number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration such as 60s or 5m".to_owned();
    let (mut rest, mut total) = (text, Duration::ZERO);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = &rest[digits..];
        let letters = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let scale = match &unit[..letters] {
            "ms" => Duration::from_millis(1),
            "s" | "" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(wrong()),
        };
        let part =
            u32::try_from(number).ok().and_then(|number| scale.checked_mul(number)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &unit[letters..];
    }
    Ok(total)
}

/// What a look at an object says.
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet, and why.
    NotYet(Option<String>),
    /// It will never be, and why.
    Never(String),
}

/// The objects that are waited for, what becomes of each, and how that is told.
pub struct Awaited<'a> {
    pub kind: ObjectKind,
    pub names: &'a [String],
    /// What is waited for, by an object's name.
    pub what: &'a dyn Fn(&str) -> String,
}

impl Waiting {
    /// Whether to wait at all.
    pub fn wanted(&self) -> bool {
        self.wait
    }

    /// Watches objects until `look` is satisfied with each, and hands what it found to `done`. While it is not, what
    /// it says is told on stderr when it changes.
    pub async fn until_each<T>(
        &self,
        cluster: &Cluster,
        awaited: &Awaited<'_>,
        ui: &Ui,
        look: impl Fn(&str, Option<&Raw>) -> Look<T>,
        mut done: impl FnMut(&str, T),
    ) -> Result<(), Error> {
        let mut pending: BTreeMap<String, Option<String>> =
            awaited.names.iter().map(|name| (name.clone(), None)).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let progress = ui.progress(pending.len());
        let (trouble, mut gone) = (RefCell::new(None), Vec::new());
        let troubled = |why: Option<String>| {
            let mut last: RefMut<'_, Option<Trouble>> = trouble.borrow_mut();
            if let Some(why) = why.as_ref().filter(|why| last.as_ref().is_none_or(|last| last.why != **why)) {
                say(ui, &progress, &format!("the API server cannot be asked at the moment: {why}"));
            }
            *last = why.map(|why| Trouble { why, at: Instant::now() });
        };
        let waiting = watched(cluster, awaited, &mut pending, troubled, |pending, name, object| {
            let Some(said) = pending.get_mut(name) else { return };
            match look(name, object) {
                Look::Done(found) => {
                    pending.remove(name);
                    progress.step(|| done(name, found));
                    let next = pending.iter().find_map(|(name, why)| Some((name, why.as_ref()?)));
                    let next =
                        next.map(|(name, why)| format!("waiting until {}: {why}", (awaited.what)(name)));
                    progress.waits_for(&next.unwrap_or_default());
                }
                Look::NotYet(why) => tell(ui, &progress, said, &(awaited.what)(name), why),
                Look::Never(why) => {
                    pending.remove(name);
                    progress.step(|| gone.push(why));
                }
            }
        });
        if self.timeout.is_zero() {
            waiting.await?;
        } else if let Ok(result) = tokio::time::timeout(self.timeout, waiting).await {
            result?;
        } else {
            return Err(self.timed_out(awaited, &pending, trouble.into_inner()));
        }
        if gone.is_empty() { Ok(()) } else { Err(Error::new(Kind::Failed, some_of(&gone))) }
    }

    /// The same for one object.
    pub async fn until<T>(
        &self,
        cluster: &Cluster,
        kind: ObjectKind,
        name: &str,
        what: &str,
        ui: &Ui,
        look: impl Fn(Option<&Raw>) -> Look<T>,
    ) -> Result<T, Error> {
        let mut found = None;
        let names = [name.to_owned()];
        let awaited = Awaited { kind, names: &names, what: &|_| what.to_owned() };
        let keep = |_: &str, value| found = Some(value);
        self.until_each(cluster, &awaited, ui, |_, object| look(object), keep).await?;
        found.ok_or_else(|| Error::new(Kind::Failed, format!("cannot see whether {what}")))
    }

    /// Looks again and again until nothing is in the way any more. What is, is told on stderr when it changes.
    pub async fn until_free(
        &self,
        ui: &Ui,
        what: &str,
        look: impl AsyncFn() -> Result<Option<String>, Error>,
    ) -> Result<(), Error> {
        const PAUSE: Duration = Duration::from_millis(500);
        let start = tokio::time::Instant::now();
        let mut said = None;
        while let Some(why) = look().await? {
            if !self.timeout.is_zero() && start.elapsed() >= self.timeout {
                return Err(Error::new(Kind::TimedOut, format!("not within {:?}: {what}", self.timeout))
                    .caused_by(why)
                    .hint("what was done stays; the same command goes on from there"));
            }
            if said.as_ref() != Some(&why) {
                ui.say(&format!("waiting until {what}: {why}"));
                said = Some(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn timed_out(
        &self,
        awaited: &Awaited<'_>,
        pending: &BTreeMap<String, Option<String>>,
        trouble: Option<Trouble>,
    ) -> Error {
        const SHOWN: usize = 5;
        let silent = || "the controller has said nothing about it".to_owned();
        let reason = |why: &Option<String>| why.clone().unwrap_or_else(silent);
        let mut lines: Vec<String> = match pending.iter().next() {
            Some((_, why)) if awaited.names.len() == 1 => vec![reason(why)],
            _ => pending.iter().take(SHOWN).map(|(name, why)| format!("{name}: {}", reason(why))).collect(),
        };
        if pending.len() > SHOWN {
            lines.push(format!("and {} more", pending.len() - SHOWN));
        }
        let first = pending.keys().next().map(|name| (awaited.what)(name)).unwrap_or_default();
        let what =
            if pending.len() > 1 { format!("{first}, and {} others", pending.len() - 1) } else { first };
        let late = Error::new(Kind::TimedOut, format!("not within {:?}: {what}", self.timeout));
        if let Some(trouble) = trouble.filter(Trouble::lasts) {
            return late
                .caused_by(format!("the API server cannot be asked: {}", trouble.why))
                .hint("`kubectl version` shows whether it answers; what was written stays");
        }
        let silent = pending.values().all(Option::is_none);
        late.caused_by(lines.join("\n           "))
            .maybe_hint(silent.then_some("`kubectl ipam version` shows whether a controller runs"))
            .hint("--timeout 0 waits for ever; what was written stays")
    }
}

/// Why the API server could not be asked, and when that was last found.
struct Trouble {
    why: String,
    at: Instant,
}

impl Trouble {
    /// Whether that is so still: a watch that works again says nothing until something changes, and one that does not fails
    /// again within a few seconds.
    fn lasts(&self) -> bool {
        const SECONDS: Duration = Duration::from_secs(8);
        self.at.elapsed() < SECONDS
    }
}

/// Hands each view of the awaited objects to `see`, until none is pending.
async fn watched(
    cluster: &Cluster,
    awaited: &Awaited<'_>,
    pending: &mut BTreeMap<String, Option<String>>,
    troubled: impl Fn(Option<String>),
    mut see: impl FnMut(&mut BTreeMap<String, Option<String>>, &str, Option<&Raw>),
) -> Result<(), Error> {
    let resource = cluster.resource(awaited.kind).await?.ok_or_else(|| not_installed(awaited.kind))?;
    let full = format!("{}.{}", resource.plural, resource.group);
    let asked = Asked { verb: "watch", resource: full, namespace: Some(cluster.namespace.clone()) };
    let resource = resource.described();
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    let config = match awaited.names {
        [name] => watcher::Config::default().fields(&format!("metadata.name={name}")),
        _ => watcher::Config::default(),
    };
    let mut views = std::pin::pin!(lasting::events(api, config, asked));
    let mut present = std::collections::BTreeSet::new();
    while !pending.is_empty() {
        let Some(said) = views.try_next().await? else { continue };
        let event = match said {
            Said::Event(event) => *event,
            Said::Trouble(why) => {
                troubled(Some(why));
                continue;
            }
        };
        // A list that is about to be asked for is no answer.
        if !matches!(event, watcher::Event::Init) {
            troubled(None);
        }
        match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let name = object.name_any();
                present.insert(name.clone());
                see(pending, &name, read(&object).as_ref());
            }
            watcher::Event::Delete(object) => see(pending, &object.name_any(), None),
            watcher::Event::Init => present.clear(),
            watcher::Event::InitDone => {
                let absent: Vec<String> =
                    pending.keys().filter(|name| !present.contains(*name)).cloned().collect();
                for name in &absent {
                    see(pending, name, None);
                }
            }
        }
    }
    Ok(())
}

fn read(object: &DynamicObject) -> Option<Raw> {
    serde_json::to_value(object).and_then(serde_json::from_value).ok()
}

/// Says why it is not yet so, once for each reason.
fn tell(ui: &Ui, progress: &Progress, said: &mut Option<String>, what: &str, why: Option<String>) {
    if let Some(why) = why
        && said.as_ref() != Some(&why)
    {
        say(ui, progress, &format!("waiting until {what}: {why}"));
        *said = Some(why);
    }
}

fn say(ui: &Ui, progress: &Progress, what: &str) {
    if progress.is_drawn() {
        progress.waits_for(what);
    } else {
        ui.say(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_kubectl() {
        for (text, millis) in [
            ("0", 0),
            ("10", 10_000),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("250ms", 250),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "s", "1d", "-1s", "99999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
