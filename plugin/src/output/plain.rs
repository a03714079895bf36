//! Texts of others, as people may be shown them: whoever can make a claim can put a terminal's commands into it.

use std::borrow::Cow;

/// The text with nothing in it that a terminal would obey, but for the ends of lines.
pub fn plain(text: &str) -> Cow<'_, str> {
    without(text, |c| c.is_control() && c != '\n')
}

/// The same in one line.
pub fn plain_line(text: &str) -> Cow<'_, str> {
    without(text.trim_end(), char::is_control)
}

fn without(text: &str, is_obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        c if !is_obeyed(c) => c,
        '\n' | '\t' => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_would_obey() {
        let text = "it asks for `10.0.0.5\n\u{1b}[2J\u{9b}31m\r\u{7}`\tand no more\n";
        assert_eq!(
            plain(text),
            "it asks for `10.0.0.5\n\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}` and no more\n"
        );
        assert_eq!(
            plain_line(text),
            "it asks for `10.0.0.5 \u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}` and no more"
        );
        assert!(matches!(plain("kein Gerät frei …"), Cow::Borrowed(_)));
    }
}
