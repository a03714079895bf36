//! Texts that many objects share. A hundred thousand claims and addresses name each other, their pool, their namespace and
//! their owners: each such text is kept once.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

thread_local! {
    static KNOWN: RefCell<HashSet<Rc<str>>> = RefCell::default();
}

/// A text, kept once however often it is said.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Rc<str>);

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as a value of its own.
    pub fn owned(&self) -> String {
        (*self.0).to_owned()
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        KNOWN.with_borrow_mut(|known| {
            if let Some(word) = known.get(text) {
                return Self(Rc::clone(word));
            }
            let word: Rc<str> = text.into();
            known.insert(Rc::clone(&word));
            Self(word)
        })
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for Word {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<Word> for &str {
    fn eq(&self, other: &Word) -> bool {
        **self == *other.0
    }
}

impl PartialEq<Word> for String {
    fn eq(&self, other: &Word) -> bool {
        **self == *other.0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_said_before_is_the_same_one() {
        let (a, b): (Word, Word) = ("pool".into(), serde_json::from_str("\"pool\"").unwrap());
        assert!(Rc::ptr_eq(&a.0, &b.0));
        assert_ne!(a, Word::from("other"));
        assert_eq!((a.owned(), serde_json::to_string(&b).unwrap()), ("pool".into(), "\"pool\"".into()));
    }
}
