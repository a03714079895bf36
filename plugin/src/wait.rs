//! Waiting for what the controller does.

use std::fmt::Debug;
use std::time::Duration;

use clap::Args;
use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind};
use crate::ui::Ui;

/// Flags of every command that waits.
#[derive(Args, Clone, Debug)]
pub struct Waiting {
    /// Wait for the result
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, hide_default_value = true)]
    wait: bool,
    /// How long to wait, such as 60s or 5m; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| "not a duration such as 60s or 5m".to_owned())?;
    match unit {
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_mins(number)),
        "h" => Ok(Duration::from_hours(number)),
        _ => Err("not a duration such as 60s or 5m".to_owned()),
    }
}

/// What a look at an object says.
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet, and why.
    NotYet(Option<String>),
}

impl Waiting {
    /// Whether to wait at all.
    pub fn wanted(&self) -> bool {
        self.wait
    }

    /// Watches one object until `look` is satisfied. While it is not, what it says is told on stderr when it changes.
    pub async fn until<K, T>(
        &self,
        api: Api<K>,
        name: &str,
        what: &str,
        ui: &Ui,
        look: impl Fn(Option<&K>) -> Look<T>,
    ) -> Result<T, Error>
    where
        K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut said = None;
        let waiting = async {
            let named = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut views = std::pin::pin!(watcher(api, named).default_backoff());
            let mut present = false;
            loop {
                let event = views.try_next().await.map_err(|error| failed(what, &error))?;
                let found = match event {
                    Some(watcher::Event::Apply(view) | watcher::Event::InitApply(view)) => {
                        present = true;
                        look(Some(&view))
                    }
                    Some(watcher::Event::Delete(_)) => look(None),
                    Some(watcher::Event::InitDone) if !present => look(None),
                    Some(watcher::Event::Init) => {
                        present = false;
                        continue;
                    }
                    Some(watcher::Event::InitDone) | None => continue,
                };
                match found {
                    Look::Done(found) => return Ok(found),
                    Look::NotYet(why) => tell(ui, &mut said, what, why),
                }
            }
        };
        if self.timeout.is_zero() {
            return waiting.await;
        }
        if let Ok(result) = tokio::time::timeout(self.timeout, waiting).await {
            return result;
        }
        let why = said.unwrap_or_else(|| "the controller has said nothing about it".into());
        Err(Error::new(Kind::TimedOut, format!("not within {:?}: {what}", self.timeout))
            .caused_by(why)
            .hint("--timeout 0 waits for ever; what was written stays"))
    }
}

/// Says why it is not yet so, once for each reason.
fn tell(ui: &Ui, said: &mut Option<String>, what: &str, why: Option<String>) {
    if let Some(why) = why
        && said.as_ref() != Some(&why)
    {
        ui.say(&format!("waiting until {what}: {why}"));
        *said = Some(why);
    }
}

fn failed(what: &str, error: &watcher::Error) -> Error {
    Error::new(Kind::Failed, format!("cannot see whether {what}")).caused_by(error.to_string())
}

/// The `Ready` condition, if there is one.
pub fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Ready")
}
