//! What the API server and the kernel count.

use std::collections::BTreeMap;

use testbed::{Component, ControlPlane};

/// Groups whose requests are counted.
const GROUPS: [&str; 2] = ["ipam.metal3.io", "ipam.cluster.x-k8s.io"];

/// Requests on the kinds that take part, by verb and resource, as the API server counts them.
pub async fn requests(plane: &ControlPlane) -> BTreeMap<String, f64> {
    let metrics = plane.metrics().await.expect("the API server tells its metrics");
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| line.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        if !label("group").is_some_and(|group| GROUPS.contains(&group)) {
            continue;
        }
        let (Some(verb), Some(resource), Some(sub), Some(code)) =
            (label("verb"), label("resource"), label("subresource"), label("code"))
        else {
            continue;
        };
        let slash = if sub.is_empty() { "" } else { "/" };
        let count: f64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
        *counts.entry(format!("{verb} {resource}{slash}{sub} {code}")).or_insert(0.0) += count;
    }
    counts
}

/// Requests of a kind and their number for each claim.
#[expect(clippy::cast_precision_loss, reason = "requests a claim")]
pub fn each(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
    claims: usize,
) -> BTreeMap<String, f64> {
    let each = |(key, count): (&String, &f64)| {
        (key.clone(), (count - before.get(key).unwrap_or(&0.0)) / claims as f64)
    };
    after.iter().map(each).filter(|(_, count)| *count > 0.0).collect()
}

/// Writes among the requests.
pub fn writes(requests: &BTreeMap<String, f64>) -> f64 {
    let is_write =
        |request: &str| ["POST", "PATCH", "PUT", "DELETE"].iter().any(|verb| request.starts_with(verb));
    requests.iter().filter(|(request, _)| is_write(request)).map(|(_, count)| count).sum()
}

/// Processor time that the API server and its etcd have used, in seconds.
pub fn servers(plane: &ControlPlane) -> f64 {
    [Component::ApiServer, Component::Etcd]
        .iter()
        .filter_map(|component| plane.pid(*component))
        .filter_map(processor)
        .sum()
}

/// Peak memory of a process, in KiB.
pub fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|line| line.starts_with("VmHWM"))?.split_whitespace().nth(1)?.parse().ok()
}

/// Processor time of a process, in seconds.
pub fn processor(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    let mut fields = after_name.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
