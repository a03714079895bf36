//! The controller as a process: election, health, flags, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipam::admission::pki::Facts;
use ipam::api::{Family, Kind};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use testbed::proxy::{Action, Entry, Handle, Match, Proxy, Reply, Rule, Verb};
use testbed::{ControlPlane, Options};

use crate::availability::leeway;
use crate::replica::{Replica, grant_lease, holder};
use crate::scene::{CAPI_CRDS, Scene, install};

/// The lease of the candidates here.
const LEASE: Duration = Duration::from_secs(5);

/// A namespace with a pool, in which candidates may hold a lease.
pub async fn scene(name: &str) -> Scene {
    let scene = Scene::new(name).await;
    grant_lease(&scene).await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.200"}]})).await;
    scene
}

/// Two candidates: one leads, the other stands by and knows everything.
async fn pair(scene: &Scene) -> (Replica, Replica) {
    let first = Replica::candidate(scene, "first").await;
    first.leads().await;
    let second = Replica::candidate(scene, "second").await;
    second.stands_by().await;
    (first, second)
}

/// How long a claim takes now.
async fn time_of_a_claim(scene: &Scene, name: &str) -> Duration {
    let since = Instant::now();
    scene.create_claim(name).await;
    scene.bound(name).await;
    since.elapsed()
}

#[tokio::test]
async fn s13_one_of_two_writes_and_the_other_takes_over_when_it_is_killed() {
    let scene = scene("kill").await;
    let (leader, standby) = pair(&scene).await;
    let before = time_of_a_claim(&scene, "before").await;
    assert!(leader.writes() >= 3, "{}", leader.writes());
    assert_eq!(standby.writes(), 0);
    leader.signal(Signal::KILL);
    let killed = Instant::now();
    scene.create_claim("after").await;
    let taken = Match::verb(Verb::Patch).resource("leases");
    standby.proxy.seen(&taken, 1).await.unwrap();
    let waited = killed.elapsed();
    scene.bound("after").await;
    let pace = before.max(time_of_a_claim(&scene, "later").await);
    assert!(
        waited < LEASE + leeway(pace),
        "the lease was taken over after {waited:?}; a claim takes {pace:?}"
    );
    assert!(standby.writes() >= 3, "{}", standby.writes());
    scene.in_order().await;
}

#[tokio::test]
async fn s13_a_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes_up() {
    let scene = scene("stop").await;
    let (mut leader, standby) = pair(&scene).await;
    scene.create_claim("before").await;
    scene.bound("before").await;
    leader.signal(Signal::STOP);
    // When the old leader wakes up it finds a claim with an address, and nothing published.
    let publish = Match::verb(Verb::Patch).resource("ipclaims").subresource("status");
    let parked = standby.proxy.add(Rule::new(publish, Action::HoldBefore).once());
    scene.create_claim("after").await;
    parked.parked(1).await.unwrap();
    let first = standby.proxy.log().into_iter().find(|entry| entry.call.verb.is_write()).unwrap().started;
    leader.signal(Signal::CONT);
    assert!(!leader.ended().await.success());
    let late: Vec<_> = leader
        .proxy
        .log()
        .into_iter()
        .filter(|entry| entry.call.verb.is_write() && entry.started > first)
        .collect();
    assert!(late.is_empty(), "{late:?}\n{}", leader.log());
    parked.release();
    scene.bound("after").await;
    scene.in_order().await;
}

#[tokio::test]
async fn d9_a_standby_that_takes_over_decides_nothing_before_it_has_read_everything_anew() {
    let kinds = [Kind::Pool, Kind::Cluster].into_iter();
    let kinds: Vec<Kind> =
        kinds.chain(Family::ALL.into_iter().flat_map(|of| [Kind::Claim(of), Kind::Address(of)])).collect();
    let scene = scene("anew").await;
    let mut leader = Replica::candidate(&scene, "first").await;
    leader.leads().await;
    // Whichever kind is the last to come, all of the others do not do.
    for (n, last) in kinds.iter().enumerate() {
        let standby = Replica::candidate(&scene, &format!("next{n}")).await;
        standby.stands_by().await;
        let resource = last.resource();
        let list = Match::first_list().resource(&format!("{}.{}", resource.plural, resource.group));
        // In pages, too, if the stream takes too long.
        let pages = Match::verb(Verb::List).resource(&format!("{}.{}", resource.plural, resource.group));
        let held = [list, pages].map(|on| standby.proxy.add(Rule::new(on, Action::HoldBefore)));
        leader.signal(Signal::TERM);
        assert!(leader.ended().await.success(), "{}", leader.log());
        scene.create_claim(&format!("c{n}")).await;
        held[0].parked(1).await.unwrap();
        for kind in kinds.iter().filter(|kind| *kind != last) {
            let is_listed = || async { lists_of_term(&standby.log(), *kind).then_some(()) };
            scene.until(&format!("{kind:?} is listed"), is_listed).await;
        }
        // It goes on to lead, and has every occasion to write.
        let renewal = Match::verb(Verb::Patch).resource("leases");
        standby.proxy.seen(&renewal, standby.proxy.count(&renewal) + 2).await.unwrap();
        assert_eq!(standby.writes(), 0, "before {last:?}: {}", standby.log());
        held.iter().for_each(Handle::release);
        scene.bound(&format!("c{n}")).await;
        leader = standby;
    }
    scene.in_order().await;
}

/// Whether the log says that a kind was listed since the process leads.
fn lists_of_term(log: &str, kind: Kind) -> bool {
    let (name, group) = (format!("kind=\"{}\"", kind.name()), format!("group=\"{}\"", kind.group()));
    let term = log.lines().skip_while(|line| !line.contains("this controller leads"));
    let mut lists = term.filter(|line| line.contains("listed") && line.contains(&name));
    lists.any(|line| line.contains(&group))
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let scene = scene("back").await;
    // Nobody in this test waits until such a lease is over.
    let election = ["--leader-elect", "--leader-elect-lease-duration=300s"];
    let pace = ["--leader-elect-renew-deadline=200s", "--leader-elect-retry-period=200ms"];
    let flags = [election, pace].concat();
    let mut leader = Replica::start(&scene, "first", &flags).await;
    leader.leads().await;
    let standby = Replica::start(&scene, "second", &flags).await;
    standby.stands_by().await;
    leader.signal(Signal::TERM);
    assert!(leader.ended().await.success(), "{}", leader.log());
    standby.leads().await;
    assert!(leader.log().contains("the lease is given back"), "{}", leader.log());
    scene.create_claim("c").await;
    scene.bound("c").await;
}

#[tokio::test]
async fn a_lease_is_given_back_though_a_renewal_that_was_cut_off_arrives_in_between() {
    let scene = scene("late").await;
    let (mut leader, standby) = pair(&scene).await;
    let patch = || Match::verb(Verb::Patch).resource("leases");
    let release = leader.proxy.add(Rule::new(patch().body("\"value\":\"\""), Action::HoldBefore).once());
    let renewal = leader.proxy.add(Rule::new(patch(), Action::HoldBefore).once());
    renewal.parked(1).await.unwrap();
    leader.signal(Signal::TERM);
    // What it gives back is the lease that it has read, and that is not what the API server has by then.
    release.parked(1).await.unwrap();
    renewal.release();
    renewal.done(1).await.unwrap();
    release.release();
    assert!(leader.ended().await.success(), "{}", leader.log());
    assert!(leader.log().contains("the lease is given back"), "{}", leader.log());
    standby.leads().await;
}

#[tokio::test]
async fn a_process_that_is_asked_to_end_in_a_burst_finishes_its_writes_and_gives_the_lease_back() {
    const CLAIMS: usize = 40;
    let scene = scene("term").await;
    for n in 0..CLAIMS {
        scene.create_claim(&format!("c{n}")).await;
    }
    // Each answer takes a while, so that many writes are under way when it is asked to end.
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let take = Match::verb(Verb::Post).resource("ipaddresses");
    let slow = proxy.add(Rule::new(take, Action::DelayAfter(Duration::from_secs(1))));
    let mut leader = Replica::candidate_behind(proxy, &scene, "first");
    slow.seen(CLAIMS as u64 / 4).await.unwrap();
    leader.signal(Signal::TERM);
    assert!(leader.ended().await.success(), "{}", leader.log());
    // However long a busy machine takes, it ends as nothing is under way any more, and not as time has run out.
    assert!(!leader.log().contains("although writes are under way"), "{}", leader.log());
    let broken: Vec<_> = leader
        .proxy
        .log()
        .into_iter()
        .filter(|entry| entry.call.verb.is_write() && entry.status.is_none())
        .filter(|entry| entry.call.resource != "events")
        .collect();
    assert!(broken.is_empty(), "{broken:?}\n{}", leader.log());
    assert_eq!(holder(&scene).await, "");
    let _next = Replica::candidate(&scene, "next").await;
    for n in 0..CLAIMS {
        scene.bound(&format!("c{n}")).await;
    }
    scene.in_order().await;
}

#[tokio::test]
async fn a_process_that_ends_while_a_write_is_under_way_leaves_its_lease_to_run_out() {
    let scene = scene("short").await;
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let take = Match::verb(Verb::Post).resource("ipaddresses");
    let parked = proxy.add(Rule::new(take, Action::HoldBefore).once());
    let mut leader = Replica::candidate_behind(proxy, &scene, "first");
    scene.create_claim("c").await;
    parked.parked(1).await.unwrap();
    let held = holder(&scene).await;
    assert!(!held.is_empty());
    leader.signal(Signal::TERM);
    assert!(leader.ended().await.success(), "{}", leader.log());
    assert!(leader.log().contains("stopping although writes are under way"), "{}", leader.log());
    assert!(!leader.log().contains("the lease is given back"), "{}", leader.log());
    assert_eq!(holder(&scene).await, held);
    // Its write arrives late, and before anybody else may write.
    parked.release();
    let _next = Replica::candidate(&scene, "next").await;
    scene.bound("c").await;
    scene.in_order().await;
}

/// A lease of the controllers that somebody renewed at this time.
#[expect(clippy::disallowed_methods, reason = "whether a lease has run out is told by the clock")]
async fn renewed(scene: &Scene, by: &str, ago: Duration) {
    let leases: Api<Lease> = Api::namespaced(scene.plane.client(), &scene.namespace);
    let time = jiff::Timestamp::now() - ago;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "controller-leader-election-ipam-capm3"},
        "spec": {
            "holderIdentity": by, "leaseDurationSeconds": 300, "leaseTransitions": 0,
            "acquireTime": format!("{time:.6}"), "renewTime": format!("{time:.6}"),
        },
    });
    let patch = PatchParams::apply("tests").force();
    leases.patch("controller-leader-election-ipam-capm3", &patch, &Patch::Apply(&lease)).await.unwrap();
}

#[tokio::test]
async fn one_that_runs_alone_does_not_start_beside_another_until_its_lease_has_run_out() {
    // On the shared control plane there are always leases.
    let plane = Arc::new(ControlPlane::start(Options::default()).await.unwrap());
    install(&plane, &CAPI_CRDS).await;
    let scene = Scene::on(plane, Family::Metal3, "beside").await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    scene.create_claim("c").await;
    renewed(&scene, "somebody-else", Duration::ZERO).await;
    let mut refused = Replica::start(&scene, "refused", &[]).await;
    assert!(!refused.ended().await.success(), "{}", refused.log());
    let says = format!("the controller `somebody-else` leads already, in namespace `{}`", scene.namespace);
    assert!(refused.log().contains(&says), "{}", refused.log());
    assert_eq!(refused.proxy.count(&Match::writes()), 0, "{:?}", refused.proxy.log());
    renewed(&scene, "somebody-else", Duration::from_hours(1)).await;
    let _alone = Replica::start(&scene, "alone", &[]).await;
    scene.bound("c").await;
}

/// Flags of one that runs alone; the control plane is shared with others, which hold leases.
pub const ALONE: [&str; 1] = ["--ignore-leader"];

#[tokio::test]
async fn it_is_ready_once_all_kinds_are_listed_and_stays_so_while_the_api_server_is_away() {
    let scene = scene("ready").await;
    let proxy = Proxy::start(&scene.plane).await.unwrap();
    let pools = Match::first_list().resource("ippools");
    let parked = proxy.add(Rule::new(pools, Action::HoldBefore));
    let replica = Replica::behind(proxy, &scene, "it", &ALONE);
    parked.parked(1).await.unwrap();
    let (code, text) = replica.health("/readyz").await;
    assert_eq!(code, 503);
    assert!(text.contains("[-]synced failed: not all kinds are listed yet"), "{text}");
    assert_eq!(replica.health("/healthz").await.0, 200);
    parked.release();
    replica.leads().await;
    let ready = (200, "[+]synced ok\nreadyz check passed\n".to_owned());
    assert_eq!(replica.health("/readyz?verbose").await, ready);
    replica.proxy.add(Rule::new(Match::any(), Action::CutBefore));
    replica.proxy.cut_watches("ipclaims");
    replica.said("the watch failed").await;
    assert_eq!(replica.health("/readyz?verbose").await, ready);
    assert_eq!(replica.health("/healthz").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn nothing_is_given_out_from_a_store_that_was_set_back_before_a_new_start() {
    let scene = Scene::new("set-back").await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]})).await;
    let flags = [&ALONE[..], &["--insecure-diagnostics"]].concat();
    let replica = Replica::start(&scene, "before", &flags).await;
    scene.create_claim("a").await;
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    scene.in_order().await;
    // All claims are listed anew, and there are none, as long ago.
    let long_ago = json!({
        "apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaimList", "metadata": {"resourceVersion": "1"}, "items": [],
    });
    let list = Match::verb(Verb::List).resource("ipclaims");
    replica.proxy.add(Rule::new(list, Action::AnswerBefore(Reply::raw(200, &long_ago.to_string()))));
    let stream = Match::first_list().resource("ipclaims");
    replica.proxy.add(Rule::new(stream, Action::AnswerBefore(Reply::invalid())));
    replica.proxy.expire_watches("ipclaims");
    replica.said("its store was set back").await;
    let before = replica.writes();
    // Of a kind whose watch goes on.
    scene.create_claim_of(Family::Capi, "b", "p", json!({})).await;
    let known = "ipam_claims{group=\"ipam.cluster.x-k8s.io\",kind=\"IPAddressClaim\",state=\"new\"} 1";
    let told = || async { Some(replica.plain_metrics().await).filter(|told| told.contains(known)) };
    let told = scene.until("the new claim is known", told).await;
    assert!(told.contains("ipam_synced 0"), "{told}");
    assert_eq!(replica.writes(), before, "{}", replica.log());
    drop(replica);

    let _after = Replica::start(&scene, "after", &ALONE).await;
    assert_eq!(scene.bound_of(Family::Capi, "b").await, "10.0.0.2");
    assert_eq!(scene.bound("a").await, "10.0.0.1");
    scene.in_order().await;
}

/// More than one page.
const MANY: usize = 520;

#[tokio::test]
async fn what_there_is_is_known_whole_from_a_stream_and_from_pages() {
    let scene = Scene::new("lists").await;
    scene.create_pool("p", &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.2.255"}]})).await;
    let first = Replica::start(&scene, "first", &ALONE).await;
    let names: Vec<String> = (0..MANY).map(|n| format!("c{n}")).collect();
    futures::future::join_all(names.iter().map(|name| scene.create_claim(name))).await;
    for name in &names {
        scene.bound(name).await;
    }
    drop(first);
    for (name, refused, lists) in [("stream", false, 0), ("pages", true, 2)] {
        let proxy = Proxy::start(&scene.plane).await.unwrap();
        if refused {
            proxy.add(Rule::new(Match::first_list(), Action::AnswerBefore(Reply::invalid())));
        }
        let replica = Replica::behind(proxy, &scene, name, &ALONE);
        scene.create_claim(name).await;
        scene.bound(name).await;
        for kind in ["ipclaims", "ipaddresses.ipam.metal3.io"] {
            assert_eq!(replica.proxy.count(&Match::verb(Verb::List).resource(kind)), lists, "{name}: {kind}");
        }
        // All that was there was known when the first decision was taken: nobody was served twice, nothing is left over.
        scene.in_order().await;
    }
}

#[tokio::test]
async fn the_arguments_of_an_existing_deployment_start_it() {
    let scene = scene("args").await;
    // Its own flags, but for the ports, which somebody else may have.
    let flags = ["--webhook-port=0", "--insecure-diagnostics=false", "--tls-min-version=VersionTLS13"];
    let more = ["--leader-elect=true", "--sync-period=10m", "--ippool-concurrency=10", "--kube-api-qps=50"];
    let form = ["--logging-format=json"];
    let replica = Replica::start(&scene, "it", &[&flags[..], &more[..], &form[..]].concat()).await;
    scene.create_claim("c").await;
    scene.bound("c").await;
    let notice = replica.said("without effect").await;
    assert!(notice.contains("--sync-period") && notice.contains("--ippool-concurrency"), "{notice}");
    assert!(!notice.contains("--kube-api-qps"), "{notice}");
    // Each line is one object, and says whom a write concerns.
    let log = replica.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |name: &str| json!(format!("{}/{name}", scene.namespace));
    let concerns = |line: &&Value| {
        line["claim"] == place("c") && line["pool"] == place("p") && line["address"] == place("p-10-0-0-1")
    };
    assert!(lines.iter().any(|line| concerns(&line)), "{log}");
}

#[tokio::test]
async fn a_given_rate_is_kept() {
    const CLAIMS: usize = 10;
    const QPS: u32 = 5;
    let scene = scene("rate").await;
    // With a grace that is long against the time between two requests of a claim.
    let flags = ["--kube-api-qps=5", "--kube-api-burst=1", "--ignore-leader", "--orphan-grace=60"];
    let replica = Replica::start(&scene, "it", &flags).await;
    replica.leads().await;
    let since = Instant::now();
    for n in 0..CLAIMS {
        scene.create_claim(&format!("c{n}")).await;
    }
    for n in 0..CLAIMS {
        scene.bound(&format!("c{n}")).await;
    }
    let log = replica.proxy.log();
    let of_claims = |entry: &&Entry| {
        entry.call.verb.is_write() && matches!(entry.call.resource.as_str(), "ipclaims" | "ipaddresses")
    };
    let sent: Vec<Instant> = log.iter().filter(of_claims).map(|entry| entry.started).collect();
    // None could be sent before there were claims, and at that time one at once; a busy machine takes longer, not less.
    let took = *sent.iter().max().unwrap() - since;
    let requests = u32::try_from(sent.len()).unwrap();
    assert!(sent.len() >= 3 * CLAIMS, "{requests}");
    assert!(took >= Duration::from_secs(1) * (requests - 1) / QPS, "{requests} requests took {took:?}");
}

/// A port that is free now, and that no outgoing connection is given.
pub fn free_port() -> u16 {
    testbed::free_port().unwrap()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "certificates are valid from now on")]
async fn admission_is_served_with_the_certificate_of_the_folder() {
    let scene = scene("webhooks").await;
    let now = jiff::Timestamp::now().as_second();
    let authority = ipam::admission::pki::authority(now).unwrap();
    let pair = ipam::admission::pki::serving(&authority, &["127.0.0.1".to_owned()], now).unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("tls.crt"), &pair.certificate).unwrap();
    // A key of another certificate, as it may be while the two are being replaced.
    std::fs::write(files.path().join("tls.key"), &authority.key).unwrap();
    let (port, folder) = (free_port(), files.path().display().to_string());
    let flags = [format!("--webhook-port={port}"), format!("--webhook-cert-dir={folder}")];
    let flags: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .chain(["--webhook-host=127.0.0.1", "--ignore-leader", "--insecure-diagnostics"])
        .collect();
    let replica = Replica::start(&scene, "it", &flags).await;
    replica.said("the serving certificate cannot be used").await;
    replica.leads().await;
    let (code, why) = replica.health("/readyz?verbose").await;
    assert!(code == 503 && why.contains("[-]certificate") && why.contains("cannot be used"), "{code} {why}");
    std::fs::write(files.path().join("tls.key"), &pair.key).unwrap();
    replica.said("admission is served").await;
    assert_eq!(replica.health("/readyz").await.0, 200);
    // It is told when that certificate runs out.
    let until = Facts::of(&pair.certificate).unwrap().until;
    let line = format!("ipam_certificate_expiry_timestamp_seconds{{name=\"admission\"}} {until}");
    let look = || async { replica.plain_metrics().await.lines().any(|have| have == line).then_some(()) };
    scene.until("the end of the certificate", look).await;
    // One whose key is not there yet is not served, and its end is nobody's concern.
    let next = ipam::admission::pki::serving(&authority, &["127.0.0.1".to_owned()], now + 86_400).unwrap();
    std::fs::write(files.path().join("tls.crt"), &next.certificate).unwrap();
    let refused = || async {
        (replica.log().matches("the serving certificate cannot be used").count() > 1).then_some(())
    };
    scene.until("the next certificate is refused", refused).await;
    assert_eq!(look().await, Some(()));

    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    let authority = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap();
    config.root_cert = Some(vec![authority.to_vec()]);
    let client = ipam::apply::connect(config).unwrap();
    let claim = json!({"metadata": {"name": "c"}, "spec": {"pool": {"name": "p"}}});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": scene.namespace, "name": "c", "object": claim,
            "kind": {"group": "ipam.metal3.io", "version": "v1alpha1", "kind": "IPClaim"},
        },
    });
    let request = http::Request::post("/mutate-ipam-metal3-io-v1alpha1-ipclaim")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .unwrap();
    let answer: Value = client.request(request).await.unwrap();
    assert_eq!(answer["response"]["uid"], "u");
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
}
