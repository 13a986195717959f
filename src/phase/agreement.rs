//! What a comparison of the old form and the new one over all objects came to. Owns the sums, not
//! the reading.
//!
//! # Definitions
//! `H` is BLAKE3's keyed hash of 16 bytes, with a key derived from migration, table and source. The
//! digest of a form is the object count and the sum over objects of `H(key.., elements..)` modulo
//! 2^128, so that it does not depend on the order of rows. Keys and elements are encoded as in dots;
//! elements are in `SQLite`'s order. Flawed elements of the old form are left out.

use serde::Serialize;

use crate::db::{Datum, encode};

/// Examples that are kept.
const EXAMPLES_MAX: usize = 5;

/// The sums of one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormDigest(u128);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    /// Objects that were compared.
    pub objects: u64,
    /// Objects whose forms differ.
    pub disagreements: u64,
    /// Of those, objects whose old form has an element that the new one does not show: a remove that
    /// the old form cannot express.
    pub removed: u64,
    /// Of those, objects that show an element that the old form lacks.
    pub added: u64,
    /// Flawed elements of the old form, which no element of the new form stands for.
    pub flaws: u64,
    /// The first objects that differ.
    pub examples: Vec<Disagreement>,
    old: FormDigest,
    new: FormDigest,
}

/// One object whose forms differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The table.
    pub table: String,
    /// Its key, as SQL literals.
    pub key: String,
    /// Elements that only the old form has, as SQL literals.
    pub only_old: Vec<String>,
    /// Elements that only the new form shows.
    pub only_new: Vec<String>,
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |elements: &[String]| match elements {
            [] => "nothing".to_owned(),
            _ => elements.join(", "),
        };
        write!(
            f,
            "{} ({}): only the old form has {}, only the new one {}",
            self.table,
            self.key,
            shown(&self.only_old),
            shown(&self.only_new)
        )
    }
}

/// Adds objects to an [`Agreement`].
#[derive(Debug)]
pub struct Comparer {
    table: String,
    key: [u8; 32],
    buffer: Vec<u8>,
    /// What was found so far.
    pub found: Agreement,
}

impl Comparer {
    /// The comparer of one set of one migration.
    #[must_use]
    pub fn new(migration: &str, table: &str, source: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 form digest v1");
        for field in [migration, table, source] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        Self {
            table: table.to_owned(),
            key: *hasher.finalize().as_bytes(),
            buffer: Vec::new(),
            found: Agreement::default(),
        }
    }

    /// Adds one object: the elements of its two forms, each in order and without repetition.
    /// Returns how it differs, where it does.
    pub fn add(&mut self, key: &[Datum], old: &[Datum], new: &[Datum]) -> Option<Disagreement> {
        self.found.objects += 1;
        for (elements, is_old) in [(old, true), (new, false)] {
            let digest = self.hash(key, elements);
            let sum = if is_old { &mut self.found.old } else { &mut self.found.new };
            sum.0 = sum.0.wrapping_add(digest);
        }
        let difference = self.differ(key, old, new)?;
        self.found.disagreements += 1;
        self.found.removed += u64::from(!difference.only_old.is_empty());
        self.found.added += u64::from(!difference.only_new.is_empty());
        if self.found.examples.len() < EXAMPLES_MAX {
            self.found.examples.push(difference.clone());
        }
        Some(difference)
    }

    /// How the forms of one object differ, where they do; adds nothing.
    #[must_use]
    pub fn differ(&self, key: &[Datum], old: &[Datum], new: &[Datum]) -> Option<Disagreement> {
        if old == new {
            return None;
        }
        let without = |these: &[Datum], those: &[Datum]| -> Vec<String> {
            these.iter().filter(|e| !those.contains(e)).map(ToString::to_string).collect()
        };
        let key: Vec<String> = key.iter().map(ToString::to_string).collect();
        Some(Disagreement {
            table: self.table.clone(),
            key: key.join(", "),
            only_old: without(old, new),
            only_new: without(new, old),
        })
    }

    fn hash(&mut self, key: &[Datum], elements: &[Datum]) -> u128 {
        self.buffer.clear();
        key.iter().chain(elements).for_each(|value| encode(value.as_ref(), &mut self.buffer));
        let hash = blake3::keyed_hash(&self.key, &self.buffer);
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(half)
    }
}

impl Agreement {
    /// Adds what was found for another set.
    pub fn join(&mut self, other: Self) {
        self.objects += other.objects;
        self.disagreements += other.disagreements;
        self.removed += other.removed;
        self.added += other.added;
        self.flaws += other.flaws;
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
        self.old.0 = self.old.0.wrapping_add(other.old.0);
        self.new.0 = self.new.0.wrapping_add(other.new.0);
    }

    /// The digest of the old form, as hexadecimal digits.
    #[must_use]
    pub fn sources_digest(&self) -> String {
        self.digest(self.old)
    }

    /// The digest of what the new form shows.
    #[must_use]
    pub fn view_digest(&self) -> String {
        self.digest(self.new)
    }

    fn digest(&self, form: FormDigest) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.objects.to_le_bytes());
        hasher.update(&form.0.to_le_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(elements: &[&str]) -> Vec<Datum> {
        elements.iter().map(|e| Datum::Text(e.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_differs_is_counted_by_how() {
        let mut comparer = Comparer::new("m", "projects", "tags");
        let cases: [(&[&str], &[&str]); 4] =
            [(&["a"], &["a"]), (&["a", "b"], &["b"]), (&["a"], &["a", "c"]), (&["a"], &["b"])];
        for (i, (old, new)) in cases.into_iter().enumerate() {
            let key = [Datum::Integer(i64::try_from(i).expect("small"))];
            comparer.add(&key, &texts(old), &texts(new));
        }
        let found = comparer.found;
        assert_eq!((found.objects, found.disagreements, found.removed, found.added), (4, 3, 2, 2));
        let shown: Vec<_> = found.examples.iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], "projects (1): only the old form has 'a', only the new one nothing");
        assert_eq!(shown[2], "projects (3): only the old form has 'a', only the new one 'b'");
    }

    #[test]
    fn digests_do_not_depend_on_the_order_of_objects() {
        let digests = |order: [i64; 3]| {
            let mut comparer = Comparer::new("m", "t", "s");
            for i in order {
                comparer.add(&[Datum::Integer(i)], &texts(&["a"]), &texts(&["a"]));
            }
            assert_eq!(comparer.found.sources_digest(), comparer.found.view_digest());
            comparer.found.sources_digest()
        };
        assert_eq!(digests([1, 2, 3]), digests([3, 1, 2]));
        assert_ne!(digests([1, 2, 3]), digests([1, 2, 4]));
    }
}
