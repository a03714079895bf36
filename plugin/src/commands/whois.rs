//! `whois`

use clap::Args;
use ipam::addr::parse_ip;
use serde::Serialize;

use super::now;
use super::target::of_another_provider;
use crate::Globals;
use crate::error::{Error, Kind};
use crate::output::{Answer, Output, Table, age, named, or_none, plain_line};
use crate::suggest::did_you_mean;
use crate::world::{Address, Claim, Joined, Machines, Scope, Word, World};

/// Show whose an address is: address, claim, owner, machine, host
///
/// WHAT is an IP, or the name of a claim, of an IPAddress, of a machine or of a bare-metal host.
#[derive(Args, Debug)]
pub struct Whois {
    /// IP, claim, address object, machine or host
    #[arg(add = crate::complete::claims())]
    what: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    output: Output,
}

/// From an address to its machine.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Chain {
    namespace: String,
    address: Option<String>,
    prefix: Option<i64>,
    gateway: Option<String>,
    pool: String,
    object: Option<String>,
    claim: Option<String>,
    claim_kind: &'static str,
    owner: Option<String>,
    metal3_machine: Option<String>,
    machine: Option<String>,
    host: Option<String>,
    since: Option<String>,
}

impl Whois {
    pub async fn run(&self, globals: &Globals) -> Result<(), Error> {
        let Some(what) = &self.what else { return Err(crate::ui::missing(&["IP, CLAIM or MACHINE"])) };
        let cluster = globals.connection.open().await?;
        let namespace = (!self.all_namespaces).then(|| cluster.namespace.clone());
        let scope = Scope { namespace, selector: None };
        let mut world = World::read(&cluster, &scope).await;
        world.blind_spots().iter().for_each(|line| globals.ui.say(line));
        let machines = match Machines::read(&cluster, &scope).await {
            Ok(machines) => machines,
            Err(error) => {
                globals.ui.say(&format!("warning: {}; machines are left out", error.line()));
                Machines::default()
            }
        };
        let found = chains(&world, &machines, what);
        if found.is_empty() {
            // Who has not seen all does not know that it is nobody's.
            world.require_all()?;
            let other = of_another_provider(&cluster, what.rsplit('/').next().unwrap_or(what)).await;
            return Err(other.unwrap_or_else(|| nobody(&world, what, &cluster.namespace)));
        }
        let picture: Vec<String> = found.iter().map(told).collect();
        let names = found.iter().filter_map(|chain| chain.object.clone()).collect();
        let answer = Answer::new("WhoisList", &found, Table::new(&[]), names)?;
        self.output.print_picture(&picture.join("\n"), &answer.data, &answer.names)
    }
}

/// All chains that `what` is a part of.
fn chains(world: &World, machines: &Machines, what: &str) -> Vec<Chain> {
    let joined = Joined::new(world);
    let ip = address_in(what);
    let what = what.rsplit('/').next().unwrap_or(what);
    let mut found = Vec::new();
    for address in &world.addresses {
        let claim = joined.claim_of(address);
        let is = address.ip.is_some() && address.ip == ip
            || address.meta.name == what
            || address.claim == what
            || claim.is_some_and(|claim| is_called(claim, machines, what));
        if is {
            found.push(chain(Some(address), claim, machines));
        }
    }
    let without = |claim: &&Claim| joined.address_of(claim).is_none();
    for claim in world.claims.iter().filter(without) {
        if claim.meta.name == what || is_called(claim, machines, what) {
            found.push(chain(None, Some(claim), machines));
        }
    }
    found
}

fn is_called(claim: &Claim, machines: &Machines, what: &str) -> bool {
    claim
        .meta
        .owner_references
        .iter()
        .any(|owner| owner.name == what && owner.kind != "Cluster" && owner.kind != "IPPool")
        || machines.of(claim).is_some_and(|machine| machine.is_called(what))
}

fn chain(address: Option<&Address>, claim: Option<&Claim>, machines: &Machines) -> Chain {
    let machine = claim.and_then(|claim| machines.of(claim)).unwrap_or_default();
    let meta = address.map(|address| &address.meta).or(claim.map(|claim| &claim.meta));
    let family = address.map(|address| address.family).or(claim.map(|claim| claim.family));
    let pool = address.map(|address| &address.pool).or(claim.map(|claim| &claim.pool));
    let named_claim = address.map(|address| &address.claim).filter(|claim| !claim.is_empty());
    Chain {
        namespace: meta.map(|meta| meta.namespace.owned()).unwrap_or_default(),
        address: address.map(Address::shown),
        prefix: address.and_then(|address| address.prefix),
        gateway: address.and_then(|address| address.gateway.map(Word::owned)),
        pool: pool.copied().map(Word::owned).unwrap_or_default(),
        object: address.map(|address| named(address.kind(), &address.meta.name)),
        claim: claim.map(|claim| claim.meta.name.owned()).or(named_claim.copied().map(Word::owned)),
        claim_kind: family.map_or("", |family| ipam::api::Kind::Claim(family).name()),
        owner: claim.and_then(Claim::owner),
        metal3_machine: Some(machine.infrastructure).filter(|name| !name.is_empty()),
        machine: machine.name,
        host: machine.host,
        since: meta.and_then(|meta| meta.creation_timestamp.as_ref()).map(|time| time.0.to_string()),
    }
}

/// A chain for people: a line for each part that there is.
fn told(chain: &Chain) -> String {
    let prefix = chain.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
    let gateway = chain.gateway.as_ref().map(|ip| format!(" via {ip}")).unwrap_or_default();
    let since = chain.since.as_ref().and_then(|since| since.parse().ok());
    let address = chain.address.as_ref().map(|ip| format!("{ip}{prefix}{gateway}"));
    let claim = chain.claim.as_ref().map(|claim| format!("{claim} ({})", chain.claim_kind));
    let rows = [
        ("address", Some(or_none(address))),
        ("object", chain.object.clone()),
        ("pool", Some(format!("{} in namespace {}", chain.pool, chain.namespace))),
        ("claim", claim),
        ("owner", chain.owner.clone()),
        ("machine", chain.machine.clone().or(chain.metal3_machine.clone())),
        ("host", chain.host.clone()),
        ("since", Some(age(since, now()))),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| Some(format!("{name:<8} {}\n", plain_line(&value?))))
        .collect()
}

/// The address that is meant; a prefix length, as other commands print it, says nothing more.
fn address_in(what: &str) -> Option<std::net::IpAddr> {
    parse_ip(what.split('/').next().unwrap_or(what)).ok()
}

fn nobody(world: &World, what: &str, namespace: &str) -> Error {
    if let Some(ip) = address_in(what) {
        let holds =
            |pool: &&ipam::api::IPPool| ipam::api::PoolRules::read(&pool.spec).space().entry_of(ip).is_some();
        let error = Error::new(Kind::Failed, format!("nobody has {ip}"));
        return match world.pools.iter().find(holds) {
            Some(pool) => {
                let name = kube::ResourceExt::name_any(pool);
                let reserved = ipam::api::PoolRules::read(&pool.spec).pre_allocations;
                let reserved = reserved.iter().find(|(_, reserved)| **reserved == ip).map(|(claim, _)| claim);
                error.hint(match reserved {
                    Some(claim) => format!("it is in the pool {name}, and reserved for a claim {claim}"),
                    None => format!("it is in the pool {name}"),
                })
            }
            None => error.hint("it is in no pool that can be seen here; -A looks in all namespaces"),
        };
    }
    let names = world.claims.iter().map(|claim| claim.meta.name.as_str());
    let near =
        did_you_mean(what, names.chain(world.addresses.iter().map(|address| address.meta.name.as_str())));
    Error::new(
        Kind::Failed,
        format!("there is no address, claim, machine or host {what} in namespace {namespace}"),
    )
    .hint(near.unwrap_or_else(|| "-A looks in all namespaces; `kubectl ipam claims` lists the claims".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_found_from_every_end_of_its_chain() {
        let owner = json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "Metal3Data", "name": "data-0", "uid": "d"});
        let world = World::of_objects(vec![
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
                   "metadata": {"name": "c", "namespace": "ns", "uid": "u", "ownerReferences": [owner]},
                   "spec": {"pool": {"name": "p"}}, "status": {"address": {"name": "p-1"}}}),
            json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress",
                   "metadata": {"name": "p-1", "namespace": "ns", "creationTimestamp": "2026-11-24T10:00:00Z"},
                   "spec": {"address": "2001:db8::0005", "prefix": 64, "pool": {"name": "p"}, "claim": {"name": "c"}}}),
        ]);
        let mut machines = Machines::default();
        machines.add(&serde_json::from_value(json!({
            "metadata": {"name": "m3m", "namespace": "ns", "annotations": {"metal3.io/BareMetalHost": "ns/host-7"},
                         "ownerReferences": [{"kind": "Machine", "name": "worker-1"}]},
            "status": {"renderedData": {"name": "data-0"}},
        })).unwrap());
        let by_ip = chains(&world, &machines, "2001:db8::5");
        for what in [
            "2001:DB8:0::5",
            "2001:db8::5/64",
            "c",
            "p-1",
            "ipclaim/c",
            "data-0",
            "m3m",
            "worker-1",
            "host-7",
        ] {
            assert_eq!(chains(&world, &machines, what), by_ip, "{what}");
        }
        assert_eq!(by_ip.len(), 1);
        let told = told(&by_ip[0]);
        assert!(told.starts_with("address  2001:db8::5/64\nobject   ipaddress.ipam.metal3.io/p-1\npool     p in namespace ns\nclaim    c (IPClaim)\nowner    Metal3Data/data-0\nmachine  worker-1\nhost     host-7\nsince    "), "{told}");
        assert!(chains(&world, &machines, "10.0.0.1").is_empty());
        assert!(nobody(&world, "d", "ns").report().contains("did you mean `c`?"));
    }
}
