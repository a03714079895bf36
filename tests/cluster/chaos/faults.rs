//! What may become of a request, and which requests there are.

use ipam::api::{Family, Kind};
use testbed::proxy::{Action, Match, Reply, Verb};

/// What may become of a write: it is done or not, and answered or not.
pub const FAULTS: [&str; 13] = [
    "dropped",
    "applied, reply lost",
    "409",
    "422",
    "429",
    "500",
    "503",
    "504",
    "applied, 500",
    "applied, 503",
    "applied, 504",
    "applied, no JSON",
    "late reply",
];

/// The fault of this number.
pub fn action(fault: usize) -> Action {
    let before = Action::AnswerBefore;
    match fault {
        0 => Action::CutBefore,
        1 => Action::CutAfter,
        2 => before(Reply::conflict()),
        3 => before(Reply::invalid()),
        4 => before(Reply::too_many_requests(1)),
        5 => before(Reply::internal_error()),
        6 => before(Reply::unavailable()),
        7 => before(Reply::timeout()),
        8 => Action::AnswerAfter(Reply::internal_error()),
        9 => Action::AnswerAfter(Reply::unavailable()),
        10 => Action::AnswerAfter(Reply::timeout()),
        11 => Action::AnswerAfter(Reply::raw(200, "<html>")),
        _ => Action::DelayAfter(std::time::Duration::from_millis(700)),
    }
}

/// The writes of a claim's life, in order.
pub const CLAIM_WRITES: [&str; 8] =
    ["protect", "take", "publish", "delete", "strip address", "let claim go", "refuse", "adopt"];
/// The writes of a pool's life, in order.
pub const POOL_WRITES: [&str; 3] = ["dress pool", "pool status", "let pool go"];

/// A write of a claim of this family.
pub fn claim_write(write: &str, family: Family) -> Match {
    let claims = Kind::Claim(family).resource().plural;
    let addresses = Kind::Address(family).resource();
    let addresses = format!("{}.{}", addresses.plural, addresses.group);
    let patch = || Match::verb(Verb::Patch);
    match write {
        "protect" => patch().resource(claims).subresource("").body("\"add\""),
        "take" => Match::verb(Verb::Post).resource(&addresses),
        "publish" => patch().resource(claims).subresource("status").body("\"True\""),
        "refuse" => patch().resource(claims).subresource("status").body("\"False\""),
        "adopt" => patch().resource(&addresses).body("\"add\""),
        "delete" => Match::verb(Verb::Delete).resource(&addresses),
        "strip address" => patch().resource(&addresses).body("\"remove\""),
        "let claim go" => patch().resource(claims).subresource("").body("\"remove\""),
        other => panic!("{other} is no write of a claim"),
    }
}

/// A write of a pool.
pub fn pool_write(write: &str) -> Match {
    let patch = Match::verb(Verb::Patch).resource("ippools");
    match write {
        "dress pool" => patch.subresource("").body("\"add\""),
        "pool status" => patch.subresource("status"),
        "let pool go" => patch.subresource("").body("\"remove\""),
        other => panic!("{other} is no write of a pool"),
    }
}

/// What a fault may hit in a storm, one of these: the writes, those of the lease, events, and reads.
pub fn targets() -> Vec<(&'static str, Match)> {
    let of_claims =
        CLAIM_WRITES.iter().flat_map(|write| Family::ALL.map(|family| (*write, claim_write(write, family))));
    let of_pools = POOL_WRITES.iter().map(|write| (*write, pool_write(write)));
    let others = [
        ("lease", Match::writes().resource("leases")),
        ("event", Match::writes().resource("events")),
        ("read", Match::verb(Verb::Get).resource("ipaddresses")),
        ("read", Match::verb(Verb::Get).resource("ipclaims")),
        ("read", Match::verb(Verb::Get).resource("ipaddressclaims")),
        ("list", Match::verb(Verb::List).resource("ipaddresses")),
        ("list", Match::verb(Verb::List).resource("ipclaims")),
        ("list", Match::verb(Verb::List).resource("ippools")),
        ("first list", Match::first_list().resource("ipaddresses")),
        ("first list", Match::first_list().resource("ipaddressclaims")),
        ("watch", Match::verb(Verb::Watch).resource("ipaddresses")),
    ];
    of_claims.chain(of_pools).chain(others).collect()
}
