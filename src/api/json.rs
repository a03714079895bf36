//! JSON as far as it is wanted: what is passed over takes no memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is wanted of a value.
pub trait Wanted: Copy {
    /// What is wanted of each item, where the value is a list; `None` for an empty list in its place.
    fn item(self) -> Option<Self>;
    /// What is wanted of this member, where the value is an object; `None` leaves it out.
    fn member(self, name: &str) -> Option<Self>;
    /// Called before a value is read.
    ///
    /// # Errors
    ///
    /// Why nothing more is to be read.
    fn begin(self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads what is wanted of one JSON text.
///
/// # Errors
///
/// It is no JSON, or what [`Wanted::begin`] says.
pub fn read(text: &[u8], wanted: impl Wanted) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Part(wanted).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Part<W>(W);

impl<'de, W: Wanted> DeserializeSeed<'de> for Part<W> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.0.begin().map_err(D::Error::custom)?;
        reader.deserialize_any(self)
    }
}

impl<'de, W: Wanted> Visitor<'de> for Part<W> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        match self.0.item() {
            Some(wanted) => {
                while let Some(item) = list.next_element_seed(Part(wanted))? {
                    items.push(item);
                }
            }
            None => while list.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            match self.0.member(&name) {
                Some(wanted) => drop(members.insert(name, object.next_value_seed(Part(wanted))?)),
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(members))
    }
}
