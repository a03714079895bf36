//! What an edit of a pool would do, by the rules that the controller and admission go by.

use std::collections::HashMap;
use std::net::IpAddr;

use ipam::admission::{Endpoint, Operation, Request, Scope, Task, Verdict, admit};
use ipam::api::{Family, IPPool, IPPoolSpec, Kind, PoolRules};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::why::{Reasons, Why};
use crate::world::{Claim, World};

/// Size of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub capacity: u128,
    pub free: u128,
}

/// What an edit of a pool would do.
#[derive(Debug)]
pub struct Edit {
    pub pool: String,
    pub namespace: String,
    /// None where the pool is new.
    pub before: Option<Size>,
    pub after: Size,
    pub changes: bool,
    /// Addresses that are held and would be the pool's no longer, with their claims.
    pub falls_out: Vec<(IpAddr, String)>,
    /// The claims that wait now and would be served.
    pub served: Vec<String>,
    pub waiting: usize,
    /// What admission would say against it.
    pub violations: Vec<String>,
    pub old_yaml: String,
    pub new_yaml: String,
}

impl Edit {
    /// Works the edit out.
    pub fn of(world: &World, namespace: &str, wanted: &IPPool) -> Self {
        let name = wanted.name_any();
        let live = world.pool(namespace, &name);
        let mut pool = live.cloned().unwrap_or_else(|| wanted.clone());
        pool.spec = wanted.spec.clone();
        pool.metadata.namespace = Some(namespace.to_owned());
        let tally = world.tallies().of(&pool);
        let size = |spec: &IPPoolSpec| {
            let space = tally.space(&PoolRules::read(spec));
            Size { capacity: space.capacity(), free: space.free() }
        };
        let falls_out = falls_out(world, live, &pool);
        Self {
            before: live.map(|live| size(&live.spec)),
            after: size(&pool.spec),
            changes: live.is_none_or(|live| live.spec != pool.spec),
            served: served(world, &pool),
            waiting: tally.waiting.len(),
            violations: violations(live, &pool, &falls_out),
            old_yaml: live.map_or(String::new(), |live| yaml(&live.spec)),
            new_yaml: yaml(&pool.spec),
            falls_out,
            namespace: namespace.to_owned(),
            pool: name,
        }
    }

    /// What the edit is.
    pub fn verb(&self) -> &'static str {
        match (self.before, self.changes) {
            (None, _) => "would be created",
            (Some(_), true) => "would be changed",
            (Some(_), false) => "is so already",
        }
    }

    /// The edit as data.
    pub fn data(&self) -> Value {
        let size = |size: Size| json!({"capacity": size.capacity.to_string(), "free": size.free.to_string()});
        let falls_out =
            self.falls_out.iter().map(|(ip, claim)| json!({"address": ip.to_string(), "claim": claim}));
        json!({
            "pool": self.pool, "namespace": self.namespace, "new": self.before.is_none(), "changes": self.changes,
            "before": self.before.map(size), "after": size(self.after), "fallsOut": falls_out.collect::<Vec<_>>(),
            "serves": self.served, "waiting": self.waiting, "violations": self.violations,
        })
    }
}

/// Addresses in use that the pool has now and would not have after the edit.
fn falls_out(world: &World, live: Option<&IPPool>, pool: &IPPool) -> Vec<(IpAddr, String)> {
    let (before, after) =
        (live.map(|live| PoolRules::read(&live.spec).space()), PoolRules::read(&pool.spec).space());
    let of = world.addresses_of(pool).filter_map(|address| Some((address.ip?, address.claim.owned())));
    let leaves = |ip: IpAddr| {
        after.entry_of(ip).is_none() && before.as_ref().is_none_or(|before| before.entry_of(ip).is_some())
    };
    let mut found: Vec<(IpAddr, String)> = of.filter(|(ip, _)| leaves(*ip)).collect();
    found.sort();
    found
}

/// What admission would say: of a new pool everything, of a change only what it brings.
fn violations(live: Option<&IPPool>, pool: &IPPool, falls_out: &[(IpAddr, String)]) -> Vec<String> {
    let endpoint = Endpoint { task: Task::Validate, kind: Kind::Pool };
    let (operation, old) =
        live.map_or((Operation::Create, Value::Null), |live| (Operation::Update, json!(live)));
    let request = Request {
        uid: String::new(),
        operation,
        name: pool.name_any(),
        namespace: pool.namespace().unwrap_or_default(),
        old,
        new: json!(pool),
    };
    let in_use: Vec<IpAddr> = falls_out.iter().map(|(ip, _)| *ip).collect();
    match admit(endpoint, &request, &Scope::default(), &in_use) {
        Verdict::Invalid(violations) => violations.iter().map(ToString::to_string).collect(),
        Verdict::Allowed | Verdict::Patched(_) | Verdict::NotYet => Vec::new(),
    }
}

/// The claims that wait now and would get an address after the edit, oldest first, as far as there is room.
fn served(world: &World, pool: &IPPool) -> Vec<String> {
    let after = World {
        pools: vec![pool.clone()],
        claims: world.claims.clone(),
        addresses: world.addresses.clone(),
        clusters: world.clusters.clone(),
        ..World::default()
    };
    let of_pool: HashMap<(Family, &str), &Claim> =
        after.claims_of(pool).map(|claim| ((claim.family, claim.meta.name.as_str()), claim)).collect();
    let (mut reasons, mut served) = (Reasons::new(&after), Vec::new());
    for next in after.tallies().of(pool).waiting {
        let Some(claim) = of_pool.get(&(next.family, next.name.as_str())) else { continue };
        if matches!(reasons.why(claim), Why::Servable { .. }) {
            reasons.serve(claim);
            served.push(next.name.owned());
        }
    }
    served
}

fn yaml(spec: &IPPoolSpec) -> String {
    serde_saphyr::to_string(spec).unwrap_or_default()
}

/// Line by line, what is taken away and what is added, with what stays around it.
pub fn difference(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // The longest common subsequence; specs are some dozens of lines.
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("    {}\n", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(format!("  - {}\n", a[i]));
            i += 1;
        } else {
            lines.push(format!("  + {}\n", b[j]));
            j += 1;
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(spec: &Value) -> IPPool {
        let object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool",
                            "metadata": {"name": "p", "namespace": "ns"}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn world() -> World {
        let live = pool(&json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]}));
        let claim = |name: &str, day: u8| {
            json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim",
                "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": format!("2026-11-{day:02}T10:00:00Z")},
                "spec": {"pool": {"name": "p"}},
            })
        };
        let held = |ip: &str, claim: &str| {
            json!({
                "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": ip, "namespace": "ns"},
                "spec": {"address": ip, "pool": {"name": "p"}, "claim": {"name": claim}},
            })
        };
        World::of_objects(vec![
            json!(live),
            claim("late", 3),
            claim("early", 1),
            claim("later", 4),
            held("10.0.0.1", "a"),
            held("10.0.0.2", "b"),
        ])
    }

    #[test]
    fn a_pool_that_grows_serves_the_oldest_claims() {
        let wanted = pool(&json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.4"}]}));
        let edit = Edit::of(&world(), "ns", &wanted);
        assert_eq!(edit.before, Some(Size { capacity: 2, free: 0 }));
        assert_eq!(edit.after, Size { capacity: 4, free: 2 });
        assert_eq!((edit.served, edit.waiting), (vec!["early".to_owned(), "late".to_owned()], 3));
        assert!(edit.violations.is_empty() && edit.falls_out.is_empty());
    }

    #[test]
    fn what_admission_refuses_is_said_in_its_words() {
        let wanted = pool(&json!({"namePrefix": "q", "allocationStrategy": "sequential",
                                 "pools": [{"start": "10.0.0.2", "end": "10.0.0.4"}], "preAllocations": {"x": "10.9.9.9"}}));
        let edit = Edit::of(&world(), "ns", &wanted);
        assert_eq!(edit.falls_out, [("10.0.0.1".parse().unwrap(), "a".to_owned())]);
        insta::assert_snapshot!(edit.violations.join("\n"), @r#"
        spec.preAllocations: Invalid value: "10.9.9.9": is out of bounds of the pools given
        spec.namePrefix: Invalid value: "q": cannot be modified
        spec.pools: Invalid value: "10.0.0.1": is in use but out of bounds of the pools given
        "#);
    }

    #[test]
    fn a_difference_shows_what_goes_and_what_comes() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "    a\n  - b\n  + x\n    c\n");
    }
}
