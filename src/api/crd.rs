//! The CRDs: the types' schemas, and the rules that need one object only.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{IPAddress, IPClaim, IPPool};

/// A rule of a CRD, in CEL.
struct Rule {
    /// JSON pointer to the schema that it stands in, below `openAPIV3Schema`.
    at: &'static str,
    /// The expression.
    holds: &'static str,
    /// What is wrong where it does not hold: a text, or an expression that makes one.
    says: Says,
    /// The field that is to blame, where that is not the one that the rule stands at.
    field: Option<&'static str>,
    /// It may look at what was there before, if anything was, and holds for new objects too.
    looks_back: bool,
}

enum Says {
    Text(&'static str),
    Made(&'static str),
}

const fn rule(at: &'static str, holds: &'static str, text: &'static str) -> Rule {
    Rule { at, holds, says: Says::Text(text), field: None, looks_back: false }
}

const fn made(at: &'static str, holds: &'static str, expression: &'static str) -> Rule {
    Rule { says: Says::Made(expression), ..rule(at, holds, "") }
}

const fn blame(field: &'static str, rule: Rule) -> Rule {
    Rule { field: Some(field), ..rule }
}

const fn looking_back(rule: Rule) -> Rule {
    Rule { looks_back: true, ..rule }
}

const SPEC: &str = "/properties/spec";
const ENTRY: &str = "/properties/spec/properties/pools/items";

// The API server's own `isIP` refuses zones, IPv4 that is mapped into IPv6, and leading zeros, as `addr::parse_ip` does.
const IS_IP: &str = "isIP(self)";
const NOT_AN_IP: &str = super::NOT_AN_IP;
const EMPTY: &str = "cannot be empty";
const UNCHANGED: &str = "self == oldSelf";
const IMMUTABLE: &str = "cannot be modified";

/// Of all kinds: a new object has a spec.
const HAS_SPEC: Rule = looking_back(rule(
    "",
    "has(self.spec) || (oldSelf.hasValue() && !has(oldSelf.value().spec))",
    "spec: Required value",
));

const POOL_RULES: &[Rule] = &[
    rule("/properties/spec/properties/namePrefix", UNCHANGED, IMMUTABLE),
    rule(
        "/properties/spec/properties/namePrefix",
        "self == '' || self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z0-9][-a-z0-9]*$')",
        super::rules::NO_PREFIX,
    ),
    blame(
        ".allocationStrategy",
        rule(
            SPEC,
            // A pool that was stored without one, as by older versions of the replaced system, may still be given one.
            "!has(oldSelf.allocationStrategy) || oldSelf.allocationStrategy == \
             (has(self.allocationStrategy) ? self.allocationStrategy : 'random')",
            "cannot be modified after creation",
        ),
    ),
    // A prefix that was there before stands in nobody's way: a rule of the spec is asked whenever anything in it changes.
    looking_back(blame(
        ".prefix",
        rule(
            SPEC,
            "!has(self.prefix) || self.prefix <= 32 || !has(self.pools) || \
             (oldSelf.hasValue() && has(oldSelf.value().prefix) && oldSelf.value().prefix == self.prefix) || \
             self.pools.all(entry, has(entry.prefix) || \
             (has(entry.start) ? entry.start : has(entry.end) ? entry.end : has(entry.subnet) ? entry.subnet : ':')\
             .contains(':'))",
            "must be between 0 and 32",
        ),
    )),
    rule("/properties/spec/properties/gateway", IS_IP, NOT_AN_IP),
    rule("/properties/spec/properties/dnsServers/items", IS_IP, NOT_AN_IP),
    rule("/properties/spec/properties/preAllocations/additionalProperties", IS_IP, NOT_AN_IP),
    rule(
        "/properties/spec/properties/excludedAddresses/items",
        "isIP(self) || isCIDR(self) || (self.contains('-') && \
         isIP(self.substring(0, self.indexOf('-')).trim()) && isIP(self.substring(self.indexOf('-') + 1).trim()))",
        "must be an IP address, a CIDR or first-last",
    ),
    rule(
        ENTRY,
        "has(self.start) || has(self.end) || has(self.subnet)",
        "pool entry must specify at least one of start, end, or subnet",
    ),
    made(ENTRY, "!has(self.start) || isIP(self.start)", "'invalid Start IP \"' + self.start + '\"'"),
    made(ENTRY, "!has(self.end) || isIP(self.end)", "'invalid End IP \"' + self.end + '\"'"),
    made(
        ENTRY,
        "!has(self.subnet) || isCIDR(self.subnet)",
        "'invalid Subnet \"' + self.subnet + '\": not a valid CIDR address'",
    ),
    rule("/properties/spec/properties/pools/items/properties/gateway", IS_IP, NOT_AN_IP),
    rule("/properties/spec/properties/pools/items/properties/dnsServers/items", IS_IP, NOT_AN_IP),
    // Families are told by the colon, which every IPv6 text has and no IPv4 text: forms are checked above.
    rule(
        ENTRY,
        "[has(self.start) ? self.start : '', has(self.end) ? self.end : '', has(self.subnet) ? self.subnet : '']\
         .filter(text, text != '').all(text, text.contains(':') == \
         (has(self.start) ? self.start : has(self.end) ? self.end : has(self.subnet) ? self.subnet : '').contains(':'))",
        "start, end and subnet must be of one IP family",
    ),
    blame(
        ".prefix",
        rule(
            ENTRY,
            "!has(self.prefix) || self.prefix <= 32 || \
             (has(self.start) ? self.start : has(self.end) ? self.end : has(self.subnet) ? self.subnet : ':')\
             .contains(':')",
            "must be between 0 and 32",
        ),
    ),
];

const CLAIM_RULES: &[Rule] = &[
    rule("/properties/spec/properties/pool", UNCHANGED, IMMUTABLE),
    blame(".name", rule("/properties/spec/properties/pool", "has(self.name) && self.name != ''", EMPTY)),
];

const ADDRESS_RULES: &[Rule] = &[
    rule("/properties/spec/properties/pool", UNCHANGED, IMMUTABLE),
    rule("/properties/spec/properties/claim", UNCHANGED, IMMUTABLE),
    rule("/properties/spec/properties/address", UNCHANGED, IMMUTABLE),
    rule("/properties/spec/properties/address", "self != ''", EMPTY),
    rule("/properties/spec/properties/address", "self == '' || isIP(self)", NOT_AN_IP),
    blame(
        ".prefix",
        rule(
            SPEC,
            "!has(self.prefix) || self.prefix <= 32 || self.address.contains(':')",
            "must be between 0 and 32",
        ),
    ),
    rule("/properties/spec/properties/gateway", IS_IP, NOT_AN_IP),
    rule("/properties/spec/properties/dnsServers/items", IS_IP, NOT_AN_IP),
    blame(".name", rule("/properties/spec/properties/pool", "has(self.name) && self.name != ''", EMPTY)),
    blame(".name", rule("/properties/spec/properties/claim", "has(self.name) && self.name != ''", EMPTY)),
];

/// A bound of a value. Bounds keep the cost of the rules within the API server's budget; but for the lengths of lists, none
/// refuses what can be valid.
type Bound = (&'static str, &'static str, i64);

/// No object's name is longer.
const NAME_LENGTH: i64 = 253;
/// No IP address, and no CIDR, is longer.
const IP_LENGTH: i64 = 45;

const POOL_BOUNDS: &[Bound] = &[
    ("/properties/spec/properties/namePrefix", "minLength", 1),
    ("/properties/spec/properties/namePrefix", "maxLength", NAME_LENGTH),
    ("/properties/spec/properties/gateway", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/dnsServers", "maxItems", 64),
    ("/properties/spec/properties/dnsServers/items", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/preAllocations/additionalProperties", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/preAllocations", "maxProperties", 65_536),
    ("/properties/spec/properties/excludedAddresses", "maxItems", 1024),
    ("/properties/spec/properties/excludedAddresses/items", "maxLength", 2 * IP_LENGTH),
    ("/properties/spec/properties/prefix", "minimum", 0),
    ("/properties/spec/properties/prefix", "maximum", 128),
    ("/properties/spec/properties/pools", "maxItems", 1024),
    ("/properties/spec/properties/pools/items/properties/prefix", "minimum", 0),
    ("/properties/spec/properties/pools/items/properties/prefix", "maximum", 128),
    ("/properties/spec/properties/pools/items/properties/start", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/pools/items/properties/end", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/pools/items/properties/subnet", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/pools/items/properties/gateway", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/pools/items/properties/dnsServers", "maxItems", 64),
    ("/properties/spec/properties/pools/items/properties/dnsServers/items", "maxLength", IP_LENGTH),
];

const ADDRESS_BOUNDS: &[Bound] = &[
    ("/properties/spec/properties/prefix", "minimum", 0),
    ("/properties/spec/properties/prefix", "maximum", 128),
    ("/properties/spec/properties/address", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/gateway", "maxLength", IP_LENGTH),
    ("/properties/spec/properties/dnsServers", "maxItems", 64),
    ("/properties/spec/properties/dnsServers/items", "maxLength", IP_LENGTH),
];

/// The CRDs as files: name and YAML of each.
pub fn crd_files() -> Vec<(String, String)> {
    crds().iter().map(|crd| (file_name(crd), yaml(crd))).collect()
}

/// The CRDs as the API server takes them.
pub fn crds() -> Vec<Value> {
    vec![
        finish(json!(IPAddress::crd()), ADDRESS_RULES, ADDRESS_BOUNDS),
        finish(json!(IPClaim::crd()), CLAIM_RULES, &[]),
        finish(json!(IPPool::crd()), POOL_RULES, POOL_BOUNDS),
    ]
}

fn file_name(crd: &Value) -> String {
    let name = |key: &str| crd["spec"][key].as_str().unwrap_or_default();
    format!("{}_{}.yaml", name("group"), crd["spec"]["names"]["plural"].as_str().unwrap_or_default())
}

fn yaml(crd: &Value) -> String {
    let head = "# Generated from the types in src/api by `make generate`; changes here are overwritten.\n";
    // A JSON value has no form that YAML lacks.
    head.to_owned() + &serde_saphyr::to_string(crd).unwrap_or_default()
}

fn finish(mut crd: Value, rules: &[Rule], bounds: &[Bound]) -> Value {
    // Metal3's definitions name a webhook for conversion. Whoever applies these over them may not name another strategy, as
    // the API server refuses a webhook beside it; there is one version, so nothing is ever converted.
    if let Some(spec) = crd["spec"].as_object_mut() {
        spec.remove("conversion");
    }
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    // The replaced system's definitions do not require one: what is stored without can still be labelled and deleted. A
    // new object needs one, by the rule below.
    if let Some(members) = schema.as_object_mut() {
        // Nothing else is.
        members.remove("required");
    }
    schema["description"] = schema["properties"]["spec"]["description"].clone();
    for (at, bound, value) in bounds {
        part(schema, at)[bound] = json!(value);
    }
    if let Some(conditions) = schema.pointer_mut("/properties/status/properties/conditions") {
        conditions["x-kubernetes-list-type"] = json!("map");
        conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    }
    for rule in std::iter::once(&HAS_SPEC).chain(rules) {
        let mut entry = json!({"rule": rule.holds});
        match rule.says {
            Says::Text(text) => entry["message"] = json!(text),
            Says::Made(expression) => entry["messageExpression"] = json!(expression),
        }
        if let Some(field) = rule.field {
            entry["fieldPath"] = json!(field);
        }
        if rule.looks_back {
            entry["optionalOldSelf"] = json!(true);
        }
        let at = &mut part(schema, rule.at)["x-kubernetes-validations"];
        match at.as_array_mut() {
            Some(rules) => rules.push(entry),
            None => *at = json!([entry]),
        }
    }
    crd
}

/// The part of a schema that a table names; made where it is missing, which the test of the tables finds.
fn part<'a>(schema: &'a mut Value, at: &str) -> &'a mut Value {
    at.split('/').skip(1).fold(schema, |part, name| &mut part[name])
}

/// Makes a derived schema read like any other: optional fields are absent, not null, and whole numbers are whole.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("nullable");
            for value in members.values_mut() {
                if let Some(number) = value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0)
                {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "bounds of integers, written as floats"
                    )]
                    let whole = number as i64;
                    *value = json!(whole);
                }
                tidy(value);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_and_bound_stands_at_a_part_that_the_types_have() {
        let kinds = [
            (json!(IPAddress::crd()), ADDRESS_RULES, ADDRESS_BOUNDS),
            (json!(IPClaim::crd()), CLAIM_RULES, &[]),
            (json!(IPPool::crd()), POOL_RULES, POOL_BOUNDS),
        ];
        for (crd, rules, bounds) in kinds {
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            for at in rules.iter().map(|rule| rule.at).chain(bounds.iter().map(|bound| bound.0)) {
                assert!(schema.pointer(at).is_some(), "{at}");
            }
        }
    }

    #[test]
    fn nothing_is_nullable_and_no_number_is_broken() {
        for (name, yaml) in crd_files() {
            assert!(!yaml.contains("nullable"), "{name}");
            assert!(!yaml.lines().any(|line| line.ends_with(".0")), "{name}");
        }
    }
}
