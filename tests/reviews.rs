//! What anybody may send to admission takes little memory and time. A process of its own, whose peak is this test's alone.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "that is how a test fails")]

use std::time::{Duration, Instant};

use ipam::admission::{Endpoint, Request, Scope, admit, question};

/// As much as the server takes.
const BODY: usize = 7 << 20;
/// Of the 512 MiB of a pod.
const MEMORY: usize = 300 << 20;
/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most memory that this process has had so far.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// `piece` as often as it fits into a body, or as often as it is read.
fn repeated(piece: &str, most: usize) -> String {
    vec![piece; most.min((BODY - 2000) / (piece.len() + 1))].join(",")
}

fn review(old: &str, new: &str) -> String {
    let pool = |spec: &str| format!(r#"{{"metadata":{{"name":"p"}},"spec":{{"namePrefix":"p",{spec}}}}}"#);
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"UPDATE",
        "name":"p","namespace":"ns","kind":{{"kind":"IPPool"}},"oldObject":{},"object":{}}}}}"#,
        pool(old),
        pool(new)
    )
}

fn answer(body: &str) -> String {
    let endpoint = Endpoint::at("/validate-ipam-metal3-io-v1alpha1-ippool").unwrap();
    let answer = match Request::read(endpoint, body.as_bytes()) {
        Ok(request) => {
            drop(question(endpoint, &request));
            admit(endpoint, &request, &Scope::default(), &[]).answer(endpoint.kind, &request)
        }
        Err(malformed) => malformed.answer(),
    };
    answer["response"].to_string()
}

const NOTHING: &str = r#""pools":[]"#;

fn entries(entries: &str) -> String {
    format!(r#""pools":[{entries}]"#)
}

/// Sends a review, and expects `said` in the answer.
#[track_caller]
fn is_bounded(what: &str, body: &str, said: &str) {
    let start = Instant::now();
    let answer = answer(body);
    assert!(answer.contains(said), "{what}: {}", &answer[..answer.len().min(500)]);
    assert!(answer.len() < 1 << 20, "{what}: {}", answer.len());
    assert!(start.elapsed() < PATIENCE, "{what}: {:?}", start.elapsed());
    assert!(peak() < MEMORY, "{what}: {} MiB", peak() >> 20);
}

#[test]
fn no_review_takes_much_memory_or_time() {
    let many = format!("[{}]", repeated(r#"{"":0}"#, usize::MAX));
    is_bounded("no review", &many, "no AdmissionReview");
    let beside = review(NOTHING, NOTHING).replace(r#""uid""#, &format!(r#""options":{many},"uid""#));
    is_bounded("beside the objects", &beside, r#""allowed":true"#);
    let unread = review(NOTHING, NOTHING).replace(r#""metadata":{"#, r#""metadata":{"managedFields":MANY,"#);
    is_bounded("in an object", &unread.replacen("MANY", &many, 1).replace("MANY", "[]"), r#""allowed":true"#);
    is_bounded("too many fields", &review(NOTHING, &format!(r#""pools":{many}"#)), "more than");
    is_bounded("too many entries", &review(NOTHING, &entries(&repeated("{}", usize::MAX))), "more than");
    // As much as is just read.
    let wrong = repeated("{}", 49_900);
    let known = review(&entries(&wrong), &format!(r#""prefix":200,{}"#, entries(&wrong)));
    is_bounded("what was wrong before", &known, "spec.prefix");
    let worse = repeated(r#"{"start":"x"}"#, 49_800);
    is_bounded("what is wrong", &review(NOTHING, &entries(&worse)), "is invalid");
    let reserved = (0..24_000).map(|n| format!(r#""c{n}":"10.9.{}.{}""#, n >> 8, n & 255));
    let reserved: Vec<String> = reserved.collect();
    let reserved = format!(r#""preAllocations":{{{}}},{}"#, reserved.join(","), entries(&wrong));
    is_bounded("reservations", &review(NOTHING, &reserved), "is invalid");
    let long = "x".repeat(BODY - 2000);
    let subnet = entries(&format!(r#"{{"subnet":"{long}"}}"#));
    is_bounded("a long text", &review(NOTHING, &subnet), "is invalid");
    let key = format!(r#""preAllocations":{{"{long}":"x"}},{NOTHING}"#);
    is_bounded("a long name", &review(NOTHING, &key), "is invalid");
    let no_spec = format!(r#""gateway":["{long}"],{NOTHING}"#);
    is_bounded("a spec that cannot be read", &review(NOTHING, &no_spec), "is invalid");
    let uid = review(NOTHING, NOTHING).replace(r#""uid":"u""#, &format!(r#""uid":"{long}""#));
    is_bounded("a long uid", &uid, "more than");
    let servers = format!(r#""dnsServers":[{}],{}"#, repeated(r#""10.0.0.1""#, 40_000), entries(&wrong));
    is_bounded("name servers", &review(NOTHING, &servers), "is invalid");
}
