//! One review → one verdict.

use std::net::IpAddr;

use super::defaults::{Scope, defaults};
use super::review::{Operation, Request, Verdict};
use super::{objects, pool};
use crate::addr::AddressSet;
use crate::api::{Family, Kind};
use crate::ledger::Id;

/// What a path of the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is done.
    pub task: Task,
    /// To objects of which kind.
    pub kind: Kind,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Fill in what is missing.
    Mutate,
    /// Say what is wrong.
    Validate,
}

impl Endpoint {
    /// The endpoint at a path.
    ///
    /// ```
    /// # use ipam::admission::Endpoint;
    /// assert!(Endpoint::at("/validate-ipam-metal3-io-v1alpha1-ippool").is_some());
    /// assert!(Endpoint::at("/mutate-ipam-cluster-x-k8s-io-ipaddressclaim").is_some());
    /// assert!(Endpoint::at("/validate-ipam-cluster-x-k8s-io-ipaddressclaim").is_none());
    /// ```
    pub fn at(path: &str) -> Option<Self> {
        if path == "/mutate-ipam-cluster-x-k8s-io-ipaddressclaim" {
            return Some(Self { task: Task::Mutate, kind: Kind::Claim(Family::Capi) });
        }
        let (task, kind) = match path.strip_prefix("/mutate-") {
            Some(rest) => (Task::Mutate, rest),
            None => (Task::Validate, path.strip_prefix("/validate-")?),
        };
        let kind = match kind.strip_prefix("ipam-metal3-io-v1alpha1-")? {
            "ippool" => Kind::Pool,
            "ipclaim" => Kind::Claim(Family::Metal3),
            "ipaddress" => Kind::Address(Family::Metal3),
            _ => return None,
        };
        Some(Self { task, kind })
    }
}

/// What has to be known before a request can be judged: which addresses of the pool, among those that it is about to
/// lose, somebody holds. `None` where the request loses none, which needs no answer.
pub fn question(endpoint: Endpoint, request: &Request) -> Option<(Id, AddressSet)> {
    let judged = endpoint == Endpoint { task: Task::Validate, kind: Kind::Pool };
    if !judged || request.operation != Operation::Update {
        return None;
    }
    let lost = pool::lost(&request.old, &request.new);
    (!lost.is_empty()).then(|| (Id::new(Kind::Pool, &request.namespace, &request.name), lost))
}

/// Judges a request. `in_use` is the answer to its [`question`], and empty where there was none.
pub fn admit(endpoint: Endpoint, request: &Request, scope: &Scope, in_use: &[IpAddr]) -> Verdict {
    match (endpoint.task, request.operation) {
        (_, Operation::Other) => Verdict::Allowed,
        (Task::Mutate, _) => match defaults(endpoint.kind, request, scope) {
            ops if ops.is_empty() => Verdict::Allowed,
            ops => Verdict::Patched(ops),
        },
        (Task::Validate, operation) => {
            let (old, new) = (&request.old, &request.new);
            let violations = match (endpoint.kind, operation) {
                (Kind::Pool, Operation::Create) => pool::created(new),
                (Kind::Pool, _) => pool::updated(old, new, in_use),
                (kind, Operation::Create) => objects::created(kind, new),
                (kind, _) => objects::updated(kind, old, new),
            };
            if violations.is_empty() { Verdict::Allowed } else { Verdict::Invalid(violations) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{MUTATING_WEBHOOKS, SYSTEM_NAMESPACE, VALIDATING_WEBHOOKS, WEBHOOK_SERVICE};

    fn shipped(which: &str) -> Value {
        let file = format!("{}/config/webhook/{which}.yaml", env!("CARGO_MANIFEST_DIR"));
        serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    #[test]
    fn every_shipped_webhook_leads_to_the_endpoint_of_its_kind() {
        for (which, name, task, verb, count) in [
            ("mutating", MUTATING_WEBHOOKS, Task::Mutate, "default", 4),
            ("validating", VALIDATING_WEBHOOKS, Task::Validate, "validation", 3),
        ] {
            let configuration = shipped(which);
            assert_eq!(configuration["metadata"]["name"], name);
            let webhooks = configuration["webhooks"].as_array().unwrap();
            assert_eq!(webhooks.len(), count);
            for webhook in webhooks {
                let service = &webhook["clientConfig"]["service"];
                assert_eq!(
                    (&service["name"], &service["namespace"]),
                    (&json!(WEBHOOK_SERVICE), &json!(SYSTEM_NAMESPACE))
                );
                let endpoint = Endpoint::at(service["path"].as_str().unwrap()).unwrap();
                let resource = endpoint.kind.resource();
                assert_eq!(endpoint.task, task);
                assert_eq!(webhook["rules"][0]["apiGroups"], json!([resource.group]));
                assert_eq!(webhook["rules"][0]["resources"], json!([resource.plural]));
                let kind = endpoint.kind.name().to_lowercase();
                assert_eq!(webhook["name"], format!("{verb}.{kind}.ipam.metal3.io"));
            }
        }
    }

    /// S9: what a controller that is down cannot hold up.
    #[test]
    fn s9_only_the_spec_of_a_pool_waits_for_the_controller() {
        for which in ["mutating", "validating"] {
            for webhook in shipped(which)["webhooks"].as_array().unwrap() {
                let fails_closed = webhook["failurePolicy"] != "Ignore";
                assert_eq!(fails_closed, webhook["name"] == "validation.ippool.ipam.metal3.io");
                assert_eq!(webhook["sideEffects"], "None");
                assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 5);
                let operations = webhook["rules"][0]["operations"].as_array().unwrap();
                assert!(operations.iter().all(|operation| operation == "CREATE" || operation == "UPDATE"));
                assert!(webhook["matchConditions"].is_array());
            }
        }
    }
}
