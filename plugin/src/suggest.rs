//! "Did you mean": the name that comes next to a mistyped one.

/// The hint for a name that is none of `known`, if one of these is near.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = |name: &&str| distance(wrong, name) <= wrong.chars().count().max(3) / 3;
    let nearest = known.into_iter().filter(near).min_by_key(|name| distance(wrong, name))?;
    Some(format!("did you mean `{nearest}`?"))
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_and_a_far_one_is_not() {
        let known = ["rack-1", "rack-12", "provisioning"];
        assert_eq!(did_you_mean("rakc-1", known).as_deref(), Some("did you mean `rack-1`?"));
        assert_eq!(did_you_mean("provisionning", known).as_deref(), Some("did you mean `provisioning`?"));
        assert_eq!(did_you_mean("storage", known), None);
        assert_eq!(did_you_mean("p", ["q", "storage"]).as_deref(), Some("did you mean `q`?"));
    }
}
