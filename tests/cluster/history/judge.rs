//! What holds at every revision.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipam::api::{Family, Kind};
use serde_json::{Map, Value};

use super::Revision;
use super::state::{Made, Place, Publication, State, by_hand, holds, is_foreign, made, published, uid};

/// How many controllers may have written at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// One; when another took over, the former wrote no more.
    One,
    /// One after the other, at once after the former was killed: what that had asked for may still arrive, as a take after the end
    /// of its claim, and is swept up.
    Heirs,
    /// Several, which know of each other's writes only what they see: a take may come after the end of its claim, when the other
    /// has let that go, and is withdrawn.
    Several,
}

pub type Verdict = Result<(), String>;

pub fn judge(revisions: &[Revision], writers: Writers) -> Verdict {
    let mut state = State::default();
    for revision in revisions {
        let verdict = look(&mut state, revision, writers);
        verdict.map_err(|broken| format!("at revision {}: {broken}", revision.version))?;
        state.take(revision);
    }
    Ok(())
}

fn look(state: &mut State, revision: &Revision, writers: Writers) -> Verdict {
    if let Kind::Address(family) = revision.kind {
        stays_while_published(state, revision, family)?;
    }
    let Some(object) = &revision.object else { return Ok(()) };
    let before = state.before(revision).filter(|before| uid(before) == uid(object));
    if let Some(before) = before {
        nothing_of_others_is_lost(revision, before, object)?;
    }
    let is_new = before.is_none();
    match revision.kind {
        Kind::Address(_) if is_new && by_hand(object).is_none() => {
            made(object).map_or(Ok(()), |made| taken_rightly(state, revision, object, &made, writers))
        }
        Kind::Claim(family) => published_rightly(state, revision, object, family),
        _ => Ok(()),
    }
}

/// An address that nobody has had in hand stays as long as a claim publishes it that is not on its way out.
fn stays_while_published(state: &State, revision: &Revision, family: Family) -> Verdict {
    let Some(before) = state.before(revision) else { return Ok(()) };
    let now = revision.object.as_ref();
    let ends = now.is_none_or(|now| is_going(now) && !is_going(before));
    let was_in_hand = std::iter::once(before).chain(now).any(|object| by_hand(object).is_some());
    if !ends || was_in_hand {
        return Ok(());
    }
    let Some(made) = made(before) else { return Ok(()) };
    let claims = state.objects.iter().filter(|((kind, _), _)| *kind == Kind::Claim(family));
    let mut claims = claims.filter(|(_, claim)| uid(claim) == made.claim && !is_going(claim));
    match claims.find(|(_, claim)| published(claim) == Some(revision.name.as_str())) {
        Some(((_, claim), _)) => {
            Err(format!("{} was deleted, and {claim} publishes it and lives", revision.name))
        }
        None => Ok(()),
    }
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A change by a controller changes only what is a controller's.
fn nothing_of_others_is_lost(revision: &Revision, before: &Value, object: &Value) -> Verdict {
    if by_hand(before) != by_hand(object) {
        return Ok(());
    }
    let name = &revision.name;
    if is_foreign(object)
        && before["metadata"]["deletionTimestamp"] == object["metadata"]["deletionTimestamp"]
    {
        return Err(format!("{name}, which is another provider's, was written"));
    }
    let (was, is) = (foreign(revision.kind, before), foreign(revision.kind, object));
    if was == is { Ok(()) } else { Err(format!("{name} had {was:?}, and now {is:?}")) }
}

/// Labels, annotations, finalizers, owners and the spec.
type Foreign = (Map<String, Value>, Map<String, Value>, Vec<Value>, Vec<Value>, Value);

/// What others have put there, without what is a controller's.
fn foreign(kind: Kind, object: &Value) -> Foreign {
    let meta = &object["metadata"];
    let map = |what: &str| meta[what].as_object().cloned().unwrap_or_default();
    let (mut labels, mut annotations) = (map("labels"), map("annotations"));
    if kind == Kind::Pool {
        labels.retain(|key, _| {
            !matches!(key.as_str(), "cluster.x-k8s.io/cluster-name" | "cluster.x-k8s.io/provider")
        });
    }
    annotations
        .retain(|key, _| !matches!(key.as_str(), "ipam.metal3.io/claim-uid" | "ipam.metal3.io/adopted"));
    let list = |what: &str| meta[what].as_array().cloned().unwrap_or_default().into_iter();
    let owners = list("ownerReferences").filter(|owner| !is_our_owner(kind, object, owner)).collect();
    let ours = kind.finalizer().unwrap_or_default();
    (
        labels,
        annotations,
        list("finalizers").filter(|text| text != ours).collect(),
        owners,
        object["spec"].clone(),
    )
}

/// A pool is owned by its Cluster, and an address by its pool and its claim.
fn is_our_owner(kind: Kind, object: &Value, owner: &Value) -> bool {
    let is_of = |of: Kind| {
        let group = owner["apiVersion"].as_str().and_then(|version| version.split('/').next());
        group == Some(of.group()) && owner["kind"] == of.name()
    };
    match kind {
        Kind::Pool => is_of(Kind::Cluster) && owner["name"] == object["spec"]["clusterName"],
        Kind::Address(family) => is_of(Kind::Pool) || is_of(Kind::Claim(family)),
        _ => false,
    }
}

/// An address is made for a claim that is held, and is what the pool says.
fn taken_rightly(
    state: &State,
    revision: &Revision,
    object: &Value,
    made: &Made,
    writers: Writers,
) -> Verdict {
    let name = &revision.name;
    if !holds(revision.kind, object) {
        return Err(format!("{name} was made without our finalizer"));
    }
    let claims = state.objects.iter().filter(|((kind, _), _)| matches!(kind, Kind::Claim(_)));
    let mut claims = claims.filter(|(_, claim)| uid(claim) == made.claim);
    let is_held = claims.any(|((kind, _), claim)| holds(*kind, claim) || by_hand(claim).is_some());
    if !is_held && writers == Writers::One {
        return Err(format!("{name} was made for a claim that nothing holds: {}", made.claim));
    }
    let may_be_late = writers == Writers::Several || (writers == Writers::Heirs && !is_held);
    if writers == Writers::One
        && let Some(other) = state.address_of(&made.claim)
    {
        return Err(format!("{name} was made for claim {}, which has {other} already", made.claim));
    }
    if may_be_late && !state.held.contains(&made.claim) {
        return Err(format!("{name} was made for a claim that nothing ever held: {}", made.claim));
    }
    let (pool, ip) = &made.place;
    let specs = state.specs.get(pool).map(Vec::as_slice).unwrap_or_default();
    if specs.is_empty() && writers == Writers::Several {
        return Ok(());
    }
    let Some(network) = specs.iter().rev().find_map(|spec| network(spec, *ip)) else {
        return Err(format!("{name} was never in pool {pool}"));
    };
    let is = Network::of(&object["spec"], object["spec"]["dnsServers"].as_array());
    let dns_is_told = matches!(revision.kind, Kind::Address(Family::Metal3));
    // Cluster API's kind has to have a prefix, also where the pool says none.
    let prefix_is_told = network.prefix.is_some() || revision.kind == Kind::Address(Family::Metal3);
    if (prefix_is_told && is.prefix != network.prefix)
        || is.gateway != network.gateway
        || (dns_is_told && is.dns != network.dns)
    {
        return Err(format!("{name} has {is:?}, and not {network:?}"));
    }
    Ok(())
}

/// What an address object says of its network.
#[derive(Debug, PartialEq)]
struct Network {
    prefix: Option<u64>,
    gateway: Option<String>,
    dns: Vec<Value>,
}

impl Network {
    fn of(spec: &Value, dns: Option<&Vec<Value>>) -> Self {
        let gateway = spec["gateway"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Self { prefix: spec["prefix"].as_u64(), gateway, dns: dns.cloned().unwrap_or_default() }
    }
}

/// What a pool's spec says of an address, worked out anew from the spec alone; `None` if that has no such address.
fn network(spec: &Value, ip: IpAddr) -> Option<Network> {
    let excluded = spec["excludedAddresses"].as_array().into_iter().flatten();
    if excluded.filter_map(|text| text.as_str()?.parse::<IpAddr>().ok()).any(|other| other == ip) {
        return None;
    }
    let entry = spec["pools"].as_array()?.iter().find(|entry| is_in(entry, ip))?;
    let or_pools =
        |field: &str| if entry[field].is_null() { spec[field].clone() } else { entry[field].clone() };
    let mut merged = Map::new();
    for field in ["prefix", "gateway"] {
        merged.insert(field.to_owned(), or_pools(field));
    }
    let subnet = entry["subnet"].as_str().and_then(|text| text.parse::<ipnet::IpNet>().ok());
    if merged["prefix"].is_null()
        && let Some(subnet) = subnet
    {
        merged["prefix"] = subnet.prefix_len().into();
    }
    Some(Network::of(&merged.into(), or_pools("dnsServers").as_array()))
}

fn is_in(entry: &Value, ip: IpAddr) -> bool {
    let bound = |field: &str| entry[field].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let subnet = entry["subnet"].as_str().and_then(|text| text.parse::<ipnet::IpNet>().ok());
    let same_family = |other: IpAddr| other.is_ipv4() == ip.is_ipv4();
    bound("start").is_none_or(|start| same_family(start) && start <= ip)
        && bound("end").is_none_or(|end| same_family(end) && ip <= end)
        && subnet.is_none_or(|subnet| subnet.contains(&ip))
}

/// What a claim publishes is its own, is nobody else's as long as the claim is there, and stays the same.
fn published_rightly(state: &mut State, revision: &Revision, claim: &Value, family: Family) -> Verdict {
    let (name, uid) = (&revision.name, uid(claim));
    let Some(object) = published(claim) else {
        return match state.published.get(&uid) {
            Some(before) => Err(format!("{name} published {} and now nothing", before.object)),
            None => Ok(()),
        };
    };
    if let Some(before) = state.published.get(&uid) {
        let is_same = before.object == object;
        return if is_same {
            Ok(())
        } else {
            Err(format!("{name} published {} and now {object}", before.object))
        };
    }
    let Some(made) = state.addresses.get(&(family, object.to_owned())) else {
        return Err(format!("{name} publishes {object}, which never was"));
    };
    if made.claim != uid {
        return Err(format!("{name} publishes {object}, which is of another claim"));
    }
    if !made.is_there && !made.by_hand {
        return Err(format!("{name} publishes {object}, which is gone"));
    }
    let place = made.place.clone();
    state.published.insert(uid, Publication { claim: name.clone(), object: object.to_owned(), place });
    nothing_is_doubled(&state.published)
}

fn nothing_is_doubled(published: &BTreeMap<String, Publication>) -> Verdict {
    let mut holders: BTreeMap<&Place, &str> = BTreeMap::new();
    for Publication { claim, place, .. } in published.values() {
        if let Some(other) = holders.insert(place, claim) {
            return Err(format!("{other} and {claim} both publish {} of pool {}", place.1, place.0));
        }
    }
    Ok(())
}
