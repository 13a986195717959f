//! What a chain is of: the migration, and the tables whose rows it holds. The body of the first
//! file.
//!
//! # Definitions
//! The body of a header: `text` migration id, `text` the migration file, `text` version of dotfill,
//! `text` version of `SQLite`; one byte, the scope: 0 all rows, 1 some of them; u16 LE count of
//! shapes, then each: `text` table, `text` column, `text` type, one byte of flags (1 for a STRICT
//! table, 2 for sets), u16 LE count of key columns, and of each `text` name, `text` type, `text`
//! collation.
//!
//! Of sets, `column` is the old form that dots are derived from (a column, or a child table), `type`
//! is its format (`json`, `csv`, `lines` or `rows`), a row is an object, and its value is a set
//! ([`super::set`]).

use super::cursor::{Cursor, put_bytes};
use super::error::{Bad, DeltaError};
use super::file::{self, Prefix};
use crate::migration::{Migration, MigrationId};

/// Flags of a shape.
const STRICT: u8 = 1;
const SETS: u8 = 2;

/// What a chain is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHeader {
    /// The migration.
    pub migration: MigrationId,
    /// Its digest.
    pub migration_digest: [u8; 32],
    /// Its file, whole, so that applying needs no other.
    pub migration_text: String,
    /// The dotfill that began the chain.
    pub tool_version: String,
    /// The `SQLite` that derived the values.
    pub sqlite_version: String,
    /// Whether all rows are in it.
    pub scope: Scope,
    /// The table and column of each change of the migration, in the same order.
    pub shapes: Vec<Shape>,
}

/// Which rows a chain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// All whose cell is ours.
    All = 0,
    /// Only those that were asked for.
    Some = 1,
}

/// Where the values of one change belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The table.
    pub table: String,
    /// The column that is filled; of sets the name of their old form.
    pub column: String,
    /// Its declared type; of sets their format.
    pub type_name: String,
    /// A STRICT table.
    pub strict: bool,
    /// Each value is a set.
    pub sets: bool,
    /// The columns that identify a row.
    pub key: Vec<KeyShape>,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// Its name.
    pub name: String,
    /// Its declared type.
    pub type_name: String,
    /// Its collation, upper case.
    pub collation: String,
}

impl ChainHeader {
    /// The header for `migration`, as this release writes it.
    #[must_use]
    pub fn new(
        migration: &Migration,
        sqlite_version: &str,
        scope: Scope,
        shapes: Vec<Shape>,
    ) -> Self {
        Self {
            migration: migration.id.clone(),
            migration_digest: migration.digest,
            migration_text: migration.text.clone(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            sqlite_version: sqlite_version.to_owned(),
            scope,
            shapes,
        }
    }

    /// The shape of a change.
    ///
    /// # Errors
    /// [`DeltaError::Shape`] where there is no such change.
    pub fn shape(&self, change: usize) -> Result<&Shape, DeltaError> {
        self.shapes.get(change).ok_or_else(|| DeltaError::Shape {
            problem: format!("there is no change {change} among {}", self.shapes.len()),
        })
    }

    /// What differs between two headers of which one should continue the other: what, and how it is
    /// in each. Versions of tools and the wording of the migration file may differ.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let text = |what: &'static str, a: String, b: String| (a != b).then_some((what, a, b));
        text("migration", self.migration.to_string(), other.migration.to_string())
            .or_else(|| {
                text("migration digest", hex(&self.migration_digest), hex(&other.migration_digest))
            })
            .or_else(|| text("scope", format!("{:?}", self.scope), format!("{:?}", other.scope)))
            .or_else(|| text("table shape", describe(&self.shapes), describe(&other.shapes)))
    }

    /// Whether a file is of the same migration.
    pub(super) fn check_digest(&self, prefix: &Prefix, name: &str) -> Result<(), DeltaError> {
        let (want, got) = (&self.migration_digest, &prefix.migration_digest);
        if want == got {
            return Ok(());
        }
        Err(DeltaError::Foreign {
            file: name.to_owned(),
            offset: file::MIGRATION_AT,
            what: "migration",
            want: hex(want),
            got: hex(got),
        })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for text in [
            self.migration.as_str(),
            &self.migration_text,
            &self.tool_version,
            &self.sqlite_version,
        ] {
            put_bytes(text.as_bytes(), out);
        }
        out.push(self.scope as u8);
        put_count(self.shapes.len(), out);
        self.shapes.iter().for_each(|shape| shape.put(out));
    }

    /// Reads a header's body; the digest stands before it.
    pub(super) fn get(cursor: &mut Cursor<'_>, migration_digest: [u8; 32]) -> Result<Self, Bad> {
        let migration = get_id(cursor)?;
        let migration_text = cursor.text()?;
        let tool_version = cursor.text()?;
        let sqlite_version = cursor.text()?;
        let start = cursor.clone();
        let scope = match cursor.u8()? {
            0 => Scope::All,
            1 => Scope::Some,
            code => return Err(start.unknown(format!("the scope {code}"))),
        };
        let count = cursor.u16()?;
        let shapes = (0..count).map(|_| Shape::get(cursor)).collect::<Result<_, _>>()?;
        Ok(Self {
            migration,
            migration_digest,
            migration_text,
            tool_version,
            sqlite_version,
            scope,
            shapes,
        })
    }
}

/// Reads the id of a migration.
pub(super) fn get_id(cursor: &mut Cursor<'_>) -> Result<MigrationId, Bad> {
    let start = cursor.clone();
    let text = cursor.text()?;
    MigrationId::new(&text).map_err(|_| start.bad("that is no migration id"))
}

impl Shape {
    fn put(&self, out: &mut Vec<u8>) {
        for text in [&self.table, &self.column, &self.type_name] {
            put_bytes(text.as_bytes(), out);
        }
        out.push((u8::from(self.strict) * STRICT) | (u8::from(self.sets) * SETS));
        put_count(self.key.len(), out);
        for key in &self.key {
            for text in [&key.name, &key.type_name, &key.collation] {
                put_bytes(text.as_bytes(), out);
            }
        }
    }

    fn get(cursor: &mut Cursor<'_>) -> Result<Self, Bad> {
        let (table, column, type_name) = (cursor.text()?, cursor.text()?, cursor.text()?);
        let start = cursor.clone();
        let flags = cursor.u8()?;
        if flags & !(STRICT | SETS) != 0 {
            return Err(start.unknown(format!("the kind {flags} of a table")));
        }
        let (strict, sets) = (flags & STRICT != 0, flags & SETS != 0);
        let count = cursor.u16()?;
        let key = (0..count).map(|_| KeyShape::get(cursor)).collect::<Result<_, _>>()?;
        Ok(Self { table, column, type_name, strict, sets, key })
    }
}

impl KeyShape {
    fn get(cursor: &mut Cursor<'_>) -> Result<Self, Bad> {
        let (name, type_name) = (cursor.text()?, cursor.text()?);
        Ok(Self { name, type_name, collation: cursor.text()? })
    }
}

/// A table has at most 2000 columns and a migration at most 64 changes.
fn put_count(n: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(shapes: &[Shape]) -> String {
    shapes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// `"table"."column" TEXT by ("id" INTEGER)`; sets as `SETS json`.
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use crate::db::quote::ident;
        let sets = if self.sets { "SETS " } else { "" };
        write!(f, "{}.{} {sets}{}", ident(&self.table), ident(&self.column), self.type_name)?;
        f.write_str(if self.strict { " STRICT by (" } else { " by (" })?;
        for (i, key) in self.key.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", ident(&key.name), key.type_name)?;
            if key.collation != "BINARY" {
                write!(f, " COLLATE {}", key.collation)?;
            }
        }
        f.write_str(")")
    }
}
