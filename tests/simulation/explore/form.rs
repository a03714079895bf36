//! What a state is, apart from how often things were changed and made anew before.
//!
//! Versions grow for ever, and each object that is made has a UID of its own; but of versions only the order counts, and
//! of UIDs which are the same. So they are set apart while a state is hashed, and replaced by their ranks among those of
//! the same object that the whole state still knows: a world in which the same happens again and again comes back to a
//! state that it was in.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::server::STAMP;

/// A part of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form {
    /// A number for all but the marks.
    rest: u64,
    /// In the order in which they occur.
    marks: Vec<Mark>,
}

/// A version, or a UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Mark {
    sort: Sort,
    /// Which object, or name, it is of.
    of: u32,
    nth: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Sort {
    Version,
    Uid,
}

impl Form {
    pub fn of(what: &impl Hash) -> Self {
        let mut former = Former::default();
        what.hash(&mut former);
        former.form()
    }

    /// One after the other. Each is set off from the next by what it is.
    pub fn all<'a>(forms: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut hasher, mut marks) = (DefaultHasher::new(), Vec::new());
        for form in forms {
            (form.rest, form.marks.len()).hash(&mut hasher);
            marks.extend_from_slice(&form.marks);
        }
        Self { rest: hasher.finish(), marks }
    }

    /// A number for all of it: two that differ in nothing but how large the versions are, or which UIDs there were
    /// before, have the same.
    pub fn print(&self) -> u64 {
        let known: BTreeSet<Mark> = self.marks.iter().copied().collect();
        let known: Vec<Mark> = known.into_iter().collect();
        let mut hasher = DefaultHasher::new();
        self.rest.hash(&mut hasher);
        for mark in &self.marks {
            let first = known.partition_point(|other| (other.sort, other.of) < (mark.sort, mark.of));
            let rank = known.partition_point(|other| other < mark) - first;
            (mark.sort, mark.of, rank).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Digits of the least version, which has the stamp in its uppermost bits.
const SHORTEST_VERSION: usize = (STAMP << 48).ilog10() as usize + 1;

/// Hashes, and sets the marks apart.
#[derive(Default)]
pub struct Former {
    rest: DefaultHasher,
    marks: Vec<Mark>,
}

impl Former {
    pub fn form(self) -> Form {
        Form { rest: self.rest.finish(), marks: self.marks }
    }

    /// What is only there as text, marks included.
    pub fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
            let (before, word) = rest.split_at(at);
            self.rest.write(before.as_bytes());
            let end = word.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            match Mark::of_text(word) {
                Some(mark) => self.mark(mark),
                None => self.rest.write(word.as_bytes()),
            }
            rest = after;
        }
        self.rest.write(rest.as_bytes());
        self.rest.write_u8(0xff);
    }

    fn mark(&mut self, mark: Mark) {
        self.rest.write_u8(0xfe);
        self.marks.push(mark);
    }
}

impl Hasher for Former {
    fn finish(&self) -> u64 {
        self.rest.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        // No version as text is shorter.
        let is_long = bytes.len() >= SHORTEST_VERSION;
        let text = || is_long.then(|| std::str::from_utf8(bytes).ok())?.and_then(Mark::of_text);
        match Mark::of_uid(bytes).or_else(text) {
            Some(mark) => self.mark(mark),
            None => self.rest.write(bytes),
        }
    }

    fn write_u64(&mut self, number: u64) {
        match Mark::of_version(number) {
            Some(mark) => self.mark(mark),
            None => self.rest.write_u64(number),
        }
    }
}

impl Mark {
    fn of_version(number: u64) -> Option<Self> {
        let (stamp, of, nth) = (number >> 48, (number >> 24) & 0xff_ffff, number & 0xff_ffff);
        (stamp == STAMP).then(|| Self { sort: Sort::Version, of: u32::try_from(of).unwrap(), nth })
    }

    fn of_uid(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let number = u128::from_be_bytes(bytes);
        let part = |shift: u32, bits: u32| u64::try_from((number >> shift) & ((1 << bits) - 1)).unwrap();
        let is_ours = part(80, 16) == STAMP && part(48, 32) == 0x4000_8000;
        is_ours.then(|| Self { sort: Sort::Uid, of: u32::try_from(part(96, 32)).unwrap(), nth: part(0, 48) })
    }

    /// As people read them, and as they stand in annotations.
    fn of_text(word: &str) -> Option<Self> {
        if word.len() == 36 {
            let digits: String = word.split('-').collect();
            return Self::of_uid(&u128::from_str_radix(&digits, 16).ok()?.to_be_bytes());
        }
        Self::of_version(word.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use ipam::api::{Family, Kind};
    use ipam::ledger::{Id, Meta, Uid};

    use super::*;
    use crate::server::Server;

    fn metas(name: &str, count: usize) -> Vec<Meta> {
        let id = Id::new(Kind::Claim(Family::Metal3), "ns", name);
        let mut server = Server::default();
        (0..count).map(|_| server.new_meta(&id)).collect()
    }

    /// A version of its own, as text and as number, beside what it is of.
    fn print(uids: [&Uid; 2], versions: [u64; 3]) -> u64 {
        let mut former = Former::default();
        former.text(&format!("of {:?}, at {}", uids[0], versions[0]));
        (uids[1], versions[1], versions[2].to_string()).hash(&mut former);
        Form::all([&former.form(), &Form::of(&uids[0])]).print()
    }

    #[test]
    fn of_versions_and_uids_only_the_order_and_the_sameness_count() {
        let (a, b) = (metas("a", 4), metas("b", 1));
        let version = |nth| (STAMP << 48) | (7 << 24) | nth;
        let versions = |nths: [u64; 3]| nths.map(version);
        let before = print([&a[0].uid, &a[1].uid], versions([1, 2, 1]));
        assert_eq!(print([&a[1].uid, &a[3].uid], versions([5, 9, 5])), before);
        for (uids, nths) in [
            // The same object, another order, another name's object;
            ([&a[0].uid, &a[0].uid], [1, 2, 1]),
            ([&a[1].uid, &a[0].uid], [1, 2, 1]),
            ([&a[0].uid, &b[0].uid], [1, 2, 1]),
            // and versions that are the same, or in another order.
            ([&a[0].uid, &a[1].uid], [1, 1, 1]),
            ([&a[0].uid, &a[1].uid], [2, 1, 2]),
            ([&a[0].uid, &a[1].uid], [1, 2, 2]),
        ] {
            assert_ne!(print(uids, versions(nths)), before, "{uids:?} {nths:?}");
        }
    }

    #[test]
    fn what_is_no_mark_counts_as_it_is() {
        for (one, other) in [("at 17", "at 18"), ("p-10-0-0-1", "p-10-0-0-2"), ("beef", "bee f")] {
            let form = |text| {
                let mut former = Former::default();
                former.text(text);
                former.form().print()
            };
            assert_ne!(form(one), form(other));
        }
        assert_ne!(Form::of(&17_u64).print(), Form::of(&18_u64).print());
        assert_ne!(Form::of(&"17").print(), Form::of(&"18").print());
    }
}
