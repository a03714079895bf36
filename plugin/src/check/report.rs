//! Findings as people and CI systems read them.

use console::Style;

use super::{CHECKS, Finding, Severity};
use crate::output::{plain_line, plural};

/// A block of lines for each finding.
pub fn text(findings: &[Finding], with_namespaces: bool) -> String {
    let block = |finding: &Finding| {
        let (word, style) = match finding.severity {
            Severity::Error => ("error", Style::new().red().bold()),
            Severity::Warning => ("warning", Style::new().yellow().bold()),
        };
        let object = &finding.object;
        let place = if with_namespaces { format!("  -n {}", object.namespace) } else { String::new() };
        format!(
            "{}  {}  {}{place}\n  {}\n  try: {}\n",
            style.apply_to(word),
            finding.id,
            object.shown(),
            plain_line(&finding.message),
            plain_line(&finding.command)
        )
    };
    findings.iter().map(block).collect()
}

/// The verdict, in one line.
pub fn verdict(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mendable = findings.iter().filter(|finding| !finding.mends.is_empty()).count();
    let way_out =
        if mendable > 0 { format!("; `kubectl ipam repair` can mend {mendable}") } else { String::new() };
    format!("{}, {}{way_out}", plural(errors, "error"), plural(findings.len() - errors, "warning"))
}

/// One test case for each check, as CI systems read it.
pub fn junit(findings: &[Finding]) -> String {
    let failed = CHECKS.iter().filter(|(id, _)| findings.iter().any(|finding| finding.id == *id)).count();
    let cases: String = CHECKS.iter().map(|(id, meaning)| case(id, meaning, findings)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"kubectl ipam check\" tests=\"{}\" \
         failures=\"{failed}\">\n{cases}  </testsuite>\n</testsuites>\n",
        CHECKS.len()
    )
}

fn case(id: &str, meaning: &str, findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let object = &finding.object;
        escaped(&format!("\n{} -n {}: {}", object.shown(), object.namespace, finding.message))
    };
    let lines: String = findings.iter().filter(|finding| finding.id == id).map(line).collect();
    if lines.is_empty() {
        return format!("    <testcase classname=\"ipam\" name=\"{id}\"/>\n");
    }
    let meaning = escaped(meaning);
    format!(
        "    <testcase classname=\"ipam\" name=\"{id}\">\n      <failure message=\"{meaning}\">{lines}\n      </failure>\n    </testcase>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}
