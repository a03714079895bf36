//! UIDs, small.

use std::fmt;

/// An object's UID.
///
/// Kubernetes' UIDs are opaque text that happens to be an RFC 4122 UUID; one of that form takes 16 bytes here instead
/// of a string of 36, which is what most of a claim would otherwise be. Any other text is kept as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl Uid {
    /// Reads a UID; what comes out by `Display` is the text that went in.
    pub fn new(text: &str) -> Self {
        Self(parse(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

/// The bytes of a UUID in its canonical form (lower case, hyphens), else `None`.
fn parse(text: &str) -> Option<[u8; 16]> {
    let lengths = text.split('-').map(str::len);
    if !lengths.eq(GROUPS) {
        return None;
    }
    let digits: String = text.split('-').collect();
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !digits.bytes().all(lower_hex) {
        return None;
    }
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(bytes) => {
                let digits = format!("{:032x}", u128::from_be_bytes(*bytes));
                let (mut rest, mut separator) = (digits.as_str(), "");
                for length in GROUPS {
                    let (group, tail) = rest.split_at(length);
                    write!(f, "{separator}{group}")?;
                    (rest, separator) = (tail, "-");
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_went_in(text in "[0-9a-fA-F-]{0,40}|.*") {
            prop_assert_eq!(Uid::new(&text).to_string(), text);
        }

        #[test]
        fn a_uuid_is_kept_as_a_number(bytes: [u8; 16]) {
            let text = Uid(Form::Uuid(bytes)).to_string();
            prop_assert_eq!(Uid::new(&text), Uid(Form::Uuid(bytes)));
        }
    }
}
