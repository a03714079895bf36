//! JSON as far as it is looked at: what a review says besides takes no memory, and what is looked at only so much.
//!
//! A map of one short field takes a hundred times as much memory as text has, and anybody may send a review.

use std::cell::Cell;

use serde_json::Value;

use crate::api::json;

/// What is read of a value.
pub(super) enum Wanted {
    /// All of it.
    All,
    /// These fields of an object; of a list, that it is one.
    Fields(&'static [(&'static str, Wanted)]),
}

/// The most values in what is read: twice as many as fit into an object that etcd takes, since each reservation in a pool
/// stands in `managedFields` as well.
const MOST: usize = 100_000;

/// Reads what is wanted of one JSON text.
///
/// # Errors
///
/// It is no JSON, or says too much.
pub(super) fn read(text: &[u8], wanted: &Wanted) -> serde_json::Result<Value> {
    json::read(text, Part { wanted, left: &Cell::new(MOST) })
}

#[derive(Clone, Copy)]
struct Part<'a> {
    wanted: &'a Wanted,
    /// How many more values may be read.
    left: &'a Cell<usize>,
}

impl json::Wanted for Part<'_> {
    fn item(self) -> Option<Self> {
        matches!(self.wanted, Wanted::All).then_some(self)
    }

    fn member(self, name: &str) -> Option<Self> {
        match self.wanted {
            Wanted::All => Some(self),
            Wanted::Fields(fields) => {
                let (_, wanted) = fields.iter().find(|(wanted, _)| *wanted == name)?;
                Some(Part { wanted, ..self })
            }
        }
    }

    fn begin(self) -> Result<(), String> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| format!("it says more than {MOST} things"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((".{0,4}", inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn all_is_what_serde_json_reads(value in any_value()) {
            let text = value.to_string();
            let theirs: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read(text.as_bytes(), &Wanted::All).unwrap(), theirs);
        }

        #[test]
        fn what_is_no_json_is_none_here(text in "[\\[\\]{}\",:0-9a-e.-]{0,12}") {
            let (ours, theirs) = (read(text.as_bytes(), &Wanted::All), serde_json::from_str::<Value>(&text));
            prop_assert_eq!(ours.map_err(|error| error.to_string()), theirs.map_err(|error| error.to_string()));
        }
    }

    #[test]
    fn what_is_not_wanted_is_not_there() {
        const WANTED: Wanted =
            Wanted::Fields(&[("a", Wanted::All), ("b", Wanted::Fields(&[("c", Wanted::All)]))]);
        let read = |text: &str| read(text.as_bytes(), &WANTED).unwrap();
        assert_eq!(
            read(r#"{"a": [{"x": 1}], "b": {"c": 2, "d": 3}, "c": [4]}"#),
            json!({"a": [{"x": 1}], "b": {"c": 2}})
        );
        assert_eq!(read(r#"{"a": 1, "b": [{"c": 2}], "a": 3}"#), json!({"a": 3, "b": []}));
        assert_eq!(read(r#"["a", {"a": 1}]"#), json!([]));
        assert_eq!(read(r#""a""#), json!("a"));
    }

    #[test]
    fn only_so_much_is_read() {
        let list = |values: usize| format!("[{}]", vec!["0"; values].join(","));
        assert!(read(list(MOST - 1).as_bytes(), &Wanted::All).is_ok());
        let error = read(list(MOST).as_bytes(), &Wanted::All).unwrap_err();
        assert!(error.to_string().contains("more than 100000"), "{error}");
        assert_eq!(read(list(MOST).as_bytes(), &Wanted::Fields(&[])).unwrap(), json!([]));
    }
}
