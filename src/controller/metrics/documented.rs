//! What people read and load about the metrics says what the process tells: `docs/metrics.md`, the alert rules and the
//! dashboard of `config/components/monitoring`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::Value;

use super::*;
use crate::admission::{Malformed, Observer as _, ReviewEnd, Verdict};
use crate::api::{Family, Kind};
use crate::ledger::{Fate, Id, PoolFigures, Uid};

/// Labels of whoever is scraped, which a scraper adds.
const TARGET: [&str; 5] = ["namespace", "pod", "job", "service", "instance"];

/// A metric by the name that is documented.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    form: String,
    labels: BTreeSet<String>,
}

/// All that one process can tell, each metric with at least one value.
fn told() -> BTreeMap<String, Told> {
    let metrics = Metrics::new();
    let subject = Id::new(Kind::Address(Family::Metal3), "ns", "a");
    let act = Act::Delete { address: subject.clone(), uid: Uid::new("u"), version: 1 };
    let write = Write { number: 1, subject, uid: Uid::new("u"), act };
    metrics.landed(&write, &Outcome::Refused("no".into()));
    metrics.took(&write.act, Duration::from_millis(7));
    metrics.bound_after(1);
    metrics.stands(true, true);
    metrics.in_flight(1);
    metrics.certificate_until(1);
    metrics.reviews().begins("/p");
    let took = Duration::from_millis(1);
    metrics.reviews().ends("/p", Some(ReviewEnd { verdict: "allowed", code: 200, took }));
    metrics.observer()(&Method::GET, &"https://h/".parse().unwrap(), Some(StatusCode::OK));
    let id = Id::new(Kind::Pool, "ns", "p");
    let pool = PoolFigures {
        id,
        capacity: 1,
        free: 0,
        allocated: 1,
        leaked: 0,
        doubled: 0,
        waiting: 0,
        oldest: None,
    };
    let claims = [((Family::Metal3, Fate::New), 1)].into_iter().collect();
    let text = metrics.text(Some(&Figures { pools: vec![pool], claims, to_do: 0, added: 9 }), 0).unwrap();
    let told = read(&text);
    let values = metrics_of(&metrics);
    assert_eq!(told.len(), values + REGISTERED_ANEW, "a metric has no value here: add one above");
    told
}

/// Metrics that are registered anew for each scrape: of the process, and of the figures.
const REGISTERED_ANEW: usize = 3 + 10;

/// How many metrics live as long as the process. A new field does not compile before it is counted here.
fn metrics_of(metrics: &Metrics) -> usize {
    let Metrics {
        registry: _,
        start: _,
        reconciled: _,
        errors: _,
        written: _,
        durations: _,
        requested: _,
        in_flight: _,
        leads: _,
        synced: _,
        watch_failures: _,
        bound: _,
        leaks_released: _,
        expiry: _,
        reviews: _,
    } = metrics;
    // The fields but for the first two and the last, those of reviews, and what is built.
    12 + 4 + 1
}

/// Metrics in the text form, by the name under which their values are found; that of a histogram is without suffix.
fn read(text: &str) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::new();
    let mut current = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, form) = rest.split_once(' ').unwrap();
            let suffix = match form {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            current = (format!("{name}{suffix}"), form.to_owned());
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
            let names = labels.split("\",").filter_map(|label| label.split_once('='));
            let labels: BTreeSet<String> = names.map(|(name, _)| name.to_owned()).collect();
            let labels = labels.into_iter().filter(|label| label != "le").collect();
            let (name, form) = current.clone();
            told.entry(name).or_insert(Told { form, labels });
        }
    }
    told
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The words of a cell that stand in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn the_page_names_each_metric_with_its_type_and_its_labels_and_no_other() {
    let page = file("docs/metrics.md");
    // The tables of words below them have two columns.
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() > 4);
    let documented: BTreeMap<String, Told> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [name, form, labels, _unit, meaning, look] = cells[..] else {
                panic!("not six cells: {row}")
            };
            assert!(!meaning.is_empty() && !look.is_empty(), "an empty cell: {row}");
            let name = quoted(name).next().unwrap();
            (name, Told { form: form.to_owned(), labels: quoted(labels).collect() })
        })
        .collect();
    let told = told();
    for (name, metric) in &told {
        assert_eq!(documented.get(name), Some(metric), "`{name}` in docs/metrics.md");
    }
    for name in documented.keys() {
        assert!(told.contains_key(name), "docs/metrics.md has `{name}`, which nobody tells");
    }
}

/// Words of the query language that are used and are no metrics.
const WORDS: [&str; 13] = [
    "absent",
    "and",
    "by",
    "histogram_quantile",
    "increase",
    "label_values",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "time",
];

/// The metrics that a query asks for, each with the labels that it is chosen by.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let query = without_groupings(&without_texts(query));
    let mut asked = Vec::new();
    let mut rest = query.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:$".contains(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '$') || WORDS.contains(&word) {
            continue;
        }
        let mut labels = Vec::new();
        if let Some((selector, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            let names = selector.split(',').filter(|label| !label.trim().is_empty());
            labels.extend(names.map(|label| label.trim().split(['=', '!']).next().unwrap().to_owned()));
            rest = after;
        }
        asked.push((word.to_owned(), labels));
    }
    asked
}

/// The query with empty texts in place of those in it.
fn without_texts(query: &str) -> String {
    query.split('"').step_by(2).collect::<Vec<_>>().join("")
}

/// The query without the lists of labels after `by` and its like, and without the label of `label_values`.
fn without_groupings(query: &str) -> String {
    let mut query = query.to_owned();
    for word in ["by", "on", "ignoring", "without", "group_left"] {
        for opening in [format!(" {word} ("), format!(" {word}(")] {
            while let Some(at) = query.find(&opening) {
                let length = query[at..].find(')').unwrap();
                query.replace_range(at..=at + length, " ");
            }
        }
    }
    match query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(',')) {
        Some((metric, _label)) => metric.to_owned(),
        None => query,
    }
}

/// What Prometheus itself says of each that it asks: whether it was reached.
const OF_PROMETHEUS: &str = "up";

/// Fails where a query asks for a metric or a label that nobody tells.
fn must_be_told(query: &str, told: &BTreeMap<String, Told>, by: &str) {
    let metrics = asked(query);
    assert!(!metrics.is_empty(), "{by} asks for nothing: {query}");
    for (name, labels) in metrics {
        if name == OF_PROMETHEUS {
            continue;
        }
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let metric = told.get(&name).or_else(|| told.get(base?).filter(|told| told.form == "histogram"));
        let Some(metric) = metric else { panic!("{by} asks for `{name}`, which nobody tells: {query}") };
        for label in labels {
            let is_there = metric.labels.contains(&label) || TARGET.contains(&label.as_str());
            assert!(is_there, "{by} chooses `{name}` by `{label}`, which it has not");
        }
    }
}

const MONITORING: &str = "config/components/monitoring";

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&file(&format!("{MONITORING}/alerts.yaml"))).unwrap();
    let groups = rules["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn the_page_lists_each_alert() {
    let page = file("docs/metrics.md");
    let (_, listed) = page.split_once("## Alerts").unwrap();
    let listed: BTreeSet<String> =
        listed.lines().filter(|line| line.starts_with("| `")).flat_map(|line| quoted(line).take(1)).collect();
    let alerts: BTreeSet<String> = alerts().iter().map(|alert| text(alert, "/alert").to_owned()).collect();
    assert_eq!(listed, alerts);
}

#[test]
fn the_page_explains_each_word_of_the_labels() {
    let page = file("docs/metrics.md");
    let words: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| quoted(line.split(" | ").next().unwrap()))
        .collect();
    for fate in Fate::ALL {
        assert!(words.contains(labels::state(fate)), "{fate:?}");
    }
    let verdicts =
        [Verdict::Allowed, Verdict::Patched(Vec::new()), Verdict::Invalid(Vec::new()), Verdict::NotYet];
    for verdict in verdicts.iter().map(Verdict::word).chain([Malformed::WORD]) {
        assert!(words.contains(verdict), "{verdict}");
    }
    let outcomes =
        [Outcome::Gone, Outcome::Exists, Outcome::GuardFailed(String::new()), Outcome::NotNow(None)];
    let unclear = [Outcome::Refused(String::new()), Outcome::Unknown(String::new())];
    for outcome in outcomes.iter().chain(&unclear) {
        assert!(words.contains(outcome_name(outcome)), "{outcome:?}");
    }
}

#[test]
fn each_alert_asks_for_what_is_told_and_says_what_to_type_and_where_to_read_on() {
    let told = told();
    let anchors = anchors(&file("docs/troubleshooting.md"));
    let alerts = alerts();
    assert!(alerts.len() >= 12, "{}", alerts.len());
    for alert in &alerts {
        let name = text(alert, "/alert");
        must_be_told(text(alert, "/expr"), &told, name);
        let severity = text(alert, "/labels/severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        assert!(!text(alert, "/annotations/summary").is_empty());
        let description = text(alert, "/annotations/description");
        assert!(description.contains("`kubectl "), "{name} does not say what to type: {description}");
        let (page, anchor) = text(alert, "/annotations/runbook").split_once('#').unwrap();
        assert_eq!(page, "docs/troubleshooting.md", "{name}");
        assert!(anchors.contains(anchor), "{name}: there is no heading for #{anchor}, but for {anchors:#?}");
    }
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn each_picture_of_the_dashboard_asks_for_what_is_told() {
    let told = told();
    let dashboard: Value = serde_json::from_str(&file(&format!("{MONITORING}/dashboard.json"))).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() >= 12, "{}", queries.len());
    for query in queries {
        must_be_told(&query, &told, "the dashboard");
    }
}

/// The queries anywhere in a value: of panels, and of variables.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(query)
                        if ["expr", "query"].contains(&key.as_str()) && query != "prometheus" =>
                    {
                        into.push(query.clone());
                    }
                    other => collect(other, into),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

#[test]
fn the_panels_do_not_overlap_and_have_ids_of_their_own() {
    let dashboard: Value = serde_json::from_str(&file(&format!("{MONITORING}/dashboard.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "twice: {}", panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{} lies on another panel", panel["title"]);
        }
    }
}

#[test]
fn a_query_is_read_down_to_its_metrics_and_labels() {
    let query =
        r#"sum by (act) (rate(ipam_writes_total{outcome=~"refused|unknown", act!="look"}[10m])) / 2 > 0"#;
    let labels = vec!["outcome".to_owned(), "act".to_owned()];
    assert_eq!(asked(query), [("ipam_writes_total".to_owned(), labels)]);
    let names: Vec<String> =
        asked("a_b - on (x, y) group_left (z) c_d").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a_b", "c_d"]);
    assert_eq!(asked("label_values(ipam_pool_free_addresses, pool)")[0].0, "ipam_pool_free_addresses");
}
