//! What was measured, side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use ipam::api::{Family, Kind};

use crate::{AT_ONCE, Figures, Settings, counters};

/// One list a round, the same contenders in each, the floor first.
#[expect(clippy::cast_precision_loss, reason = "rates")]
pub fn print(settings: &Settings, family: Family, rounds: &[Vec<Figures>]) {
    let finalizer =
        if settings.bare { "without finalizer" } else { "with finalizer, as admission leaves them" };
    let (kind, count) = (Kind::Claim(family).name(), settings.claims as f64);
    println!("\n{} {kind}s of one pool, {finalizer}; {AT_ONCE} requests at once", settings.claims);
    println!("each figure is the median of {} rounds, a ratio that of the rounds' own ratios", rounds.len());
    for (n, who) in rounds[0].iter().enumerate() {
        let pairs: Vec<(&Figures, &Figures)> = rounds.iter().map(|round| (&round[0], &round[n])).collect();
        println!("\n{}", who.who);
        rate("bound", count, &pairs, |figures| figures.bound);
        rate("released", count, &pairs, |figures| figures.released);
        println!("  tenths       {}", tenths(&pairs, count / 10.0));
        let servers = median(pairs.iter().map(|(_, own)| own.servers * 1000.0 / count));
        println!(
            "  servers      {servers:>8.2} ms of the API server's and etcd's processor a claim, until bound"
        );
        if who.memory.is_some() {
            let memory = median(pairs.iter().filter_map(|(_, own)| Some(own.memory? as f64 / 1024.0)));
            let processor = median(pairs.iter().filter_map(|(_, own)| own.processor));
            println!("  its process  {processor:>8.2} s of processor, {memory:.1} MiB at its peak");
        }
        print_requests(&who.requests);
    }
}

/// They differ from round to round by some hundredths at most, so one round's stand for all.
fn print_requests(requests: &[BTreeMap<String, f64>; 2]) {
    for (requests, until) in requests.iter().zip(["until all were bound", "from then until all were gone"]) {
        println!("  requests a claim {until}: {:.3} writes", counters::writes(requests));
        for (request, count) in requests.iter().filter(|(_, count)| **count >= 0.0005) {
            println!("    {count:>7.3}  {request}");
        }
    }
}

fn rate(what: &str, count: f64, pairs: &[(&Figures, &Figures)], time: impl Fn(&Figures) -> Duration) {
    let rate = median(pairs.iter().map(|(_, own)| count / time(own).as_secs_f64()));
    let ratios = || pairs.iter().map(|(floor, own)| time(floor).as_secs_f64() / time(own).as_secs_f64());
    let (least, most) =
        ratios().fold((f64::MAX, 0.0_f64), |(least, most), each| (least.min(each), most.max(each)));
    let ratio = median(ratios());
    println!("  {what:<12} {rate:>8.1} claims/s   {ratio:>5.2} of the floor ({least:.2}-{most:.2})");
}

/// Claims a second in each tenth.
fn tenths(pairs: &[(&Figures, &Figures)], claims: f64) -> String {
    let tenth = |n: usize| {
        median(pairs.iter().map(|(_, own)| {
            let before = n.checked_sub(1).map_or(Duration::ZERO, |before| own.tenths[before]);
            claims / own.tenths[n].saturating_sub(before).as_secs_f64()
        }))
    };
    let tenths = 0..pairs[0].1.tenths.len();
    tenths.map(|n| format!("{:.0}", tenth(n))).collect::<Vec<_>>().join(" ") + " claims/s"
}

/// The middle one; of an even number the lower of the two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
