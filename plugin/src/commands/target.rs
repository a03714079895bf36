//! The objects that a command is about, by the names that a person gives them.

use clap::ValueEnum;
use ipam::api::{Family, Kind, is_object_name};
use serde::de::DeserializeOwned;

use super::delete_pool::chosen;
use crate::Globals;
use crate::cluster::Cluster;
use crate::error::{Error, Kind as Failure};
use crate::output::named;
use crate::ui::missing;
use crate::world::{Claim, Raw, Scope, World, no_such};

/// A kind of claims.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// The claims of ipam.metal3.io
    #[value(alias = "ipclaims")]
    Ipclaim,
    /// The claims of Cluster API
    #[value(alias = "ipaddressclaims")]
    Ipaddressclaim,
}

impl ClaimKind {
    /// Its family.
    pub fn family(self) -> Family {
        match self {
            Self::Ipclaim => Family::Metal3,
            Self::Ipaddressclaim => Family::Capi,
        }
    }
}

/// A name with the kind that was written before it: `claim/NAME`, `ipaddressclaim/NAME`, `pool/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Pool(String),
    /// A claim, of any family where none is said.
    Claim(Option<Family>, String),
}

impl Named {
    /// Reads a name; without a kind it is of what the command is about.
    pub fn read(text: &str, bare: fn(String) -> Self) -> Result<Self, Error> {
        let Some((kind, name)) = text.split_once('/') else { return Ok(bare(text.to_owned())) };
        let name = name.to_owned();
        // `kubectl get -o name` puts the group behind the kind.
        match kind.split('.').next().unwrap_or_default() {
            "pool" | "ippool" | "ippools" => Ok(Self::Pool(name)),
            "claim" | "claims" => Ok(Self::Claim(None, name)),
            "ipclaim" | "ipclaims" => Ok(Self::Claim(Some(Family::Metal3), name)),
            "ipaddressclaim" | "ipaddressclaims" => Ok(Self::Claim(Some(Family::Capi), name)),
            kind => Err(Error::new(Failure::Usage, format!("`{kind}` is neither pool nor claim"))
                .hint("write pool/NAME, claim/NAME, ipclaim/NAME or ipaddressclaim/NAME")),
        }
    }
}

/// Refuses a name that no object can have, as the API server would, before anything is asked or planned.
pub fn creatable(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::new(Failure::Usage, "a name is needed"));
    }
    if is_object_name(name) {
        return Ok(());
    }
    Err(Error::new(Failure::Usage, format!("`{name}` is not a name that a {what} can have"))
        .hint("lowercase letters, digits, '-' and '.'; it begins and ends with a letter or a digit"))
}

/// The claim of a name. One of a name that both families have has to be told apart.
pub async fn claim(cluster: &Cluster, family: Option<Family>, name: &str) -> Result<Claim, Error> {
    let mut found = Vec::new();
    for candidate in Family::ALL {
        if family.is_none_or(|family| family == candidate) {
            let raw: Option<Raw> = cluster.find(Kind::Claim(candidate), name).await?;
            found.extend(raw.and_then(|raw| Claim::read(candidate, raw)));
        }
    }
    if found.len() > 1 {
        return Err(Error::new(
            Failure::Usage,
            format!("both an IPClaim and an IPAddressClaim are called {name}"),
        )
        .hint(format!("write ipclaim/{name} or ipaddressclaim/{name}")));
    }
    match found.pop() {
        Some(claim) => Ok(claim),
        None => Err(no_claim(cluster, family, name).await),
    }
}

/// What is to be said of a claim of Cluster API that another provider serves; none where there is none of that name.
pub async fn of_another_provider(cluster: &Cluster, name: &str) -> Option<Error> {
    let claim: Raw = cluster.find(Kind::Claim(Family::Capi), name).await.ok()??;
    let pool = &claim.spec["poolRef"];
    let text = |member: &str| pool[member].as_str().unwrap_or_default();
    let pool = format!("{}.{}/{}", text("kind"), text("apiGroup"), text("name"));
    if Claim::read(Family::Capi, claim).is_some() {
        return None;
    }
    let error = Error::new(Failure::Failed, format!("another provider serves IPAddressClaim {name}"));
    Some(
        error.hint(format!(
            "its pool is {pool}: `kubectl describe ipaddressclaim {name}` shows what that says"
        )),
    )
}

/// Why there is no claim of this name.
pub async fn no_claim(cluster: &Cluster, family: Option<Family>, name: &str) -> Error {
    if family != Some(Family::Metal3)
        && let Some(error) = of_another_provider(cluster, name).await
    {
        return error;
    }
    let mut names = Vec::new();
    for candidate in Family::ALL {
        if family.is_none_or(|family| family == candidate) {
            names.extend(claim_names(cluster, candidate).await.unwrap_or_default());
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    no_such("claim", name, &cluster.namespace, &names, "`kubectl ipam claims` lists the claims")
}

/// The claims of a name each.
pub async fn claims(
    cluster: &Cluster,
    names: &[String],
    kind: Option<ClaimKind>,
) -> Result<Vec<Claim>, Error> {
    let mut found = Vec::new();
    for name in names {
        let Named::Claim(family, name) = Named::read(name, |name| Named::Claim(None, name))? else {
            return Err(Error::new(Failure::Usage, format!("{name} is no claim")));
        };
        found.push(claim(cluster, family.or(kind.map(ClaimKind::family)), &name).await?);
    }
    Ok(found)
}

/// The names of a family's claims.
pub async fn claim_names(cluster: &Cluster, family: Family) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    cluster
        .claims(family, &Scope::of(&cluster.namespace), |claim| names.push(claim.meta.name.owned()))
        .await?;
    Ok(names)
}

/// The names of the pools.
pub async fn pool_names(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let found = cluster
        .each(Kind::Pool, &Scope::of(&cluster.namespace), |pool: Raw| names.push(pool.metadata.name.owned()))
        .await?;
    if found { Ok(names) } else { Err(crate::cluster::not_installed(Kind::Pool)) }
}

/// The pool of a name, as far as `T` reads it.
pub async fn pool<T: DeserializeOwned>(cluster: &Cluster, name: &str) -> Result<T, Error> {
    if let Some(pool) = cluster.find(Kind::Pool, name).await? {
        return Ok(pool);
    }
    let names = pool_names(cluster).await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Err(no_such("pool", name, &cluster.namespace, &names, "`kubectl ipam status -A` shows all pools"))
}

/// The pool that is asked about, by its name, and the world around it. Where no name was given, a person chooses one.
pub async fn one_pool(globals: &Globals, given: Option<&str>) -> Result<(Cluster, World, String), Error> {
    let ui = &globals.ui;
    if given.is_none() && ui.person().is_none() {
        return Err(missing(&["POOL"]));
    }
    let cluster = globals.connection.open().await?;
    let given: Vec<String> = given.into_iter().map(str::to_owned).collect();
    let name = chosen(&given, ui, &cluster).await?.pop().unwrap_or_default();
    let world = World::read(&cluster, &Scope::of(&cluster.namespace)).await;
    Ok((cluster, world, name))
}

/// `kind.group/name` of a claim.
pub fn claim_name(claim: &Claim) -> String {
    named(claim.kind(), &claim.meta.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_say_its_kind_as_people_and_kubectl_write_it() {
        let read = |text| Named::read(text, Named::Pool).unwrap();
        assert_eq!(read("p"), Named::Pool("p".into()));
        assert_eq!(read("claim/c"), Named::Claim(None, "c".into()));
        assert_eq!(read("ipclaim.ipam.metal3.io/c"), Named::Claim(Some(Family::Metal3), "c".into()));
        assert_eq!(read("ipaddressclaim/c"), Named::Claim(Some(Family::Capi), "c".into()));
        assert!(Named::read("machine/m", Named::Pool).is_err());
    }
}
