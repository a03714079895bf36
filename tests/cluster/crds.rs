//! What the CRDs accept and refuse by themselves, on a real API server and with no webhook.

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::scene::plane;

/// What is to come of an object.
#[derive(Clone, Copy)]
enum Verdict {
    Accepted,
    /// Refused, with HTTP 422, for this field, and with this in the detail.
    Refused(&'static str, &'static str),
}
use Verdict::{Accepted, Refused};

const NOT_AN_IP: &str = "is not a valid IP address";
const NO_ENTRY: &str = "pool entry must specify at least one of start, end, or subnet";
const FAMILY: &str = "start, end and subnet must be of one IP family";
const FIXED: &str = "cannot be modified";
const EMPTY: &str = "cannot be empty";

/// Specs of pools that are created.
#[expect(clippy::too_many_lines, reason = "a table")]
fn pools() -> Vec<(&'static str, Value, Verdict)> {
    let entry = |entry: Value| json!({"namePrefix": "p", "pools": [entry]});
    let with = |field: &str, value: Value| {
        let mut spec = json!({"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/24"}]});
        spec[field] = value;
        spec
    };
    vec![
        ("a subnet", entry(json!({"subnet": "10.0.0.0/24"})), Accepted),
        ("a subnet with host bits", entry(json!({"subnet": "192.168.1.1/26"})), Accepted),
        ("a subnet of IPv6", entry(json!({"subnet": "2001:db8::/64"})), Accepted),
        ("all of IPv4", entry(json!({"subnet": "0.0.0.0/0"})), Accepted),
        ("all of IPv6", entry(json!({"subnet": "::/0"})), Accepted),
        ("one host", entry(json!({"subnet": "10.0.0.1/32"})), Accepted),
        ("one host of IPv6", entry(json!({"subnet": "fd00::1/128"})), Accepted),
        ("start and end", entry(json!({"start": "10.0.0.1", "end": "10.0.0.9"})), Accepted),
        ("start and end of IPv6", entry(json!({"start": "fd00::1", "end": "fd00::ffff"})), Accepted),
        ("start alone", entry(json!({"start": "10.0.0.1"})), Accepted),
        ("end alone", entry(json!({"end": "10.0.0.1"})), Accepted),
        ("upper case", entry(json!({"start": "FD00::A"})), Accepted),
        ("a long form", entry(json!({"start": "2001:0db8:0000:0000:0000:0000:0000:0001"})), Accepted),
        ("no entry", json!({"namePrefix": "p"}), Accepted),
        ("an entry of nothing", entry(json!({})), Refused("spec.pools[0]", NO_ENTRY)),
        ("an entry of only a prefix", entry(json!({"prefix": 24})), Refused("spec.pools[0]", NO_ENTRY)),
        (
            "a start that is none",
            entry(json!({"start": "10.0.0"})),
            Refused("spec.pools[0]", "invalid Start IP \"10.0.0\""),
        ),
        (
            "a start out of range",
            entry(json!({"start": "10.0.0.256"})),
            Refused("spec.pools[0]", "invalid Start IP"),
        ),
        (
            "a start with a leading zero",
            entry(json!({"start": "10.0.0.01"})),
            Refused("spec.pools[0]", "invalid Start IP"),
        ),
        (
            "a start with a zone",
            entry(json!({"start": "fe80::1%eth0"})),
            Refused("spec.pools[0]", "invalid Start IP"),
        ),
        (
            "IPv4 inside of IPv6",
            entry(json!({"start": "::ffff:10.0.0.1"})),
            Refused("spec.pools[0]", "invalid Start IP"),
        ),
        (
            "an empty start",
            entry(json!({"start": "", "end": "10.0.0.1"})),
            Refused("spec.pools[0]", "invalid Start IP \"\""),
        ),
        ("an end that is none", entry(json!({"end": "x"})), Refused("spec.pools[0]", "invalid End IP \"x\"")),
        (
            "an end with a blank",
            entry(json!({"end": "10.0.0.1 "})),
            Refused("spec.pools[0]", "invalid End IP"),
        ),
        (
            "a subnet without length",
            entry(json!({"subnet": "10.0.0.0"})),
            Refused("spec.pools[0]", "invalid Subnet \"10.0.0.0\": "),
        ),
        (
            "a length beyond IPv4",
            entry(json!({"subnet": "10.0.0.0/33"})),
            Refused("spec.pools[0]", "invalid Subnet"),
        ),
        (
            "a length beyond IPv6",
            entry(json!({"subnet": "fd00::/129"})),
            Refused("spec.pools[0]", "invalid Subnet"),
        ),
        (
            "two families",
            entry(json!({"start": "10.0.0.1", "end": "fd00::1"})),
            Refused("spec.pools[0]", FAMILY),
        ),
        (
            "a subnet of the other family",
            entry(json!({"start": "10.0.0.1", "subnet": "fd00::/64"})),
            Refused("spec.pools[0]", FAMILY),
        ),
        ("IPv4 and 32 bits", entry(json!({"start": "10.0.0.1", "prefix": 32})), Accepted),
        (
            "IPv4 and 33 bits",
            entry(json!({"start": "10.0.0.1", "prefix": 33})),
            Refused("spec.pools[0].prefix", "must be between 0 and 32"),
        ),
        ("IPv6 and 64 bits", entry(json!({"start": "fd00::1", "prefix": 64})), Accepted),
        (
            "IPv6 and 129 bits",
            entry(json!({"start": "fd00::1", "prefix": 129})),
            Refused("spec.pools[0].prefix", "less than or equal to 128"),
        ),
        (
            "a negative length",
            entry(json!({"start": "fd00::1", "prefix": -1})),
            Refused("spec.pools[0].prefix", "greater than or equal to 0"),
        ),
        ("an entry's gateway", entry(json!({"start": "10.0.0.1", "gateway": "10.0.0.254"})), Accepted),
        (
            "an entry's gateway that is none",
            entry(json!({"start": "10.0.0.1", "gateway": "gw"})),
            Refused("spec.pools[0].gateway", NOT_AN_IP),
        ),
        (
            "an entry's DNS server that is none",
            entry(json!({"start": "10.0.0.1", "dnsServers": ["1.1.1.1", "dns"]})),
            Refused("spec.pools[0].dnsServers[1]", NOT_AN_IP),
        ),
        (
            "the second of two entries",
            json!({"namePrefix": "p", "pools": [{"start": "10.0.0.1"}, {"start": "y"}]}),
            Refused("spec.pools[1]", "invalid Start IP \"y\""),
        ),
        ("a gateway", with("gateway", json!("10.0.0.1")), Accepted),
        ("a gateway that is none", with("gateway", json!("10.0.0.1/24")), Refused("spec.gateway", NOT_AN_IP)),
        ("DNS servers of both families", with("dnsServers", json!(["1.1.1.1", "2606:4700::1111"])), Accepted),
        (
            "a DNS server that is none",
            with("dnsServers", json!(["one.one.one.one"])),
            Refused("spec.dnsServers[0]", NOT_AN_IP),
        ),
        (
            "a prefix of names that none begins with",
            with("namePrefix", json!("X_Y")),
            Refused("spec.namePrefix", "must be the beginning of an object's name"),
        ),
        ("a prefix of names with a dot", with("namePrefix", json!("rack.1")), Accepted),
        ("the longest prefix", with("prefix", json!(32)), Accepted),
        (
            "a prefix that IPv4 does not have",
            with("prefix", json!(64)),
            Refused("spec.prefix", "must be between 0 and 32"),
        ),
        (
            "a prefix too long",
            with("prefix", json!(129)),
            Refused("spec.prefix", "less than or equal to 128"),
        ),
        ("a prefix of text", with("prefix", json!("24")), Refused("spec.prefix", "must be of type integer")),
        ("a reservation", with("preAllocations", json!({"c": "10.0.0.5"})), Accepted),
        (
            "a reservation that is none",
            with("preAllocations", json!({"c": "10.0.0"})),
            Refused("spec.preAllocations[c]", NOT_AN_IP),
        ),
        (
            "exclusions in three forms",
            with(
                "excludedAddresses",
                json!(["10.0.0.1", "10.0.0.8/30", "10.0.0.20-10.0.0.30", "fd00::1 - fd00::9"]),
            ),
            Accepted,
        ),
        (
            "an exclusion that is none",
            with("excludedAddresses", json!(["10.0.0.1-"])),
            Refused("spec.excludedAddresses[0]", "must be an IP address, a CIDR or first-last"),
        ),
        ("random", with("allocationStrategy", json!("random")), Accepted),
        ("sequential", with("allocationStrategy", json!("sequential")), Accepted),
        (
            "another strategy",
            with("allocationStrategy", json!("lucky")),
            Refused("spec.allocationStrategy", "Unsupported value"),
        ),
        (
            "an empty name prefix",
            with("namePrefix", json!("")),
            Refused("spec.namePrefix", "at least 1 chars long"),
        ),
        (
            "no name prefix",
            json!({"pools": [{"subnet": "10.0.0.0/24"}]}),
            Refused("spec.namePrefix", "Required value"),
        ),
    ]
}

/// Changes of a stored pool, claim or address: kind, what is there, the merge patch.
fn updates() -> Vec<(&'static str, &'static str, Value, Value, Verdict)> {
    let pool = json!({"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/24"}]});
    let sequential =
        json!({"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/24"}], "allocationStrategy": "sequential"});
    let claim = json!({"pool": {"name": "p"}});
    let address = json!({"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}});
    let strategy = "cannot be modified after creation";
    vec![
        (
            "the name prefix",
            "IPPool",
            pool.clone(),
            json!({"spec": {"namePrefix": "q"}}),
            Refused("spec.namePrefix", FIXED),
        ),
        (
            "a strategy where none was",
            "IPPool",
            pool.clone(),
            json!({"spec": {"allocationStrategy": "sequential"}}),
            Accepted,
        ),
        (
            "the strategy that none means",
            "IPPool",
            pool.clone(),
            json!({"spec": {"allocationStrategy": "random"}}),
            Accepted,
        ),
        (
            "another strategy",
            "IPPool",
            sequential.clone(),
            json!({"spec": {"allocationStrategy": "random"}}),
            Refused("spec.allocationStrategy", strategy),
        ),
        (
            "no strategy any more",
            "IPPool",
            sequential,
            json!({"spec": {"allocationStrategy": null}}),
            Refused("spec.allocationStrategy", strategy),
        ),
        (
            "a pool that grows",
            "IPPool",
            pool.clone(),
            json!({"spec": {"pools": [{"subnet": "10.0.0.0/16"}]}}),
            Accepted,
        ),
        (
            "a pool that gets worse",
            "IPPool",
            pool.clone(),
            json!({"spec": {"pools": [{"subnet": "x"}]}}),
            Refused("spec.pools[0]", "invalid Subnet"),
        ),
        ("a pool's labels", "IPPool", pool, json!({"metadata": {"labels": {"a": "b"}}}), Accepted),
        (
            "a claim's pool",
            "IPClaim",
            claim.clone(),
            json!({"spec": {"pool": {"name": "q"}}}),
            Refused("spec.pool", FIXED),
        ),
        (
            "a claim's annotation",
            "IPClaim",
            claim,
            json!({"metadata": {"annotations": {"ipAddress": "10.0.0.1"}}}),
            Accepted,
        ),
        (
            "an address",
            "IPAddress",
            address.clone(),
            json!({"spec": {"address": "10.0.0.2"}}),
            Refused("spec.address", FIXED),
        ),
        (
            "an address's pool",
            "IPAddress",
            address.clone(),
            json!({"spec": {"pool": {"name": "q"}}}),
            Refused("spec.pool", FIXED),
        ),
        (
            "an address's claim",
            "IPAddress",
            address.clone(),
            json!({"spec": {"claim": {"name": "d"}}}),
            Refused("spec.claim", FIXED),
        ),
        ("an address's gateway", "IPAddress", address, json!({"spec": {"gateway": "10.0.0.254"}}), Accepted),
    ]
}

/// Specs of claims and addresses that are created.
fn others() -> Vec<(&'static str, &'static str, Value, Verdict)> {
    let address = |address: &str, pool: &str, claim: &str| json!({"address": address, "pool": {"name": pool}, "claim": {"name": claim}});
    vec![
        ("a claim", "IPClaim", json!({"pool": {"name": "p"}}), Accepted),
        (
            "a claim for a pool elsewhere",
            "IPClaim",
            json!({"pool": {"name": "p", "namespace": "other"}}),
            Accepted,
        ),
        ("a claim for no name", "IPClaim", json!({"pool": {"name": ""}}), Refused("spec.pool.name", EMPTY)),
        ("a claim for a pool without name", "IPClaim", json!({"pool": {}}), Refused("spec.pool.name", EMPTY)),
        ("a claim for no pool", "IPClaim", json!({}), Refused("spec.pool", "Required value")),
        ("an address", "IPAddress", address("10.0.0.1", "p", "c"), Accepted),
        ("an address of IPv6", "IPAddress", address("FD00::0005", "p", "c"), Accepted),
        ("no address", "IPAddress", address("", "p", "c"), Refused("spec.address", EMPTY)),
        (
            "an address that is none",
            "IPAddress",
            address("10.0.0.1/24", "p", "c"),
            Refused("spec.address", NOT_AN_IP),
        ),
        (
            "an address with a prefix of the other family",
            "IPAddress",
            {
                let mut long = address("10.0.0.1", "p", "c");
                long["prefix"] = json!(64);
                long
            },
            Refused("spec.prefix", "must be between 0 and 32"),
        ),
        (
            "an address of no pool",
            "IPAddress",
            address("10.0.0.1", "", "c"),
            Refused("spec.pool.name", EMPTY),
        ),
        (
            "an address of no claim",
            "IPAddress",
            address("10.0.0.1", "p", ""),
            Refused("spec.claim.name", EMPTY),
        ),
    ]
}

struct Corpus {
    namespace: String,
    client: kube::Client,
    wrong: Vec<String>,
    next: u32,
}

impl Corpus {
    async fn new() -> Self {
        let plane = plane().await;
        let namespace = plane.create_namespace("crds").await.unwrap();
        Self { namespace, client: plane.client(), wrong: Vec::new(), next: 0 }
    }

    fn api(&self, kind: &str) -> (Api<DynamicObject>, ApiResource) {
        let plural = format!("{}s", kind.to_lowercase()).replace("addresss", "addresses");
        let resource = ApiResource {
            group: "ipam.metal3.io".into(),
            version: "v1alpha1".into(),
            api_version: "ipam.metal3.io/v1alpha1".into(),
            kind: kind.into(),
            plural,
        };
        (Api::namespaced_with(self.client.clone(), &self.namespace, &resource), resource)
    }

    async fn create(&mut self, kind: &str, spec: &Value) -> (String, kube::Result<DynamicObject>) {
        self.next += 1;
        let name = format!("o{}", self.next);
        let (api, resource) = self.api(kind);
        let object = DynamicObject::new(&name, &resource).data(json!({ "spec": spec }));
        (name, api.create(&PostParams::default(), &object).await)
    }

    fn judge(&mut self, what: &str, result: kube::Result<DynamicObject>, verdict: Verdict) {
        let wrong = match (verdict, result) {
            (Accepted, Ok(_)) => return,
            (Accepted, Err(error)) => format!("refused: {error}"),
            (Refused(..), Ok(_)) => "accepted".to_owned(),
            (Refused(field, detail), Err(kube::Error::Api(status))) => {
                let causes = status.details.map(|details| details.causes).unwrap_or_default();
                let is_said =
                    |field_said: &str, message: &str| field_said == field && message.contains(detail);
                if status.code == 422 && causes.iter().any(|cause| is_said(&cause.field, &cause.message)) {
                    return;
                }
                let said: Vec<String> =
                    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                format!("refused otherwise ({}): {said:?}", status.code)
            }
            (Refused(..), Err(error)) => format!("no answer: {error}"),
        };
        self.wrong.push(format!("{what}: {wrong}"));
    }
}

#[tokio::test]
async fn the_crds_accept_and_refuse_what_the_contract_says() {
    let mut corpus = Corpus::new().await;
    let (pools, others, updates) = (pools(), others(), updates());
    assert!(pools.len() + others.len() + updates.len() >= 60);
    for (what, spec, verdict) in pools {
        let (_, result) = corpus.create("IPPool", &spec).await;
        corpus.judge(&format!("pool: {what}"), result, verdict);
    }
    for (what, kind, spec, verdict) in others {
        let (_, result) = corpus.create(kind, &spec).await;
        corpus.judge(what, result, verdict);
    }
    for (what, kind, spec, patch, verdict) in updates {
        let (name, created) = corpus.create(kind, &spec).await;
        created.unwrap();
        let patched = corpus.api(kind).0.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        corpus.judge(&format!("update: {what}"), patched, verdict);
    }
    assert!(corpus.wrong.is_empty(), "{:#?}", corpus.wrong);
}

/// The columns, short names and categories by which people find the kinds.
#[tokio::test]
async fn kubectl_shows_the_columns_and_knows_the_short_names() {
    let plane = plane().await;
    let namespace = plane.create_namespace("columns").await.unwrap();
    let kubectl = |arguments: &[&str]| {
        let output = plane.kubectl().args(["--namespace", &namespace]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "p", "namespace": namespace, "labels": {"cluster.x-k8s.io/cluster-name": "k"}},
         "spec": {"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/24"}]}},
        {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": {"name": "c", "namespace": namespace},
         "spec": {"pool": {"name": "p"}}},
        {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": "a", "namespace": namespace},
         "spec": {"address": "10.0.0.1", "pool": {"name": "p"}, "claim": {"name": "c"}}},
    ]});
    plane.apply_yaml(&objects.to_string()).await.unwrap();
    let ready = json!([{"type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let pool = json!({"status": {"capacity": 254, "availableIPCount": 253, "conditions": ready}}).to_string();
    let claim = json!({"status": {"address": {"name": "p-10-0-0-1"}, "conditions": ready}}).to_string();
    for (object, status) in [("ippool/p", pool), ("ipclaim/c", claim)] {
        kubectl(&["patch", object, "--subresource=status", "--type=merge", "--patch", &status]);
    }
    for (names, header, row) in [
        (
            &[
                "ippools",
                "ipp",
                "ippool",
                "m3ipp",
                "m3ippool",
                "m3ippools",
                "metal3ipp",
                "metal3ippool",
                "metal3ippools",
            ][..],
            &["NAME", "CLUSTER", "CAPACITY", "AVAILABLE", "READY", "AGE"][..],
            &["p", "k", "254", "253", "True"][..],
        ),
        (
            &[
                "ipclaims",
                "ipc",
                "ipclaim",
                "m3ipc",
                "m3ipclaim",
                "m3ipclaims",
                "metal3ipc",
                "metal3ipclaim",
                "metal3ipclaims",
            ],
            &["NAME", "POOL", "ADDRESS", "READY", "AGE"],
            &["c", "p", "p-10-0-0-1", "True"],
        ),
        (
            &[
                "ipaddresses.ipam.metal3.io",
                "ipa",
                "m3ipa",
                "m3ipaddress",
                "m3ipaddresses",
                "metal3ipa",
                "metal3ipaddress",
                "metal3ipaddresses",
            ],
            &["NAME", "ADDRESS", "POOL", "CLAIM", "AGE"],
            &["a", "10.0.0.1", "p", "c"],
        ),
    ] {
        for name in names {
            let shown = kubectl(&["get", name]);
            let mut lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            assert_eq!(lines.next().unwrap(), header, "{name}");
            assert!(lines.next().unwrap().starts_with(row), "{name}: {shown}");
        }
    }
    for (category, object) in
        [("cluster-api", "ippool.ipam.metal3.io/p"), ("metal3", "ipaddress.ipam.metal3.io/a")]
    {
        let listed = kubectl(&["get", category, "-o", "name"]);
        assert!(listed.lines().any(|line| line == object), "{category}: {listed}");
    }
}

#[tokio::test]
async fn s10_a_spec_stored_before_a_rule_existed_can_still_be_labelled_and_deleted() {
    let mut corpus = Corpus::new().await;
    let plane = plane().await;
    // A kind of the same names in a group of its own, whose rules come after its objects.
    let yaml = ipam::api::crd_files().into_iter().find(|(name, _)| name.contains("ippools")).unwrap().1;
    let strict = yaml.replace("ipam.metal3.io", "old.example.org").replace("m3ipp", "oldm3ipp");
    let lax: Vec<&str> = strict.lines().collect();
    let lax = without_rules(&lax);
    plane.apply_yaml(&lax).await.unwrap();
    let resource = ApiResource {
        group: "old.example.org".into(),
        version: "v1alpha1".into(),
        api_version: "old.example.org/v1alpha1".into(),
        kind: "IPPool".into(),
        plural: "ippools".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(plane.client(), &corpus.namespace, &resource);
    let spec = json!({"namePrefix": "p", "pools": [{"subnet": "nonsense"}], "gateway": "gw", "prefix": 64});
    let object = DynamicObject::new("old", &resource).data(json!({ "spec": spec }));
    api.create(&PostParams::default(), &object).await.unwrap();
    let bare = |name: &str| DynamicObject::new(name, &resource);
    api.create(&PostParams::default(), &bare("bare")).await.unwrap();
    plane.apply_yaml(&strict).await.unwrap();
    // The rules are in force as soon as a new object like that is refused.
    let refused = |n: u32| {
        let (api, mut object) = (api.clone(), object.clone());
        object.metadata.name = Some(format!("new{n}"));
        async move { api.create(&PostParams::default(), &object).await.is_err() }
    };
    let mut n = 0;
    while !refused(n).await {
        n += 1;
        assert!(n < 1000, "the rules never come into force");
    }
    let label = Patch::Merge(
        json!({"metadata": {"labels": {"a": "b"}, "annotations": {"cluster.x-k8s.io/paused": ""}}}),
    );
    let labelled = api.patch("old", &PatchParams::default(), &label).await;
    corpus.judge("labels", labelled, Accepted);
    let valid = Patch::Merge(json!({"spec": {"excludedAddresses": ["10.0.0.1"]}}));
    let edited = api.patch("old", &PatchParams::default(), &valid).await;
    corpus.judge("an edit of what is valid", edited, Accepted);
    api.delete("old", &kube::api::DeleteParams::default()).await.unwrap();
    // One that is stored without a spec, too; a new one needs one.
    let labelled = api.patch("bare", &PatchParams::default(), &label).await;
    corpus.judge("labels where there is no spec", labelled, Accepted);
    api.delete("bare", &kube::api::DeleteParams::default()).await.unwrap();
    let refused = api.create(&PostParams::default(), &bare("fresh")).await.unwrap_err();
    assert!(refused.to_string().contains("spec: Required value"), "{refused}");
    assert!(corpus.wrong.is_empty(), "{:#?}", corpus.wrong);
}

/// The CRD without its CEL rules.
fn without_rules(lines: &[&str]) -> String {
    let mut kept = Vec::new();
    let mut dropping = None;
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        if dropping
            .is_some_and(|depth| indent > depth || (indent == depth && line.trim_start().starts_with('-')))
        {
            continue;
        }
        dropping = line.trim_start().starts_with("x-kubernetes-validations:").then_some(indent);
        if dropping.is_none() {
            kept.push(*line);
        }
    }
    kept.join("\n")
}
