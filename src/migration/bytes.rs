//! Byte sizes as people write them, for TOML budgets and command line flags alike.

use super::error::quoted;

/// Units and their factors; matched without regard to case.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads a size such as `64MiB`, `10 kB` or `123`: a whole number and an optional unit.
///
/// Case does not matter: `kB` is 1000 bytes and `KiB` is 1024.
///
/// # Errors
/// A sentence that says what is wrong with `text` and what to write instead.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(no_size(text));
    }
    let unit = unit.trim_start().to_ascii_lowercase();
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(no_size(text));
    };
    let count = number.parse::<u64>().ok();
    count
        .and_then(|count| count.checked_mul(*factor))
        .ok_or_else(|| format!("{} is more than {} bytes; write less", quoted(text), u64::MAX))
}

fn no_size(text: &str) -> String {
    format!(
        "{} is no size in bytes; write a whole number and a unit of B, kB, MB, GB, TB, KiB, MiB, \
         GiB or TiB, such as 64MiB",
        quoted(text)
    )
}
