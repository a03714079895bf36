//! Claims and addresses: what must be there, what must be an address, and what stays as it is.

use serde_json::Value;

use crate::addr::parse_ip;
use crate::api::{Family, Kind, NOT_AN_IP, Violation, too_long};

/// The rules of a kind, as paths of fields.
struct Rules {
    /// Must hold a text when the object is made.
    required: &'static [&'static str],
    /// Must hold an address, if anything.
    addresses: &'static [&'static str],
    /// May not change.
    fixed: &'static [&'static str],
}

const CLAIM: Rules = Rules {
    required: &["spec.pool.name"],
    addresses: &["metadata.annotations.ipAddress"],
    fixed: &["spec.pool"],
};

const ADDRESS: Rules = Rules {
    required: &["spec.pool.name", "spec.claim.name", "spec.address"],
    addresses: &["metadata.annotations.ipAddress", "spec.address"],
    fixed: &["spec.pool", "spec.claim", "spec.address"],
};

const NONE: Rules = Rules { required: &[], addresses: &[], fixed: &[] };

fn rules(kind: Kind) -> &'static Rules {
    match kind {
        Kind::Claim(Family::Metal3) => &CLAIM,
        Kind::Address(Family::Metal3) => &ADDRESS,
        // Pools have a file of their own; the kinds of Cluster API are judged by Cluster API.
        Kind::Pool | Kind::Claim(Family::Capi) | Kind::Address(Family::Capi) | Kind::Cluster => &NONE,
    }
}

/// What is wrong with a new object.
pub(super) fn created(kind: Kind, new: &Value) -> Vec<Violation> {
    let rules = rules(kind);
    let empty = rules.required.iter().filter(|field| text(new, field).is_empty());
    let empty = empty.map(|field| Violation::new(*field, "", "cannot be empty"));
    let garbled = rules.addresses.iter().filter_map(|field| not_an_ip(new, field));
    empty.chain(garbled).chain(prefix_too_long(kind, new)).collect()
}

/// What is wrong with a change of an object.
pub(super) fn updated(kind: Kind, old: &Value, new: &Value) -> Vec<Violation> {
    let rules = rules(kind);
    let changed = |field: &str| part(old, field) != part(new, field);
    let fixed = rules.fixed.iter().filter(|field| changed(field));
    let fixed = fixed.map(|field| Violation::new(*field, part(new, field).clone(), "cannot be modified"));
    let garbled = rules.addresses.iter().filter(|field| changed(field));
    let garbled = garbled.filter_map(|field| not_an_ip(new, field));
    let beyond = prefix_too_long(kind, new).filter(|_| changed("spec.prefix") || changed("spec.address"));
    fixed.chain(garbled).chain(beyond).collect()
}

/// A prefix length that addresses of that family do not have. One that no family has, the schema refuses.
fn prefix_too_long(kind: Kind, address: &Value) -> Option<Violation> {
    const FIELD: &str = "spec.prefix";
    let prefix = part(address, FIELD).as_i64().filter(|_| kind == Kind::Address(Family::Metal3))?;
    too_long(FIELD, prefix, parse_ip(text(address, "spec.address")).ok()?)
}

fn not_an_ip(object: &Value, field: &str) -> Option<Violation> {
    let text = text(object, field);
    (!text.is_empty() && parse_ip(text).is_err()).then(|| Violation::new(field, text, NOT_AN_IP))
}

/// What stands at a field whose path has no name with a dot in it.
fn part<'a>(object: &'a Value, field: &str) -> &'a Value {
    object.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&Value::Null)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    part(object, field).as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLAIMS: Kind = Kind::Claim(Family::Metal3);
    const ADDRESSES: Kind = Kind::Address(Family::Metal3);

    fn said(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_object_names_what_it_needs() {
        assert_eq!(said(&created(CLAIMS, &json!({"spec": {"pool": {"name": "p"}}}))), [""; 0]);
        assert_eq!(
            said(&created(CLAIMS, &json!({"spec": {"pool": {}}}))),
            ["spec.pool.name: Invalid value: \"\": cannot be empty"]
        );
        assert_eq!(
            said(&created(ADDRESSES, &json!({"spec": {"pool": {"name": ""}}}))),
            [
                "spec.pool.name: Invalid value: \"\": cannot be empty",
                "spec.claim.name: Invalid value: \"\": cannot be empty",
                "spec.address: Invalid value: \"\": cannot be empty",
            ]
        );
    }

    #[test]
    fn an_address_is_one_in_any_form_that_the_reader_takes() {
        let claim = |ip: &str| json!({"metadata": {"annotations": {"ipAddress": ip}}, "spec": {"pool": {"name": "p"}}});
        for accepted in ["10.0.0.1", "FD00::0001", ""] {
            assert_eq!(said(&created(CLAIMS, &claim(accepted))), [""; 0], "{accepted}");
        }
        assert_eq!(
            said(&created(CLAIMS, &claim("10.0.0.01"))),
            ["metadata.annotations.ipAddress: Invalid value: \"10.0.0.01\": is not a valid IP address"]
        );
        let address = json!({"spec": {"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "x"}});
        assert_eq!(
            said(&created(ADDRESSES, &address)),
            ["spec.address: Invalid value: \"x\": is not a valid IP address"]
        );
    }

    #[test]
    fn what_an_object_is_about_stays() {
        let claim = |pool: &str| json!({"spec": {"pool": {"name": pool}}});
        assert_eq!(
            said(&updated(CLAIMS, &claim("p"), &claim("q"))),
            ["spec.pool: Invalid value: {\"name\":\"q\"}: cannot be modified"]
        );
        let address =
            |ip: &str, claim: &str| json!({"spec": {"pool": {}, "claim": {"name": claim}, "address": ip}});
        assert_eq!(
            said(&updated(ADDRESSES, &address("10.0.0.1", "c"), &address("10.0.0.2", "d"))),
            [
                "spec.claim: Invalid value: {\"name\":\"d\"}: cannot be modified",
                "spec.address: Invalid value: \"10.0.0.2\": cannot be modified",
            ]
        );
    }

    #[test]
    fn s10_what_was_wrong_before_passes_as_long_as_it_is_not_touched() {
        let claim = |ip: &str, label: &str| json!({"metadata": {"annotations": {"ipAddress": ip}, "labels": {"a": label}}});
        assert_eq!(updated(CLAIMS, &claim("nonsense", "1"), &claim("nonsense", "2")), []);
        assert_eq!(updated(CLAIMS, &claim("nonsense", "1"), &claim("10.0.0.1", "1")), []);
        assert_eq!(updated(CLAIMS, &claim("nonsense", "1"), &claim("folly", "1")).len(), 1);
    }
}
