//! Versions of clients, and which of two is older.
//!
//! # Definitions
//! A version is dotted whole numbers: `4`, `4.8`, `4.8.0`; a leading `v` is allowed. Numbers are
//! compared from the left as numbers (`4.10` is later than `4.9`), and what is absent counts as 0
//! (`4.8` and `4.8.0` are the same). Anything else, such as `4.8.0-rc.1`, is refused: whether it is
//! older than `4.8.0` is for people to say.

use std::cmp::Ordering;
use std::fmt;

/// Numbers that a version may have.
const NUMBERS_MAX: usize = 8;

/// A version of a client.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    numbers: Vec<u64>,
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text` and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let numbers: Option<Vec<u64>> =
            trimmed.strip_prefix('v').unwrap_or(trimmed).split('.').map(number).collect();
        match numbers {
            Some(numbers) if numbers.len() <= NUMBERS_MAX => {
                Ok(Self { text: trimmed.to_owned(), numbers })
            }
            _ => Err(format!(
                "{text:?} is no version; write whole numbers with dots between them, such as 4.8.0"
            )),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let at = |version: &Self, i: usize| version.numbers.get(i).copied().unwrap_or(0);
        (0..NUMBERS_MAX)
            .map(|i| at(self, i).cmp(&at(other, i)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect(text)
    }

    #[test]
    fn numbers_are_compared_as_numbers_from_the_left() {
        let ascending = ["0", "0.1", "4.7.99", "4.8", "4.9", "4.10", "4.10.0.1", "10"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("4.8"), version("v4.8.0"));
        assert_eq!(version(" 4.8 ").to_string(), "4.8");
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong =
            ["", ".", "4.", "4..8", "4.8-rc1", "+4", "four", "1.2.3.4.5.6.7.8.9", "v", "4 .8"];
        for text in wrong {
            let problem = Version::parse(text).expect_err(text);
            assert!(problem.contains("4.8.0"), "{problem}");
        }
        Version::parse("99999999999999999999999").expect_err("no u64");
    }
}
