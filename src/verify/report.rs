//! A digest as one replica prints it and another reads it: one JSON object.
//!
//! # Format 1
//! An object with `format` (1), `migration` (its id), `migration_digest` (64 hexadecimal digits),
//! `phase` (`open`, `closed` or `applied`), `rows`, `rows_pending` (noted, not yet derived again),
//! `rows_different` (cells of ours that are not the derived value), `rows_skipped`, `digest` and
//! `sources_digest` (64 digits each, over all changes), `dotfill_version`, `sqlite_version` (which
//! evaluated the expressions now), `proof_sqlite_version` (which did when the migration was proven;
//! null where that is not known) and `changes`, in the order of the migration file. A change has
//! `table`, `column`, `shape` (16 digits), `rows`, `digest` (64 digits), `high` (the upper halves of
//! the sums of values and of sources over all rows, which are modulo 2^128: two times 16 digits with
//! a point between; the lower halves are the sums of the leaves) and `leaves`: one text, per
//! leaf in order `rows.sources.values`, with a space between leaves; `rows` are hexadecimal digits
//! without leading zeros, the sums 16 digits each. `src/verify/tree.rs` defines the numbers.
//!
//! Everything agrees: the leaves of a change add up to its rows, and its digest is the root of its
//! rows and its sum of values; `rows`, `digest` and `sources_digest` of the whole are those of all
//! changes together. Readers refuse what does not.
//!
//! Readers ignore members that they do not know, and refuse another format.

use std::fmt::Write;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Leaf;
use super::tree::root;

/// The format that this build writes and reads.
const FORMAT: u64 = 1;

/// The digest of all changes of a migration on one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReport {
    /// The format: 1.
    pub format: u64,
    /// The migration's id.
    pub migration: String,
    /// The digest of its file's meaning, as hexadecimal digits.
    pub migration_digest: String,
    /// Where it stands: `open`, `closed` or `applied`.
    pub phase: String,
    /// Rows of all tables.
    pub rows: u64,
    /// Keys that others changed and that wait to be derived again.
    pub rows_pending: u64,
    /// Rows whose cell is ours, is not noted, and differs from the derived value.
    pub rows_different: u64,
    /// Rows whose expression fails and is skipped.
    pub rows_skipped: u64,
    /// The digest of all keys and cells.
    pub digest: String,
    /// The digest of all keys and sources.
    pub sources_digest: String,
    /// The dotfill that made it.
    pub dotfill_version: String,
    /// The `SQLite` that evaluated the expressions for it.
    pub sqlite_version: String,
    /// The `SQLite` that evaluated them for the recorded proof.
    pub proof_sqlite_version: Option<String>,
    /// The changes, in order.
    pub changes: Vec<ChangeDigest>,
}

/// The digest of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeDigest {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The table's shape: what must be alike to compare.
    pub shape: String,
    /// Rows of the table.
    pub rows: u64,
    /// The digest of keys and cells.
    pub digest: String,
    /// The upper halves of the sums of the value hashes and of the source hashes of all rows.
    #[serde(serialize_with = "write_high", deserialize_with = "read_high")]
    pub high: (u64, u64),
    /// The tree's leaves.
    #[serde(serialize_with = "write_leaves", deserialize_with = "read_leaves")]
    pub leaves: Vec<Leaf>,
}

/// Why a text is no digest that can be used here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestProblem {
    /// It is something else, or was cut off.
    #[error("it is not what `dotfill digest` prints: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// It is no key digest.
    #[error("it is not what `dotfill digest MIGRATION --db FILE --keys` prints: {problem}")]
    NoKeys {
        /// What is wrong.
        problem: String,
    },
    /// A later dotfill wrote it.
    #[error(
        "it is a digest of format {found}, and this dotfill reads format {FORMAT}: use the same \
         release on both replicas"
    )]
    Format {
        /// The format it says.
        found: String,
    },
}

impl DigestReport {
    /// The format of what this build makes.
    #[must_use]
    pub const fn format() -> u64 {
        FORMAT
    }

    /// The JSON object: a line per member and per change.
    ///
    /// # Errors
    /// None that can be thought of; those of the JSON writer.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let changes: Vec<String> =
            self.changes.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let head = serde_json::to_string_pretty(&Self { changes: Vec::new(), ..self.clone() })?;
        let lines = format!("\"changes\": [\n    {}\n  ]", changes.join(",\n    "));
        Ok(head.replacen("\"changes\": []", &lines, 1))
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`DigestProblem`], which says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, DigestProblem> {
        let malformed = |problem: String| DigestProblem::Malformed { problem };
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| malformed(e.to_string()))?;
        if super::KeysReport::is_one(&value) {
            let problem = "it is a key digest, as --keys prints it for `dotfill export --keys-of`";
            return Err(malformed(problem.to_owned()));
        }
        match value.get("format") {
            None => return Err(malformed("it has no member \"format\"".to_owned())),
            Some(format) if format.as_u64() != Some(FORMAT) => {
                return Err(DigestProblem::Format { found: format.to_string() });
            }
            Some(_) => {}
        }
        let report: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        report.check().map_err(malformed)?;
        Ok(report)
    }

    fn check(&self) -> Result<(), String> {
        if !matches!(self.phase.as_str(), "open" | "closed" | "applied") {
            return Err(format!("the phase is {:?}", self.phase));
        }
        let (mut rows, mut values, mut sources) = (0_u64, 0_u128, 0_u128);
        for change in &self.changes {
            change.check()?;
            let sums = change.sums();
            rows = rows.saturating_add(change.rows);
            values = values.wrapping_add(sums.0);
            sources = sources.wrapping_add(sums.1);
        }
        if rows != self.rows {
            return Err(format!("the rows of its changes do not add up to {}", self.rows));
        }
        for (name, said, sum) in
            [("digest", &self.digest, values), ("sources_digest", &self.sources_digest, sources)]
        {
            if *said != root(rows, sum) {
                return Err(format!("its \"{name}\" is not that of its changes"));
            }
        }
        for (name, n) in
            [("rows_different", self.rows_different), ("rows_skipped", self.rows_skipped)]
        {
            if n > rows {
                return Err(format!("\"{name}\" is {n}, of {rows} rows"));
            }
        }
        Ok(())
    }
}

impl ChangeDigest {
    fn check(&self) -> Result<(), String> {
        let name = format!("{}.{}", self.table, self.column);
        if !self.leaves.len().is_power_of_two() {
            return Err(format!("{name} has {} leaves", self.leaves.len()));
        }
        let of_leaves = self.leaves.iter().try_fold(0_u64, |n, leaf| n.checked_add(leaf.rows));
        if of_leaves != Some(self.rows) {
            return Err(format!("the leaves of {name} do not add up to its rows"));
        }
        if self.digest != root(self.rows, self.sums().0) {
            return Err(format!("the digest of {name} is not that of its leaves"));
        }
        Ok(())
    }

    /// The sums of the value hashes and of the source hashes of all rows.
    fn sums(&self) -> (u128, u128) {
        let low = |of: fn(&Leaf) -> u64| self.leaves.iter().map(of).fold(0, u64::wrapping_add);
        let whole = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let (values, sources) = self.high;
        (whole(values, low(|leaf| leaf.values)), whole(sources, low(|leaf| leaf.sources)))
    }
}

fn write_high<S: Serializer>(high: &(u64, u64), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{:016x}.{:016x}", high.0, high.1))
}

fn read_high<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u64, u64), D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = |digits: &str| {
        let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    text.split_once('.')
        .and_then(|(values, sources)| Some((number(values)?, number(sources)?)))
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?} are no halves of sums")))
}

fn write_leaves<S: Serializer>(leaves: &[Leaf], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(leaves.len() * 40);
    for leaf in leaves {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{:x}.{:016x}.{:016x}", leaf.rows, leaf.sources, leaf.values);
    }
    serializer.serialize_str(&text)
}

fn read_leaves<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Leaf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |leaf: &str| serde::de::Error::custom(format!("{leaf:?} is no leaf"));
    text.split(' ').map(|leaf| read_leaf(leaf).ok_or_else(|| wrong(leaf))).collect()
}

fn read_leaf(text: &str) -> Option<Leaf> {
    let number = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
    };
    let mut parts = text.split('.').map(number);
    let leaf = Leaf { rows: parts.next()??, sources: parts.next()??, values: parts.next()?? };
    parts.next().is_none().then_some(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::leaves_of;
    use proptest::prelude::*;

    /// A digest of `changes` changes with names of 30 characters and `rows` rows a leaf.
    fn digest(changes: usize, rows: u64) -> DigestReport {
        let leaf = Leaf { rows, sources: u64::MAX, values: u64::MAX };
        let each = leaves_of(changes);
        let of_leaves = |each: usize| u128::from(u64::MAX.wrapping_mul(each as u64));
        let sums = (of_leaves(each), u128::from(u64::MAX) << 64 | of_leaves(each));
        let change = ChangeDigest {
            table: "t".repeat(30),
            column: "c".repeat(30),
            shape: "f".repeat(16),
            rows: rows * each as u64,
            digest: root(rows * each as u64, sums.0),
            high: (0, u64::MAX),
            leaves: vec![leaf; each],
        };
        let all = |sum: u128| {
            let sum = (0..changes).fold(0_u128, |all, _| all.wrapping_add(sum));
            root(rows * (each * changes) as u64, sum)
        };
        DigestReport {
            format: FORMAT,
            migration: "m".repeat(64),
            migration_digest: "f".repeat(64),
            phase: "closed".to_owned(),
            rows: rows * (each * changes) as u64,
            rows_pending: u64::from(u32::MAX),
            rows_different: rows,
            rows_skipped: rows,
            digest: all(sums.0),
            sources_digest: all(sums.1),
            dotfill_version: "100.100.100".to_owned(),
            sqlite_version: "100.100.100".to_owned(),
            proof_sqlite_version: Some("100.100.100".to_owned()),
            changes: vec![change; changes],
        }
    }

    #[test]
    fn it_fits_into_16_kib() {
        for changes in 1..=40 {
            let text = digest(changes, u64::from(u32::MAX)).to_json().expect("JSON");
            assert!(text.len() <= 16 << 10, "{changes} changes: {} bytes", text.len());
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for changes in [1, 2, 3, 40, 300] {
            let report = digest(changes, 1000);
            let text = report.to_json().expect("JSON");
            assert_eq!(DigestReport::parse(text.as_bytes()).expect("a digest"), report);
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let text = digest(3, 1000).to_json().expect("JSON");
        let says = |text: &str, word: &str| {
            let error = DigestReport::parse(text.as_bytes()).expect_err("damaged").to_string();
            assert!(error.contains(word), "no {word:?} in {error}");
        };
        says(&text[..text.len() / 2], "not what `dotfill digest` prints");
        says("[]", "no member \"format\"");
        says("{\"verdict\": \"equal\"}", "no member \"format\"");
        says(&text.replacen("\"format\": 1", "\"format\": 2", 1), "format 2");
        says(&text.replacen("closed", "filling", 1), "phase");
        says(&text.replacen("3e8.", "3e9.", 1), "do not add up");
        says(&text.replacen("3e8.", "3e8", 1), "is no leaf");
        says(&text.replacen("3e8.f", "3e8.+", 1), "is no leaf");
        says(&text.replacen("\"shape\"", "\"shade\"", 1), "shape");
    }

    #[test]
    fn no_changed_byte_panics() {
        let text = digest(2, 1000).to_json().expect("JSON").into_bytes();
        for at in 0..text.len() {
            for byte in [0, b'0', b'"', b'-', b'.', 0xff] {
                let mut damaged = text.clone();
                damaged[at] = byte;
                let _ = DigestReport::parse(&damaged);
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]\":,a-z0-9. ]{0,80}") {
            let _ = DigestReport::parse(text.as_bytes());
            let _ = read_leaf(&text);
        }
    }
}
