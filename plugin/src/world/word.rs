//! Texts that many objects share. A hundred thousand claims and addresses name each other, their pool, their namespace and
//! their owners: each such text is kept once.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::rc::Rc;

use bumpalo::Bump;
use hashbrown::HashTable;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// All texts that were said, for as long as the process lives.
struct Known {
    room: &'static Bump,
    texts: Vec<&'static str>,
    /// Places in `texts`.
    places: HashTable<u32>,
    hasher: RandomState,
}

/// A text, kept once however often it is said. It is a number that means something in the thread that read it only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word(NonZeroU32, PhantomData<Rc<()>>);

impl Default for Known {
    fn default() -> Self {
        let room = Box::leak(Box::default());
        Self { room, texts: Vec::new(), places: HashTable::new(), hasher: RandomState::new() }
    }
}

impl Known {
    fn place(&mut self, text: &str) -> u32 {
        let (texts, hasher) = (&mut self.texts, &self.hasher);
        let known = |place: &u32| texts.get(*place as usize).is_some_and(|known| *known == text);
        let hash = hasher.hash_one(text);
        if let Some(place) = self.places.find(hash, known) {
            return *place;
        }
        let place = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        texts.push(self.room.alloc_str(text));
        let hash_of = |place: &u32| hasher.hash_one(texts.get(*place as usize).copied().unwrap_or_default());
        self.places.insert_unique(hash, place, hash_of);
        place
    }
}

impl Word {
    /// The text.
    pub fn as_str(self) -> &'static str {
        let place = self.0.get() as usize - 1;
        KNOWN.with_borrow(|known| known.texts.get(place).copied().unwrap_or_default())
    }

    /// The text as a value of its own.
    pub fn owned(self) -> String {
        self.as_str().to_owned()
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        let place = KNOWN.with_borrow_mut(|known| known.place(text));
        Self(NonZeroU32::MIN.saturating_add(place), PhantomData)
    }
}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.as_str().cmp(other.as_str()) }
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
        self.as_str()
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Word {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Word> for &str {
    fn eq(&self, other: &Word) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<Word> for String {
    fn eq(&self, other: &Word) -> bool {
        self == other.as_str()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
        assert_eq!(a, b);
        assert!(std::ptr::eq(a.as_str(), b.as_str()));
        assert_ne!(a, Word::from("other"));
        assert_eq!((a.owned(), serde_json::to_string(&b).unwrap()), ("pool".into(), "\"pool\"".into()));
    }

    #[test]
    fn words_are_in_the_order_of_their_texts_whichever_was_said_first() {
        let mut words: Vec<Word> = ["pool", "", "a", "zone", "pool"].into_iter().map(Word::from).collect();
        words.sort();
        assert_eq!(words, ["", "a", "pool", "pool", "zone"]);
    }

    #[test]
    fn a_hundred_thousand_texts_are_each_kept() {
        let words: Vec<Word> = (0..100_000).map(|n| Word::from(&*n.to_string())).collect();
        let same = words.iter().enumerate().filter(|(n, word)| word.as_str() == n.to_string());
        assert_eq!(same.count(), 100_000);
        assert_eq!(size_of::<Option<Word>>(), 4);
    }
}
