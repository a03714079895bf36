//! `claim`

use std::collections::{HashMap, HashSet};

use clap::Args;
use ipam::addr::parse_ip;
use ipam::api::{Family, Kind as ObjectKind, REQUESTED_IP_ANNOTATION};
use ipam::apply::Change;
use serde_json::{Value, json};

use super::delete_pool::once;
use super::target::{self, ClaimKind, creatable};
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind};
use crate::output::{line, named, or_none, some_of};
use crate::plan::{Plan, Writing};
use crate::ui::{Ui, missing};
use crate::wait::{Awaited, Look, Waiting};
use crate::world::{Address, Claim as Seen, Raw, Scope};

/// Claim addresses of a pool
///
/// Waits for the addresses and prints a line each: name, address with prefix length, gateway. While it waits, it says
/// why.
#[derive(Args, Debug, Clone)]
pub struct Claim {
    /// Names of the claims
    name: Vec<String>,
    /// Pool that the addresses are of
    #[arg(long, value_name = "NAME", add = crate::complete::pools())]
    pool: Option<String>,
    /// Address that is wanted; for one claim only
    #[arg(long, value_name = "IP")]
    ip: Option<String>,
    /// Kind of the claims
    #[arg(long, value_enum, value_name = "KIND", default_value = "ipclaim")]
    kind: ClaimKind,
    /// Make this many claims, NAME-1 and so on; for one name only
    #[arg(long, value_name = "N", conflicts_with = "ip", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: Option<u32>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    waiting: Waiting,
}

impl Claim {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let ui = &globals.ui;
        self.check(ui)?;
        let cluster = globals.connection.open().await?;
        let asked = self.completed(ui, &cluster).await?;
        let names = asked.names()?;
        let plan = asked.plan(&cluster, &names).await?;
        asked.none_exists(&cluster, &names).await?;
        let Some(written) = plan.carry_out(ui, &cluster, &asked.writing).await? else { return Ok(()) };
        if asked.waiting.wanted() {
            asked.wait(ui, &cluster, &names).await
        } else {
            asked.writing.print(&written)
        }
    }

    /// Refuses what cannot become right by asking.
    fn check(&self, ui: &Ui) -> Result<(), Error> {
        if ui.person().is_none() && (self.name.is_empty() || self.pool.is_none()) {
            let flags = [(self.name.is_empty(), "NAME"), (self.pool.is_none(), "--pool NAME")];
            return Err(missing(
                &flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect::<Vec<_>>(),
            ));
        }
        if let Some(ip) = &self.ip {
            parse_ip(ip).map_err(|error| Error::new(Kind::Usage, format!("--ip: {error}")))?;
        }
        self.names().map(drop)
    }

    /// This command with everything that is needed.
    async fn completed(&self, ui: &Ui, cluster: &Cluster) -> Result<Self, Error> {
        let mut asked = self.clone();
        let Some(person) = ui.person().filter(|_| self.name.is_empty() || self.pool.is_none()) else {
            return Ok(asked);
        };
        if self.pool.is_none() {
            let names = target::pool_names(cluster).await?;
            if names.is_empty() {
                let what = format!("there is no pool in namespace {}", cluster.namespace);
                return Err(Error::new(Kind::Failed, what).hint("`kubectl ipam create-pool` makes one"));
            }
            asked.pool = Some(person.choose_name("Pool", Some("--pool"), names)?);
        }
        if self.name.is_empty() {
            let name = person.ask("Name of the claim", None, |text| {
                creatable("claim", text).map_err(|error| error.line())
            })?;
            person.note([name.clone()]);
            asked.name.push(name);
        }
        let plan = asked.plan(cluster, &asked.names()?).await?;
        plan.agree(&person, "Create it?")?;
        Ok(asked)
    }

    async fn plan(&self, cluster: &Cluster, names: &[String]) -> Result<Plan, Error> {
        let kind = ObjectKind::Claim(self.kind.family());
        let mut plan = Plan::default();
        for name in names {
            let target = cluster.target(kind, &cluster.namespace, name).await?;
            let object = json!({"metadata": self.metadata(), "spec": self.spec()});
            plan.step('+', &named(kind, name), "created", Change::Create { target, object });
        }
        Ok(plan)
    }

    /// Refuses before anything is written where one of the claims is there: it may be somebody else's. Who may not look
    /// hears of it from the write.
    async fn none_exists(&self, cluster: &Cluster, names: &[String]) -> Result<(), Error> {
        const FEW: usize = 5;
        let (family, mut there) = (self.kind.family(), Vec::new());
        if names.len() > FEW {
            let wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
            let note = |raw: Raw| {
                if wanted.contains(&*raw.metadata.name) {
                    there.push(raw.metadata.name.owned());
                }
            };
            drop(cluster.each(ObjectKind::Claim(family), &Scope::of(&cluster.namespace), note).await);
        } else {
            for name in names {
                let found: Result<Option<Raw>, Error> = cluster.find(ObjectKind::Claim(family), name).await;
                there.extend(found.ok().flatten().map(|_| name.clone()));
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = there.iter().map(|name| format!("claim {name}")).collect();
        Err(Error::new(Kind::Failed, format!("{} there already: nothing was written", is_or_are(&all))).hint(
            format!(
                "`kubectl ipam whois {}` shows what it has; other names, or a --count under another one",
                there[0]
            ),
        ))
    }

    fn metadata(&self) -> Value {
        match &self.ip {
            Some(ip) => json!({"annotations": {REQUESTED_IP_ANNOTATION: ip}}),
            None => json!({}),
        }
    }

    fn spec(&self) -> Value {
        let pool = self.pool.as_deref().unwrap_or_default();
        match self.kind.family() {
            Family::Metal3 => json!({"pool": {"name": pool}}),
            Family::Capi => {
                json!({"poolRef": {"apiGroup": ipam::api::GROUP, "kind": "IPPool", "name": pool}})
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        self.name.iter().try_for_each(|name| creatable("claim", name))?;
        match (self.name.as_slice(), self.count) {
            ([name], Some(count)) => Ok((1..=count).map(|n| format!("{name}-{n}")).collect()),
            ([_, _, ..], Some(_)) => Err(Error::new(Kind::Usage, "--count goes with one name")),
            ([_, _, ..], None) if self.ip.is_some() => {
                Err(Error::new(Kind::Usage, "--ip goes with one name"))
            }
            (names, _) => {
                let mut names = names.to_vec();
                once(&mut names);
                Ok(names)
            }
        }
    }

    /// Follows the claims until each has its address, and answers with a line each, or with the claims themselves.
    async fn wait(&self, ui: &Ui, cluster: &Cluster, names: &[String]) -> Result<(), Error> {
        let (family, pool) = (self.kind.family(), self.pool.as_deref().unwrap_or_default());
        let what = |name: &str| format!("claim {name} of pool {pool} has its address");
        let awaited = Awaited { kind: ObjectKind::Claim(family), names, what: &what };
        let look = |name: &str, claim: Option<&Raw>| {
            let Some(claim) = claim.and_then(|raw| Seen::read(family, raw.clone())) else {
                return Look::Never(format!("claim {name} was deleted meanwhile"));
            };
            match claim.bound() {
                Some(address) => Look::Done(address.to_owned()),
                None => Look::NotYet(claim.why().map(str::to_owned)),
            }
        };
        let mut bound = Vec::new();
        let done = |name: &str, object| bound.push((name.to_owned(), object));
        let waited = self.waiting.until_each(cluster, &awaited, ui, look, done).await;
        // What has its address is told even where another claim has none.
        bound.sort_by_key(|(name, _)| names.iter().position(|other| other == name));
        self.tell(cluster, &bound).await?;
        waited.map_err(|error| {
            error.hint(format!("`kubectl ipam explain {}` says more", missing_one(names, &bound)))
        })
    }

    async fn tell(&self, cluster: &Cluster, bound: &[(String, String)]) -> Result<(), Error> {
        let family = self.kind.family();
        if self.writing.shows_objects() {
            let mut claims = Vec::new();
            for (name, _) in bound {
                claims.extend(cluster.find::<Value>(ObjectKind::Claim(family), name).await?);
            }
            return self.writing.print(&claims);
        }
        let addresses = addresses(cluster, family, bound).await?;
        for (name, object) in bound {
            let Some(address) = addresses.get(object) else {
                return Err(Error::new(Kind::Failed, format!("IPAddress {object} of claim {name} is gone")));
            };
            let prefix = address.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
            line(format_args!("{name}   {}{prefix}   {}", address.text, or_none(address.gateway.as_ref())));
        }
        Ok(())
    }
}

/// The address objects of the claims: one by one, or from the list where that is less work.
async fn addresses(
    cluster: &Cluster,
    family: Family,
    bound: &[(String, String)],
) -> Result<HashMap<String, Address>, Error> {
    const FEW: usize = 20;
    let mut found = HashMap::new();
    if bound.len() > FEW {
        let scope = Scope::of(&cluster.namespace);
        let add = |address: Address| drop(found.insert(address.meta.name.owned(), address));
        cluster.addresses(family, &scope, add).await?;
        return Ok(found);
    }
    for (_, object) in bound {
        let raw: Option<Raw> = cluster.find(ObjectKind::Address(family), object).await?;
        found.extend(raw.and_then(|raw| Address::read(family, raw)).map(|address| (object.clone(), address)));
    }
    Ok(found)
}

fn is_or_are(all: &[String]) -> String {
    format!("{} {}", some_of(all), if all.len() == 1 { "is" } else { "are" })
}

fn missing_one<'a>(names: &'a [String], bound: &[(String, String)]) -> &'a str {
    names.iter().find(|name| !bound.iter().any(|(other, _)| other == *name)).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use ipam::api::IPClaim;

    use super::*;

    #[test]
    fn what_is_created_is_a_claim() {
        let claim = Claim {
            name: vec!["c".into()],
            pool: Some("p".into()),
            ip: Some("10.0.0.1".into()),
            kind: ClaimKind::Ipclaim,
            count: None,
            writing: parse::<Writing>(),
            waiting: parse::<Waiting>(),
        };
        let object = json!({
            "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
            "metadata": claim.metadata(), "spec": claim.spec(),
        });
        let object: IPClaim = serde_json::from_value(object).unwrap();
        assert_eq!(object.spec.pool.name.as_deref(), Some("p"));
        assert_eq!(Claim { count: Some(2), ip: None, ..claim }.names().unwrap(), ["c-1", "c-2"]);
    }

    fn parse<T: Args>() -> T {
        let command = T::augment_args(clap::Command::new("x"));
        T::from_arg_matches(&command.get_matches_from(["x"])).unwrap()
    }
}
