//! What was done to the controllers, and what came of it, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::faults::FAULTS;

/// Counts that many seeds share.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    /// By target and fault.
    faults: BTreeMap<(&'static str, usize), u64>,
    others: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    /// A fault hit so many requests.
    pub fn fault(&self, target: &'static str, fault: usize, times: u64) {
        *self.0.lock().unwrap().faults.entry((target, fault)).or_default() += times;
    }

    /// Something that happened, or that came of it.
    pub fn add(&self, group: &'static str, what: &'static str, times: usize) {
        *self.0.lock().unwrap().others.entry((group, what)).or_default() += times as u64;
    }

    /// How often something happened.
    pub fn of(&self, group: &'static str, what: &'static str) -> u64 {
        self.0.lock().unwrap().others.get(&(group, what)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap();
        let mut targets: Vec<&str> = counts.faults.keys().map(|(target, _)| *target).collect();
        targets.dedup();
        if !targets.is_empty() {
            writeln!(f, "{:14}{}", "requests hit", row(FAULTS.iter().map(|fault| short(fault))))?;
        }
        for target in targets {
            let of = |fault| counts.faults.get(&(target, fault)).copied().unwrap_or_default();
            let cells = (0..FAULTS.len()).map(|fault| of(fault).to_string());
            writeln!(f, "{target:14}{}", row(cells))?;
        }
        let mut last = "";
        for ((group, what), times) in &counts.others {
            if *group != last {
                writeln!(f, "{group}")?;
                last = group;
            }
            writeln!(f, "  {what:40}{times:>9}")?;
        }
        Ok(())
    }
}

/// Columns of one width.
fn row(cells: impl Iterator<Item = String>) -> String {
    cells.fold(String::new(), |row, cell| row + &format!("{cell:>9}"))
}

/// The head of a column.
fn short(fault: &str) -> String {
    match fault {
        "applied, reply lost" => "lost".into(),
        "applied, no JSON" => "no JSON".into(),
        "late reply" => "late".into(),
        _ => fault.replace("applied, ", "done+"),
    }
}
