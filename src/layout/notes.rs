//! The tables of noted keys and of users' keys, and the triggers that note.
//!
//! # Invariants
//! A trigger of ours inserts literals, key values and whether the cell is NULL into an ordinary
//! table without constraints, and does nothing else: whatever the application's conflict clause, `SQLite` version, functions
//! or extension, it cannot fail, and it evaluates nothing of the migration file. Its WHEN clause
//! reads `_dotfill_self`, which holds a row only inside a write transaction of dotfill.

use super::{KeyMatch, Target};
use crate::db::quote::{ident, list};
use crate::db::{KeyKind, Table};

/// Why a key was noted. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// A column that the expression reads was written.
    Source,
    /// The target column was written.
    Target {
        /// It was set to NULL.
        null: bool,
    },
    /// The row was inserted, or replaced.
    Insert {
        /// Its cell was NULL.
        null: bool,
    },
    /// The row's key was written; the old key stands beside the new one.
    Key,
}

impl NoteKind {
    /// Its number in the database.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Source => 0,
            Self::Target { null: false } => 1,
            Self::Insert { null: false } => 2,
            Self::Key => 3,
            Self::Target { null: true } => 4,
            Self::Insert { null: true } => 5,
        }
    }

    /// The kind with that number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [
            Self::Source,
            Self::Target { null: false },
            Self::Target { null: true },
            Self::Insert { null: false },
            Self::Insert { null: true },
            Self::Key,
        ]
        .into_iter()
        .find(|kind| kind.code() == code)
    }
}

/// The statements that create the side tables and triggers of a target.
#[must_use]
pub fn note_schema(target: &Target) -> String {
    let (dirty, user) = (target.dirty_table(), target.user_table());
    let keys = KeyMatch::side_columns(target, 'k');
    let declared = |prefix: char| {
        list(target.table.key.iter().enumerate().map(|(i, key)| {
            format!("{prefix}{} {} COLLATE {}", i + 1, key.affinity.declaration(), key.collation)
        }))
    };
    let users = match target.table.key_kind {
        KeyKind::Integer => format!("CREATE TABLE {user} (k1 INTEGER PRIMARY KEY);\n"),
        KeyKind::Rowid | KeyKind::WithoutRowid => format!(
            "CREATE TABLE {user} ({});\nCREATE INDEX {user}_key ON {user} ({});\n",
            declared('k'),
            list(keys.iter().cloned())
        ),
    };
    let mut sql = format!(
        "CREATE TABLE {dirty} (id INTEGER PRIMARY KEY, kind INTEGER, {}, {});\n\
         CREATE INDEX {dirty}_key ON {dirty} ({});\n{users}",
        declared('k'),
        declared('o'),
        list(keys)
    );
    for (name, event, kind) in triggers(target) {
        sql.push_str(&trigger(target, &name, &event, kind));
    }
    sql
}

/// The statements that drop the side tables and triggers of a target, whether or not they exist.
#[must_use]
pub fn note_schema_drop(n: i64) -> String {
    let triggers =
        trigger_names(n).map(|name| format!("DROP TRIGGER IF EXISTS {};\n", ident(&name)));
    format!(
        "{}DROP TABLE IF EXISTS _dotfill_dirty_{n};\nDROP TABLE IF EXISTS _dotfill_user_{n};\n",
        triggers.concat()
    )
}

/// The statement that creates the table of values whose row has not arrived, where it is absent.
#[must_use]
pub fn pending_schema(n: i64, table: &Table) -> String {
    let declared = table.key.iter().enumerate().map(|(i, key)| {
        format!("k{} {} COLLATE {}", i + 1, key.affinity.declaration(), key.collation)
    });
    format!(
        "CREATE TABLE IF NOT EXISTS _dotfill_pending_{n} ({}, value, PRIMARY KEY ({})) \
         WITHOUT ROWID;\n",
        list(declared),
        list((1..=table.key.len()).map(|i| format!("k{i}")))
    )
}

/// The statement that drops the table of [`pending_schema`], whether or not it exists.
#[must_use]
pub fn pending_schema_drop(n: i64) -> String {
    format!("DROP TABLE IF EXISTS _dotfill_pending_{n};\n")
}

/// The statements that create the table of keys whose rows are to be shipped again, where it is
/// absent.
#[must_use]
pub fn reship_schema(n: i64, of: &Table) -> String {
    let table = format!("_dotfill_reship_{n}");
    let keys = (1..=of.key.len()).map(|i| format!("k{i}")).collect::<Vec<_>>();
    let declared = of.key.iter().enumerate().map(|(i, key)| {
        format!("k{} {} COLLATE {}", i + 1, key.affinity.declaration(), key.collation)
    });
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, {});\n\
         CREATE INDEX IF NOT EXISTS {table}_key ON {table} ({});\n",
        list(declared),
        list(keys)
    )
}

/// The statement that drops the table of [`reship_schema`], whether or not it exists.
#[must_use]
pub fn reship_schema_drop(n: i64) -> String {
    format!("DROP TABLE IF EXISTS _dotfill_reship_{n};\n")
}

/// The statement that creates the trigger that notes writes of source columns, where it is absent
/// and any source is outside the key.
#[must_use]
pub fn source_trigger(target: &Target) -> Option<String> {
    triggers(target)
        .into_iter()
        .find(|(_, _, kind)| *kind == NoteKind::Source)
        .map(|(name, event, kind)| trigger(target, &name, &event, kind))
        .map(|sql| sql.replacen("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS", 1))
}

/// The names of the triggers that change `n` may have.
#[must_use]
pub fn trigger_names(n: i64) -> [String; 4] {
    ["insert", "source", "target", "key"].map(|what| format!("_dotfill_{n}_{what}"))
}

/// Name, event and kind of the triggers that this target needs.
fn triggers(target: &Target) -> Vec<(String, String, NoteKind)> {
    let [insert, source, written, key] = trigger_names(target.n);
    let is_key = |name: &String| target.table.key.iter().any(|k| &k.name == name);
    let of = |names: Vec<String>| format!("UPDATE OF {}", list(names.iter().map(|n| ident(n))));
    let sources: Vec<String> = target.sources.iter().filter(|s| !is_key(s)).cloned().collect();
    let keys: Vec<String> = target.table.key.iter().map(|k| k.name.clone()).collect();
    let mut all = vec![
        (insert, "INSERT".to_owned(), NoteKind::Insert { null: false }),
        (written, of(vec![target.column.clone()]), NoteKind::Target { null: false }),
        (key, of(keys), NoteKind::Key),
    ];
    if !sources.is_empty() {
        all.push((source, of(sources), NoteKind::Source));
    }
    all
}

fn trigger(target: &Target, name: &str, event: &str, kind: NoteKind) -> String {
    let values =
        |row: &str| list(target.table.key.iter().map(|key| format!("{row}.{}", ident(&key.name))));
    let keys = list(KeyMatch::side_columns(target, 'k'));
    let (columns, old) = match kind {
        NoteKind::Key => {
            let olds = list(KeyMatch::side_columns(target, 'o'));
            (format!("{keys}, {olds}"), format!(", {}", values("OLD")))
        }
        NoteKind::Source | NoteKind::Target { .. } | NoteKind::Insert { .. } => {
            (keys, String::new())
        }
    };
    let code = match kind {
        // The code of a NULL is three more.
        NoteKind::Target { .. } | NoteKind::Insert { .. } => {
            format!("{} + 3 * (NEW.{} IS NULL)", kind.code(), target.column_sql())
        }
        NoteKind::Source | NoteKind::Key => kind.code().to_string(),
    };
    format!(
        "CREATE TRIGGER {} AFTER {event} ON {} \
         WHEN NOT EXISTS (SELECT 1 FROM _dotfill_self) BEGIN\n  \
         INSERT INTO {} (kind, {columns}) VALUES ({code}, {}{old});\nEND;\n",
        ident(name),
        target.table.sql(),
        target.dirty_table(),
        values("NEW"),
    )
}
