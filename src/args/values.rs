//! Values of flags as Go writes them.

use std::time::Duration;

use crate::controller::Listen;

/// A switch.
pub fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("a switch is true or false".into()),
    }
}

/// A duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("`{text}` is no duration; write a number with its unit, such as 2s, 500ms or 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // Go's form has neither blanks nor words.
    if !text.ends_with(['s', 'm', 'h']) || text.contains([' ', ',']) {
        return Err(refused());
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| refused())?;
    parsed.try_into().map_err(|_| refused())
}

/// Where to listen.
pub fn listen(text: &str) -> Result<Listen, String> {
    text.parse()
}

/// A number of requests a second.
pub fn per_second(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number is needed, such as 20 or 0.5".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("a finite number is needed, such as 20".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("10m0s", 600_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "15", "s", "-1s", "1 s", "1 hour", "2x"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
