//! The verbs that show something; no controller is needed for any of them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use testbed::proxy::{Action, Match, Proxy, Reply, Rule, Verb};

use crate::scene::{Scene, objects, words};

/// A pool with a claim of each kind that has an address, and one that waits.
async fn used(name: &str) -> Scene {
    let scene = Scene::new(name).await;
    let mut pool = objects::pool("p", "10.0.0.1", "10.0.0.9");
    pool["spec"]["preAllocations"] = json!({"vip": "10.0.0.5"});
    pool["spec"]["excludedAddresses"] = json!(["10.0.0.8/31"]);
    let mut owned = objects::claim("a", "p", Some("p-10-0-0-2"));
    owned["metadata"]["labels"] = json!({"rack": "7"});
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "worker-1", "uid": "m"}]);
    scene.create(&[
        pool,
        owned,
        objects::capi_claim("b", "p", Some("p-10-0-0-1")),
        objects::claim("c", "p", None),
    ]);
    let (a, b) = (scene.uid("ipclaims.ipam.metal3.io/a"), scene.uid("ipaddressclaims/b"));
    scene.create(&[
        objects::address("p-10-0-0-2", "10.0.0.2", "p", "a", &a),
        objects::capi_address("p-10-0-0-1", "10.0.0.1", "p", "b", &b),
    ]);
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_claims_are_one_joined_view_of_both_kinds() {
    let scene = used("joined").await;
    let shown = scene.done(&["addresses"]);
    let lines: Vec<Vec<&str>> = shown.lines().map(words).collect();
    assert_eq!(lines[0].join(" "), "ADDRESS PREFIX GATEWAY POOL CLAIM KIND OWNER AGE STATE");
    assert_eq!(lines[1][..7].join(" "), "10.0.0.1 24 <none> p b IPAddressClaim <none>");
    assert_eq!(lines[2][..7].join(" "), "10.0.0.2 24 <none> p a IPClaim Machine/worker-1");
    assert_eq!(lines[2][8], "Bound");
    let wide = scene.done(&["addresses", "-o", "wide", "--no-headers"]);
    assert!(wide.lines().nth(1).unwrap().ends_with("Bound   p-10-0-0-2   worker-1"), "{wide}");

    let shown = scene.done(&["claims"]);
    let lines: Vec<Vec<&str>> = shown.lines().map(words).collect();
    assert_eq!(lines[0].join(" "), "CLAIM KIND POOL ADDRESS OWNER AGE STATE WHY");
    assert_eq!(lines[1..].iter().map(|line| line[0]).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(lines[3][..5].join(" "), "c IPClaim p <none> <none>");
    assert_eq!(words(&scene.done(&["claims", "--waiting", "--no-headers"]))[0], "c");
    assert_eq!(scene.done(&["claims", "-l", "rack=7", "-o", "name"]), "ipclaim.ipam.metal3.io/a\n");
    assert_eq!(scene.done(&["claims", "-o", "jsonpath={.items[*].address}"]), "10.0.0.1 10.0.0.2 \n");
    assert_eq!(
        scene.done(&["addresses", "--pool", "p", "-o", "name"]),
        "ipaddress.ipam.cluster.x-k8s.io/p-10-0-0-1\nipaddress.ipam.metal3.io/p-10-0-0-2\n"
    );
    let all = scene.done(&["claims", "-A"]);
    assert!(all.starts_with("NAMESPACE") && all.contains(&scene.namespace), "{all}");
    let data: Value = serde_json::from_str(&scene.done(&["addresses", "-o", "json"])).unwrap();
    insta::with_settings!({filters => vec![(scene.namespace.as_str(), "NAMESPACE"), (r#""created": "[^"]*""#, r#""created": "WHEN""#)]}, {
        insta::assert_snapshot!(format!("{:#}", json!({"apiVersion": data["apiVersion"], "kind": data["kind"], "items": [data["items"][1]]})), @r#"
        {
          "apiVersion": "ipam.cli/v1",
          "items": [
            {
              "address": "10.0.0.2",
              "apiGroup": "ipam.metal3.io",
              "claim": "a",
              "created": "WHEN",
              "gateway": null,
              "kind": "IPAddress",
              "machine": "worker-1",
              "name": "p-10-0-0-2",
              "namespace": "NAMESPACE",
              "owner": "Machine/worker-1",
              "pool": "p",
              "prefix": 24,
              "state": "Bound"
            }
          ],
          "kind": "AddressList"
        }
        "#);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_one_pool_shows_its_parts() {
    let scene = used("status").await;
    let rows = scene.done(&["status", "--no-headers"]);
    assert_eq!(words(&rows)[..8], ["p", "7", "2", "1", "1", "4", "28%", "Unknown"]);
    let shown = scene.done(&["status", "p"]);
    let parts: Vec<&str> = shown.split("\n\n").skip(1).filter_map(|part| part.lines().next()).collect();
    assert_eq!(parts, ["Entries", "Reserved", "Waiting"]);
    assert!(shown.contains("vip     10.0.0.5   no\n"), "{shown}");
    let data: Value = serde_json::from_str(&scene.done(&["status", "-o", "json"])).unwrap();
    assert_eq!((&data["apiVersion"], &data["kind"]), (&"ipam.cli/v1".into(), &"PoolStatusList".into()));
    assert_eq!(data["items"][0]["capacity"], "7");
    assert_eq!(scene.done(&["status", "-o", "name"]), "ippool.ipam.metal3.io/p\n");
    assert_eq!(scene.done(&["status", "-l", "no=such", "-o", "name"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn whois_goes_from_any_end_to_the_other() {
    let scene = used("whois").await;
    for what in ["10.0.0.2", "a", "worker-1", "p-10-0-0-2"] {
        let shown = scene.done(&["whois", what]);
        assert!(
            shown.starts_with("address  10.0.0.2/24\nobject   ipaddress.ipam.metal3.io/p-10-0-0-2\n"),
            "{what}: {shown}"
        );
        assert!(
            shown.contains("claim    a (IPClaim)\nowner    Machine/worker-1\nmachine  worker-1\n"),
            "{what}: {shown}"
        );
    }
    let said = scene.ipam(&["whois", "10.0.0.3"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (1, "error: nobody has 10.0.0.3\nhint: it is in the pool p\n")
    );
    let chain = scene.done(&["whois", "10.0.0.1", "-o", "jsonpath={.items[0].claimKind} {.items[0].claim}"]);
    assert_eq!(chain, "IPAddressClaim b\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_and_the_free_addresses_agree() {
    let scene = used("map").await;
    insta::assert_snapshot!(scene.done(&["map", "p"]), @r"
    10.0.0.1-10.0.0.9  2 used, 1 reserved, 2 excluded, 4 free
      10.0.0.1        ##..r..xx

    # used   r reserved   x excluded   - gateway, network, broadcast   . free
    ");
    let map: Value = serde_json::from_str(&scene.done(&["map", "p", "-o", "json"])).unwrap();
    let states: Vec<String> = map["entries"][0]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| {
            format!("{} {}", segment["first"].as_str().unwrap(), segment["state"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        states.join(", "),
        "10.0.0.1 used, 10.0.0.3 free, 10.0.0.5 reserved, 10.0.0.6 free, 10.0.0.8 excluded"
    );
    assert_eq!(scene.done(&["free", "p", "-c", "3", "--no-headers"]), "10.0.0.3\n10.0.0.4\n10.0.0.6\n");
    assert_eq!(scene.done(&["free", "p", "-o", "name"]), "10.0.0.3\n");
    let said = scene.ipam(&["free", "p", "-c", "3", "--contiguous"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr
            .starts_with("error: the pool p has no 3 free addresses in a row\n  because: 4 are free\n"),
        "{}",
        said.stderr
    );
    assert_eq!(
        scene.done(&["free", "p", "-c", "2", "--contiguous", "-o", "jsonpath={.items[*].address}"]),
        "10.0.0.3 10.0.0.4\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_where_cluster_api_is_not_installed() {
    let scene = Scene::without_cluster_api().await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9"), objects::claim("a", "p", Some("p-10-0-0-1"))]);
    let uid = scene.uid("ipclaims/a");
    let mut address = objects::address("p-10-0-0-1", "10.0.0.1", "p", "a", &uid);
    address["metadata"]["annotations"] = json!({});
    scene.create(&[address]);
    for verb in [
        &["status"][..],
        &["addresses"],
        &["claims"],
        &["whois", "a"],
        &["map", "p"],
        &["free", "p"],
        &["explain", "a"],
        &["check"],
    ] {
        let said = scene.ipam(verb);
        assert_eq!(said.code, 0, "{verb:?}: {}", said.stderr);
        assert!(!said.stderr.contains("warning"), "{verb:?}: {}", said.stderr);
    }
    let version = scene.done(&["version"]);
    assert!(
        version.contains(
            "kinds        ipam.metal3.io: v1alpha1\nkinds        ipam.cluster.x-k8s.io: not installed\n"
        ),
        "{version}"
    );
    assert!(version.contains("controller   no controller leads"), "{version}");
    let said = scene.ipam(&["claim", "c", "--pool", "p", "--kind", "ipaddressclaim", "--wait=false"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr
            .starts_with("error: ipaddressclaims.ipam.cluster.x-k8s.io is not installed in this cluster\n"),
        "{}",
        said.stderr
    );
}

/// Cluster API as it was before its newest version.
async fn older_cluster_api(scene: &Scene) {
    let folder = testbed::capi_crds().unwrap();
    for kind in ["ipaddresses", "ipaddressclaims"] {
        let text =
            std::fs::read_to_string(folder.join(format!("ipam.cluster.x-k8s.io_{kind}.yaml"))).unwrap();
        let mut crd: Value = serde_saphyr::from_str(&text).unwrap();
        for version in crd["spec"]["versions"].as_array_mut().unwrap() {
            version["served"] = (version["name"] == "v1beta1").into();
        }
        scene.plane.apply_yaml(&crd.to_string()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_api_is_read_and_written_in_the_version_that_is_served() {
    let scene = Scene::without_cluster_api().await;
    older_cluster_api(&scene).await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let made = scene.done(&["claim", "c", "--pool", "p", "--kind", "ipaddressclaim", "--wait=false"]);
    assert_eq!(made, "ipaddressclaim.ipam.cluster.x-k8s.io/c created\n");
    assert_eq!(words(&scene.done(&["claims", "--no-headers"]))[..3], ["c", "IPAddressClaim", "p"]);
    assert!(scene.done(&["version"]).contains("kinds        ipam.cluster.x-k8s.io: v1beta1\n"));
    assert!(scene.done(&["release", "c", "--yes"]).ends_with("/c released\n"));
}

/// The kind of the in-cluster provider, as far as it matters here.
const FOREIGN: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: inclusterippools.ipam.cluster.x-k8s.io}
spec:
  group: ipam.cluster.x-k8s.io
  scope: Namespaced
  names: {kind: InClusterIPPool, plural: inclusterippools}
  versions:
  - name: v1alpha2
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[tokio::test(flavor = "multi_thread")]
async fn pools_of_another_provider_are_shown_beside_ours() {
    let scene = Scene::without_cluster_api().await;
    scene.plane.apply_yaml(FOREIGN).await.unwrap();
    scene.create(&[
        objects::pool("p", "10.0.0.1", "10.0.0.9"),
        json!({"apiVersion": "ipam.cluster.x-k8s.io/v1alpha2", "kind": "InClusterIPPool", "metadata": {"name": "q"},
               "status": {"ipAddresses": {"total": 10, "used": 4, "free": 6}}}),
    ]);
    let rows = scene.done(&["status", "-A", "--no-headers"]);
    assert_eq!(
        words(rows.lines().nth(1).unwrap())[..9],
        ["default", "inclusterippool/q", "10", "4", "0", "0", "6", "40%", "Foreign"]
    );
    assert_eq!(scene.done(&["status", "-o", "name"]), "ippool.ipam.metal3.io/p\n");
}

/// `kubectl ipam status -w`, and what it shows.
struct Watching {
    process: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(scene: &Scene, kubeconfig: PathBuf) -> Self {
        let mut command = Command::new(crate::scene::binary("kubectl-ipam"));
        command
            .args(["status", "-w", "-n", &scene.namespace])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = scene.plane.spawn(&mut command).unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let watching = Self { process, lines };
        assert!(watching.line().starts_with("POOL"));
        watching
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_mins(1)).unwrap()
    }

    /// The first columns of the next row.
    fn row(&self) -> Vec<String> {
        words(&self.line())[..5].iter().map(|&word| word.to_owned()).collect()
    }

    /// Ends it: what it has said on stderr.
    fn end(mut self) -> String {
        self.process.kill().unwrap();
        let output = self.process.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_changes() {
    let scene = Scene::new("watch").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let watching = Watching::start(&scene, scene.plane.kubeconfig());
    assert_eq!(watching.row(), ["p", "9", "0", "0", "0"]);
    scene.create(&[objects::claim("c", "p", None)]);
    assert_eq!(watching.row(), ["p", "9", "0", "0", "1"]);
    assert_eq!(watching.end(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_the_api_server_could_not_be_asked() {
    const KINDS: [&str; 5] = [
        "ippools",
        "ipclaims",
        "ipaddressclaims",
        "ipaddresses.ipam.metal3.io",
        "ipaddresses.ipam.cluster.x-k8s.io",
    ];
    let scene = Scene::new("watch-away").await;
    scene.create(&[objects::pool("p", "10.0.0.1", "10.0.0.9")]);
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let watching = Watching::start(&scene, proxy.kubeconfig(scene.plane.admin_token()).unwrap());
    assert_eq!(watching.row(), ["p", "9", "0", "0", "0"]);
    for kind in KINDS {
        proxy.seen(&Match::verb(Verb::Watch).resource(kind), 1).await.unwrap();
    }
    let away = [Verb::List, Verb::Watch].map(|verb| {
        proxy.add(Rule::new(Match::verb(verb), Action::AnswerBefore(Reply::unavailable())).times(8))
    });
    for kind in KINDS {
        proxy.cut_watches(kind);
    }
    scene.create(&[objects::claim("c", "p", None)]);
    assert_eq!(watching.row(), ["p", "9", "0", "0", "1"]);
    assert!(away[1].count() > 0);
    let said = watching.end();
    assert!(said.starts_with("nothing new can be seen at the moment: "), "{said}");
}

/// The fields of an answer, or of its first element.
fn fields(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer["apiVersion"], "ipam.cli/v1");
    let list = ["items", "findings"].into_iter().find(|list| answer[list].is_array());
    let element = list.map_or(&answer, |list| &answer[list][0]);
    let names = element
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| list.is_some() || !["apiVersion", "kind"].contains(&name.as_str()));
    let names: Vec<&str> = names.map(String::as_str).collect();
    format!(
        "{}{}: {}",
        answer["kind"].as_str().unwrap(),
        list.map_or(String::new(), |list| format!(".{list}[]")),
        names.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_every_answer_are_documented() {
    let scene = used("fields").await;
    let leak = scene.plane.dir().join("leak.json");
    std::fs::write(&leak, objects::address("x", "10.0.0.1", "p", "gone", "gone").to_string()).unwrap();
    let pool = scene.plane.dir().join("pool.json");
    std::fs::write(&pool, objects::pool("p", "10.0.0.1", "10.0.0.20").to_string()).unwrap();
    let (leak, pool) = (leak.to_str().unwrap(), pool.to_str().unwrap());
    let mut documented = String::new();
    for arguments in [
        &["status"][..],
        &["addresses"],
        &["claims"],
        &["whois", "a"],
        &["map", "p"],
        &["free", "p"],
        &["explain", "c"],
        &["check", "-f", leak],
        &["plan", "-f", pool],
        &["version"],
    ] {
        let said = scene.ipam(&[arguments, &["-o", "json"]].concat());
        assert!(said.code <= 1, "{arguments:?}: {}", said.stderr);
        documented += &(fields(&said.stdout) + "\n");
    }
    assert_eq!(documented, include_str!("../data.txt"));
}

/// More addresses than fit into one page.
const MANY: usize = 1001;

/// `MANY` addresses that nobody has claimed.
async fn crowded() -> Scene {
    let scene = Scene::new("crowded").await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("ipam.metal3.io", "v1alpha1", "IPAddress"));
    let addresses: Api<DynamicObject> = Api::namespaced_with(scene.plane.client(), &scene.namespace, &kind);
    let create = |n: usize| {
        let ip = format!("10.0.{}.{}", n / 250, n % 250 + 1);
        let object = objects::address(&format!("p-{n}"), &ip, "p", &format!("c{n}"), "u");
        let (addresses, object) = (addresses.clone(), serde_json::from_value(object).unwrap());
        async move { addresses.create(&PostParams::default(), &object).await }
    };
    let all = futures::stream::iter(0..MANY).map(create).buffer_unordered(32);
    all.try_for_each(|_| async { Ok(()) }).await.unwrap();
    scene
}

/// A row of `addresses` but for the last column but one.
fn without_age(row: &str) -> String {
    let mut cells: Vec<&str> = row.split_whitespace().collect();
    cells.remove(cells.len() - 2);
    cells.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_whole_whether_it_comes_as_a_stream_or_in_pages() {
    let scene = crowded().await;
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let kubeconfig = proxy.kubeconfig(scene.plane.admin_token()).unwrap();
    let show = || {
        let file = kubeconfig.to_str().unwrap();
        let said = scene.ipam(&["addresses", "--no-headers", "--kubeconfig", file]);
        assert_eq!((said.code, said.stdout.lines().count()), (0, MANY), "{}", said.stderr);
        // Ages go on meanwhile.
        said.stdout.lines().map(without_age).collect::<Vec<_>>()
    };
    let of = |verb| proxy.count(&Match::verb(verb).resource("ipaddresses.ipam.metal3.io"));
    let streamed = show();
    assert_eq!((of(Verb::List), of(Verb::Watch)), (1, 1));
    // An API server that does not know such a watch.
    proxy.add(Rule::new(Match::verb(Verb::Watch), Action::AnswerBefore(Reply::invalid())));
    assert_eq!(show(), streamed);
    assert_eq!((of(Verb::List), of(Verb::Watch)), (3, 2));
}
