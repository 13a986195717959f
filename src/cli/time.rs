//! Spans of time as people write them on the command line.

use std::time::Duration;

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `500ms`, `90s`, `10m`, `2h`, `1d` or `1h30m`; a number without a unit is seconds.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let form = || format!("{text:?} is no span of time; write 90s, 10m, 2h or 1h30m");
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(form());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let factor = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() && after.is_empty() && total == 0 => 1000,
            None => return Err(form()),
        };
        let number: u64 = number.parse().map_err(|_| form())?;
        let ms = number.checked_mul(factor).ok_or_else(form)?;
        total = total.checked_add(ms).ok_or_else(form)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        let cases = [
            ("10m", 600_000),
            ("90s", 90_000),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            (" 2d ", 172_800_000),
            ("0s", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "m", "10x", "-5s", "1.5h", "1h30", "99999999999999999999s", "s10"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
