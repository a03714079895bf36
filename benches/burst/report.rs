//! What was measured, side by side: a table a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use ipam::api::{Family, Kind};

use crate::scenario::{Figures, Scenario};
use crate::{AT_ONCE, Settings, counters};

/// One contender's figures of each round, each beside the floor's of the same round.
type Pairs<'a> = Vec<(&'a Figures, &'a Figures)>;

/// Prints the table, and below it the requests a claim where they are asked for. Each round has the same contenders, the
/// floor first where there is one.
pub fn print(settings: &Settings, family: Family, rounds: &[Vec<Figures>]) {
    let finalizer =
        if settings.bare { "without finalizer" } else { "with finalizer, as admission leaves them" };
    let words = settings.scenario.words(settings.claims, settings.pools);
    println!("\n{words}; {}, {finalizer}; {AT_ONCE} requests at once.", Kind::Claim(family).name());
    println!(
        "Each figure is the median over the rounds ({}), a ratio that of their own ratios.\n",
        rounds.len()
    );
    let rows: Vec<Pairs<'_>> =
        (0..rounds[0].len()).map(|n| rounds.iter().map(|round| (&round[0], &round[n])).collect()).collect();
    if settings.scenario == Scenario::Restart {
        restart(&rows);
    } else {
        rates(&rows);
    }
    if settings.requests {
        rounds[0].iter().for_each(requests);
    }
}

fn restart(rows: &[Pairs<'_>]) {
    println!("| | start to first new binding | processor | peak memory |");
    println!("|---|---|---|---|");
    for row in rows {
        let first = median(row.iter().filter_map(|(_, own)| own.bound.first()).map(Duration::as_secs_f64));
        println!("| {} | {first:.2} s | {} | {} |", row[0].1.who, processor(row), memory(row));
    }
}

fn rates(rows: &[Pairs<'_>]) {
    println!(
        "| | bound/s | of the floor | p50 | p99 | tenths, bound/s | released/s | of the floor | writes a claim \
         | servers | processor | peak memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let own = row[0].1;
        let count = float(own.bound.len());
        let writes: Vec<String> = own
            .requests
            .iter()
            .filter(|requests| !requests.is_empty())
            .map(|requests| format!("{:.2}", counters::writes(requests)))
            .collect();
        let servers = median(row.iter().map(|(_, own)| own.servers * 1000.0 / count));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {servers:.2} ms | {} | {} |",
            own.who,
            rate(row, |figures| figures.bound.last().copied()),
            centile(row, 50),
            centile(row, 99),
            tenths(row),
            rate(row, |figures| figures.released),
            writes.join(" + "),
            processor(row),
            memory(row),
        );
    }
}

/// Claims a second, and the ratio to the floor with its least and its largest value, as two cells.
fn rate(row: &Pairs<'_>, time: impl Fn(&Figures) -> Option<Duration>) -> String {
    let count = float(row[0].1.bound.len());
    let times: Vec<(f64, f64)> = row
        .iter()
        .filter_map(|(floor, own)| Some((time(floor)?.as_secs_f64(), time(own)?.as_secs_f64())))
        .collect();
    if times.is_empty() {
        return "- | -".to_owned();
    }
    let ratios = || times.iter().map(|(floor, own)| floor / own);
    let (least, most) = (ratios().fold(f64::MAX, f64::min), ratios().fold(0.0, f64::max));
    let rate = median(times.iter().map(|(_, own)| count / own));
    format!("{rate:.1} | {:.2} ({least:.2}-{most:.2})", median(ratios()))
}

/// The time by which so many of a hundred were bound.
fn centile(row: &Pairs<'_>, percent: usize) -> String {
    let at = |times: &[Duration]| (times.len() * percent).div_ceil(100).saturating_sub(1);
    let times = row.iter().filter_map(|(_, own)| own.bound.get(at(&own.bound)));
    format!("{:.2} s", median(times.map(Duration::as_secs_f64)))
}

/// Claims a second in each tenth, where these are enough for a rate.
fn tenths(row: &Pairs<'_>) -> String {
    let tenth = row[0].1.bound.len() / 10;
    if tenth < 20 {
        return "-".to_owned();
    }
    let rate = |times: &[Duration], n: usize| {
        let before = if n == 0 { Duration::ZERO } else { times[n * tenth - 1] };
        float(tenth) / times[(n + 1) * tenth - 1].saturating_sub(before).as_secs_f64()
    };
    let each = (0..10).map(|n| median(row.iter().map(|(_, own)| rate(&own.bound, n))));
    each.map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ")
}

fn processor(row: &Pairs<'_>) -> String {
    let seconds: Vec<f64> = row.iter().filter_map(|(_, own)| own.processor).collect();
    if seconds.is_empty() { "-".to_owned() } else { format!("{:.2} s", median(seconds.into_iter())) }
}

#[expect(clippy::cast_precision_loss, reason = "mebibytes")]
fn memory(row: &Pairs<'_>) -> String {
    let kibibytes: Vec<f64> =
        row.iter().filter_map(|(_, own)| own.memory).map(|kibibytes| kibibytes as f64).collect();
    if kibibytes.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.1} MiB", median(kibibytes.into_iter()) / 1024.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of claims")]
fn float(count: usize) -> f64 {
    count as f64
}

/// The middle one; of an even number the lower of the two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// They differ from round to round by some hundredths at most, so one round's stand for all.
fn requests(figures: &Figures) {
    for (requests, until) in
        figures.requests.iter().zip(["until all were bound", "from then until all were gone"])
    {
        println!("\n{}: requests a claim, {until}", figures.who);
        print_each(requests);
    }
}

fn print_each(requests: &BTreeMap<String, f64>) {
    for (request, count) in requests.iter().filter(|(_, count)| **count >= 0.0005) {
        println!("  {count:>7.3}  {request}");
    }
}
