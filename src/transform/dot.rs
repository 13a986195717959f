//! Migration dots: the identity of a fact, derived from the fact itself.
//!
//! # Definitions
//! `K = BLAKE3.derive_key("dotfill 2026-11 migration dot v1", field(migration id), field(table),
//! field(column))`, once per change; `dot = BLAKE3.keyed_hash(K, u32 LE(count of key columns),
//! value(key_i).., value(element))[0..16]`; `field(s)` = u64 LE length, bytes; `value` = tag byte
//! (0 NULL, 1 INTEGER, 2 REAL, 3 TEXT, 4 BLOB), then i64 LE, f64 bits LE, or u64 LE length and
//! bytes ([`crate::db::encode`]). Key bytes are those stored in the row.
//!
//! A fact that is stated anew after its migration dot was given up has a fresh dot: the same with one
//! more value behind the element, which names the cause (the TEXT `op_id` of a replayed operation).
//!
//! # Invariants
//! Deriving a dot twice, on any machine, gives the same dot. Two facts that differ in migration,
//! table, column, key, element or cause have different inputs: every field carries its length or type.
//!
//! Test vectors for other implementations are in `tests/vectors/dots.json`.

use rusqlite::types::ValueRef;

use crate::db::encode;

/// The identity of one migrated fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dot(pub [u8; 16]);

impl Dot {
    /// Reads what `Display` writes, in either case; `None` where it is something else.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut dot = [0; 16];
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (i, byte) in dot.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(dot))
    }
}

impl std::fmt::Display for Dot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Derives the dots of one change. Keeps a buffer, so that a dot costs no allocation.
#[derive(Clone, Debug)]
pub struct DotDeriver {
    key: [u8; 32],
    input: Vec<u8>,
    /// Bytes of the input that say which row it is.
    object: usize,
}

impl DotDeriver {
    /// The deriver for one column (or other source) of one table in one migration.
    #[must_use]
    pub fn new(migration: &str, table: &str, column: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 migration dot v1");
        for field in [migration, table, column] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        Self { key: *hasher.finalize().as_bytes(), input: Vec::with_capacity(256), object: 0 }
    }

    /// The dot of the fact that the row with this key holds `element`.
    ///
    /// # Panics
    /// Never: a key has at most 2000 columns, the limit of `SQLite`.
    #[must_use]
    pub fn dot(&mut self, key: &[ValueRef<'_>], element: ValueRef<'_>) -> Dot {
        self.object(key.iter().copied());
        self.element(element)
    }

    /// The dot of a fact that is stated anew, by what `cause` names, after its migration dot was
    /// given up: the value of `cause` follows that of the element.
    #[must_use]
    pub fn fresh_dot(
        &mut self,
        key: &[ValueRef<'_>],
        element: ValueRef<'_>,
        cause: ValueRef<'_>,
    ) -> Dot {
        self.object(key.iter().copied());
        self.hash(&[element, cause])
    }

    /// Turns to the row with this key: [`Self::element`] gives the dots of its elements.
    pub fn object<'v>(&mut self, key: impl ExactSizeIterator<Item = ValueRef<'v>>) {
        self.input.clear();
        let columns = u32::try_from(key.len()).unwrap_or(u32::MAX);
        self.input.extend_from_slice(&columns.to_le_bytes());
        key.for_each(|value| encode(value, &mut self.input));
        self.object = self.input.len();
    }

    /// The dot of the fact that the row of the last [`Self::object`] holds `element`.
    #[must_use]
    pub fn element(&mut self, element: ValueRef<'_>) -> Dot {
        self.hash(&[element])
    }

    fn hash(&mut self, rest: &[ValueRef<'_>]) -> Dot {
        self.input.truncate(self.object);
        for value in rest {
            encode(*value, &mut self.input);
        }
        let hash = blake3::keyed_hash(&self.key, &self.input);
        let mut dot = [0; 16];
        dot.copy_from_slice(&hash.as_bytes()[..16]);
        Dot(dot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_read_back() {
        let dot = DotDeriver::new("m", "t", "c").dot(&[], ValueRef::Null);
        assert_eq!(Dot::from_hex(&dot.to_string()), Some(dot));
        for wrong in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32), &"+1".repeat(16)]
        {
            assert_eq!(Dot::from_hex(wrong), None);
        }
    }

    #[test]
    fn a_dot_depends_on_every_part_of_the_fact() {
        let mut deriver = DotDeriver::new("m", "t", "c");
        let key = [ValueRef::Integer(1)];
        let dot = deriver.dot(&key, ValueRef::Text(b"a"));
        deriver.object(key.into_iter());
        let _ = deriver.element(ValueRef::Text(b"other"));
        assert_eq!(deriver.element(ValueRef::Text(b"a")), dot);
        assert_eq!(dot, DotDeriver::new("m", "t", "c").dot(&key, ValueRef::Text(b"a")));
        let others = [
            deriver.dot(&key, ValueRef::Blob(b"a")),
            deriver.dot(&[ValueRef::Real(1.0)], ValueRef::Text(b"a")),
            deriver.dot(&[ValueRef::Integer(1), ValueRef::Null], ValueRef::Text(b"a")),
            DotDeriver::new("n", "t", "c").dot(&key, ValueRef::Text(b"a")),
            DotDeriver::new("m", "tc", "").dot(&key, ValueRef::Text(b"a")),
            deriver.fresh_dot(&key, ValueRef::Text(b"a"), ValueRef::Text(b"op")),
            deriver.fresh_dot(&key, ValueRef::Text(b"a"), ValueRef::Text(b"op2")),
            deriver.fresh_dot(&key, ValueRef::Text(b"a"), ValueRef::Null),
        ];
        assert!(others.iter().all(|other| *other != dot));
    }
}
