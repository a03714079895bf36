//! kubectl's `jsonpath` templates, as far as people use them: `{.items[*].metadata.name}`, `{range .items[*]}…{end}`,
//! `{"\n"}`, `['a.b']`, `a\.b`, indices, and filters such as `[?(@.type=="Ready")]`.

use serde_json::Value;

/// A template.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Values(Vec<Step>),
    Each(Vec<Step>, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    All,
    Index(i64),
    /// Elements whose value at a path equals the text, or does not.
    Filter(Vec<Step>, bool, String),
}

impl JsonPath {
    /// Reads a template. One without braces is a path.
    pub fn parse(template: &str) -> Result<Self, String> {
        let template = if template.contains('{') { template.to_owned() } else { format!("{{{template}}}") };
        let mut rest = template.as_str();
        let parts = parts(&mut rest, false)?;
        if parts.is_empty() { Err("the template is empty".into()) } else { Ok(Self(parts)) }
    }

    /// The text that the template makes of `data`. What is not there is left out.
    pub fn render(&self, data: &Value) -> String {
        render(&self.0, data)
    }
}

fn parts(rest: &mut &str, inside: bool) -> Result<Vec<Part>, String> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some(text_end) = rest.find('{') else {
            found.push(Part::Text(std::mem::take(rest).to_owned()));
            break;
        };
        if text_end > 0 {
            found.push(Part::Text(rest[..text_end].to_owned()));
        }
        *rest = &rest[text_end + 1..];
        let end = closing(rest).ok_or("a `{` is not closed")?;
        let inner = rest[..end].trim();
        *rest = &rest[end + 1..];
        if inner == "end" {
            return if inside { Ok(found) } else { Err("`{end}` without `{range}`".into()) };
        }
        found.push(match inner.strip_prefix("range ") {
            Some(path) => Part::Each(steps(path.trim())?, parts(rest, true)?),
            None if inner.starts_with('"') => Part::Text(literal(inner)?),
            None => Part::Values(steps(inner)?),
        });
    }
    if inside { Err("`{range}` without `{end}`".into()) } else { Ok(found) }
}

/// Where the brace that is open closes; braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn literal(text: &str) -> Result<String, String> {
    serde_json::from_str(text).map_err(|_| format!("`{text}` is no text"))
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut rest = path.strip_prefix(['$', '@']).unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = bracket(inner).ok_or_else(|| format!("`[` is not closed in `{path}`"))?;
            steps.push(subscript(&inner[..end])?);
            rest = &inner[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (name, after) = member(rest);
        rest = after;
        match name.as_str() {
            "" => {}
            "*" => steps.push(Step::All),
            _ => steps.push(Step::Member(name)),
        }
    }
    Ok(steps)
}

/// Where the bracket that is open closes; those in between and in quotes do not count.
fn bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ']') if depth == 0 => return Some(at),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A member's name up to the next step; `\.` is a dot in it.
fn member(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, &text[at..]),
            c => {
                name.push(c);
                escaped = false;
            }
        }
    }
    (name, "")
}

fn subscript(text: &str) -> Result<Step, String> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(condition) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (left, is, right) = match (condition.split_once("=="), condition.split_once("!=")) {
            (Some((left, right)), _) => (left, true, right),
            (None, Some((left, right))) => (left, false, right),
            (None, None) => return Err(format!("`{condition}` is neither == nor !=")),
        };
        return Ok(Step::Filter(steps(left.trim())?, is, unquoted(right.trim()).to_owned()));
    }
    match text.parse() {
        Ok(index) => Ok(Step::Index(index)),
        Err(_) if unquoted(text) != text => Ok(Step::Member(unquoted(text).to_owned())),
        Err(_) => Err(format!("`[{text}]` is not understood")),
    }
}

fn unquoted(text: &str) -> &str {
    let between = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    between('\'').or_else(|| between('"')).unwrap_or(text)
}

fn render(parts: &[Part], data: &Value) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Values(steps) => select(data, steps).into_iter().map(shown).collect::<Vec<_>>().join(" "),
        Part::Each(steps, inner) => {
            select(data, steps).into_iter().map(|value| render(inner, value)).collect()
        }
    };
    parts.iter().map(part).collect()
}

fn select<'a>(data: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return vec![data] };
    let found: Vec<&Value> = match step {
        Step::Member(name) => data.get(name).into_iter().collect(),
        Step::All => elements(data),
        Step::Index(index) => at(data, *index).into_iter().collect(),
        Step::Filter(path, is, wanted) => {
            let equals =
                |value: &&Value| select(value, path).into_iter().any(|value| shown(value) == *wanted);
            elements(data).into_iter().filter(|value| equals(value) == *is).collect()
        }
    };
    found.into_iter().flat_map(|value| select(value, rest)).collect()
}

fn elements(data: &Value) -> Vec<&Value> {
    match data {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// The element of an index; a negative one counts from the end.
fn at(data: &Value, index: i64) -> Option<&Value> {
    let elements = data.as_array()?;
    let length = i64::try_from(elements.len()).ok()?;
    elements.get(usize::try_from(if index < 0 { length + index } else { index }).ok()?)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_read_as_in_kubectl() {
        let data = json!({"items": [
            {"metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "ready": [{"type": "Ready", "status": "True"}], "n": 3},
            {"metadata": {"name": "b"}, "ready": [{"type": "Other", "status": "False"}]},
        ]});
        for (template, text) in [
            ("{.items[*].metadata.name}", "a b"),
            (".items[0].metadata.name", "a"),
            ("{.items[-1].metadata.name}", "b"),
            ("{$.items[0].n}", "3"),
            ("{.items[0].metadata.labels.x\\.y/z}", "1"),
            ("{.items[0].metadata.labels['x.y/z']}", "1"),
            ("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"),
            ("{.items[*].ready[?(@.type==\"Ready\")].status}", "True"),
            ("{.items[*].ready[?(@.type!='Ready')].status}", "False"),
            ("n={.items[0].n}!", "n=3!"),
            ("{.nothing}", ""),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap().render(&data), text, "{template}");
        }
    }

    #[test]
    fn a_broken_template_is_refused() {
        for template in ["{.items", "{range .items[*]}x", "{end}", "{.a[}", "{.a[x]}", "{\"a}"] {
            assert!(JsonPath::parse(template).is_err(), "{template}");
        }
    }
}
