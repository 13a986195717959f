//! The description of one table: its columns, what identifies a row, and in which order rows can
//! be walked cheaply. Read once from the schema; loads no rows.

use rusqlite::Connection;

use super::quote::{ident, text};
use super::{DbError, Doing};

/// A column as the schema declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: String,
    /// Its declared type, possibly empty.
    pub type_name: String,
    /// Declared NOT NULL.
    pub not_null: bool,
    /// The SQL text of its DEFAULT.
    pub default: Option<String>,
    /// Position in the primary key from 1, or 0.
    pub key_position: i64,
    /// True for a generated column, VIRTUAL or STORED.
    pub generated: bool,
}

/// Type affinity, by the rules of `SQLite`'s document "Datatypes" section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Stores integers and text that looks like them as integers.
    Integer,
    /// Stores text.
    Text,
    /// Stores what it is given.
    Blob,
    /// Stores floating point numbers.
    Real,
    /// Stores numbers where the text looks like one.
    Numeric,
}

impl Affinity {
    /// The affinity of a declared type; in a STRICT table, ANY has none.
    #[must_use]
    pub fn of(type_name: &str, strict: bool) -> Self {
        let name = type_name.to_ascii_uppercase();
        let has = |part: &str| name.contains(part);
        if strict && name == "ANY" {
            Self::Blob
        } else if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || name.is_empty() {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// A type name that declares this affinity; empty for none.
    #[must_use]
    pub fn declaration(self) -> &'static str {
        match self {
            // Not INTEGER: a lone INTEGER PRIMARY KEY would become the rowid.
            Self::Integer => "INT",
            Self::Text => "TEXT",
            Self::Blob => "",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
        }
    }
}

/// One column of what identifies a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name, unquoted.
    pub name: String,
    /// Its affinity, which our side tables copy so that look-ups by key use their index.
    pub affinity: Affinity,
    /// Its collation, upper case.
    pub collation: String,
}

/// What kind of key a table has, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// An INTEGER PRIMARY KEY: the rowid itself.
    Integer,
    /// Rows identified by other key columns, stored in the order of a hidden rowid.
    Rowid,
    /// A WITHOUT ROWID table: stored in the order of its primary key.
    WithoutRowid,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Rowid => "key columns, walked by rowid",
            Self::WithoutRowid => "primary key (WITHOUT ROWID)",
        })
    }
}

/// One term of the order in which rows are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanTerm {
    /// The quoted SQL name.
    pub sql: String,
    /// True where the b-tree is stored descending.
    pub descending: bool,
}

/// The order in which the table's own b-tree stores its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanKey {
    /// The terms, outermost first.
    pub terms: Vec<ScanTerm>,
    /// True where positions survive VACUUM (an INTEGER PRIMARY KEY or WITHOUT ROWID).
    pub stable: bool,
}

/// A table, as the schema describes it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name as stored in the schema.
    pub name: String,
    /// Columns in declared order, generated ones included.
    pub columns: Vec<Column>,
    /// What identifies a row.
    pub key: Vec<KeyColumn>,
    /// What kind of key it is.
    pub key_kind: KeyKind,
    /// How rows are walked.
    pub scan: ScanKey,
    /// Declared STRICT.
    pub strict: bool,
}

impl Table {
    /// Reads the description of `name`, whatever its case.
    ///
    /// # Errors
    /// A [`DbError::Unusable`] whose problem names the table when it is missing, a view, a virtual
    /// table, a shadow table, or has no key by which a row can be found again.
    pub fn read(conn: &Connection, name: &str) -> Result<Self, DbError> {
        let (stored, without_rowid, strict) = table_kind(conn, name)?;
        let columns = read_columns(conn, &stored)?;
        let indexes = unique_indexes(conn, &stored)?;
        let pk_index = indexes.iter().find(|index| index.origin == "pk");
        let alias = columns
            .iter()
            .find(|c| c.key_position == 1 && pk_index.is_none() && !without_rowid)
            .filter(|_| columns.iter().filter(|c| c.key_position > 0).count() == 1);
        let index = match alias {
            Some(_) => None,
            None => Some(pk_index.or_else(|| usable(&indexes, &columns)).ok_or_else(|| {
                refused(
                    conn,
                    format!("table {} has no usable key", ident(&stored)),
                    "give it a PRIMARY KEY, or a UNIQUE index over NOT NULL columns, by which a \
                     row can be found again after VACUUM",
                )
            })?),
        };
        let key = key_columns(alias, index, &columns, strict);
        check_collations(conn, &stored, &key)?;
        let key_kind = match (alias, without_rowid) {
            (Some(_), _) => KeyKind::Integer,
            (None, true) => KeyKind::WithoutRowid,
            (None, false) => KeyKind::Rowid,
        };
        let scan = scan_key(conn, &stored, alias, key_kind, index, &columns)?;
        Ok(Self { name: stored, columns, key, key_kind, scan, strict })
    }

    /// The column called `name`, whatever its ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// True where a key column of that name may hold NULL: rows may share such a key.
    #[must_use]
    pub fn may_be_null(&self, key: &str) -> bool {
        self.key_kind == KeyKind::Rowid && self.column(key).is_some_and(|c| !c.not_null)
    }

    /// Has the table walked by what identifies a row, which means the same on every replica, instead
    /// of by a rowid that does not.
    pub fn walk_by_key(&mut self) {
        if self.key_kind == KeyKind::Rowid {
            let term = |key: &KeyColumn| ScanTerm { sql: ident(&key.name), descending: false };
            self.scan = ScanKey { terms: self.key.iter().map(term).collect(), stable: true };
        }
    }

    /// The table's name, quoted.
    #[must_use]
    pub fn sql(&self) -> String {
        ident(&self.name)
    }
}

fn refused(conn: &Connection, problem: String, remedy: &str) -> DbError {
    let path = conn.path().unwrap_or_default().into();
    DbError::Unusable { path, problem, remedy: remedy.to_owned() }
}

fn table_kind(conn: &Connection, name: &str) -> Result<(String, bool, bool), DbError> {
    let sql = "SELECT name, type, wr, strict FROM pragma_table_list \
               WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    let mut statement = conn.prepare(sql).doing("list the tables")?;
    let mut rows = statement.query([name]).doing("list the tables")?;
    let row = rows.next().doing("list the tables")?;
    let Some(row) = row else {
        return Err(refused(
            conn,
            format!("no table {}", ident(name)),
            "check the name in the migration file against the database given with --db",
        ));
    };
    let read = || -> rusqlite::Result<(String, String, bool, bool)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    };
    let (stored, kind, without_rowid, strict) = read().doing("list the tables")?;
    if kind != "table" {
        return Err(refused(
            conn,
            format!("{} is a {kind}{}", ident(&stored), if kind == "view" { "" } else { " table" }),
            "dotfill changes ordinary tables only: name the table that stores the rows",
        ));
    }
    Ok((stored, without_rowid, strict))
}

fn read_columns(conn: &Connection, table: &str) -> Result<Vec<Column>, DbError> {
    let sql = format!(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo({}) \
         ORDER BY cid",
        text(table)
    );
    let mut statement = conn.prepare(&sql).doing("list the columns")?;
    let rows = statement.query_map([], |row| {
        Ok(Column {
            name: row.get(0)?,
            type_name: row.get(1)?,
            not_null: row.get(2)?,
            default: row.get(3)?,
            key_position: row.get(4)?,
            generated: row.get::<_, i64>(5)? >= 2,
        })
    });
    rows.and_then(Iterator::collect).doing(format!("list the columns of {}", ident(table)))
}

struct UniqueIndex {
    origin: String,
    /// Column name (None for an expression), descending, collation.
    terms: Vec<(Option<String>, bool, String)>,
}

fn unique_indexes(conn: &Connection, table: &str) -> Result<Vec<UniqueIndex>, DbError> {
    let what = format!("list the indexes of {}", ident(table));
    let sql = format!(
        "SELECT name, origin FROM pragma_index_list({}) \
         WHERE \"unique\" AND NOT partial ORDER BY origin = 'pk' DESC, seq DESC",
        text(table)
    );
    let mut statement = conn.prepare(&sql).doing(&what)?;
    let names = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .doing(&what)?;
    let mut found = Vec::new();
    for (name, origin) in names {
        let sql = format!(
            "SELECT name, \"desc\", upper(coll) FROM pragma_index_xinfo({}) WHERE key ORDER BY seqno",
            text(&name)
        );
        let mut statement = conn.prepare(&sql).doing(&what)?;
        let terms = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .doing(&what)?;
        found.push(UniqueIndex { origin, terms });
    }
    Ok(found)
}

fn usable<'a>(indexes: &'a [UniqueIndex], columns: &[Column]) -> Option<&'a UniqueIndex> {
    indexes.iter().find(|index| {
        index.terms.iter().all(|(name, _, _)| {
            columns.iter().any(|c| Some(&c.name) == name.as_ref() && c.not_null && !c.generated)
        })
    })
}

fn key_columns(
    alias: Option<&Column>,
    index: Option<&UniqueIndex>,
    columns: &[Column],
    strict: bool,
) -> Vec<KeyColumn> {
    if let Some(column) = alias {
        return vec![KeyColumn {
            name: column.name.clone(),
            affinity: Affinity::Integer,
            collation: "BINARY".to_owned(),
        }];
    }
    let terms = index.map(|index| index.terms.as_slice()).unwrap_or_default();
    let named = |name: &String| columns.iter().find(|c| &c.name == name);
    terms
        .iter()
        .filter_map(|(name, _, collation)| {
            let column = named(name.as_ref()?)?;
            let affinity = Affinity::of(&column.type_name, strict);
            Some(KeyColumn { name: column.name.clone(), affinity, collation: collation.clone() })
        })
        .collect()
}

fn check_collations(conn: &Connection, table: &str, key: &[KeyColumn]) -> Result<(), DbError> {
    match key.iter().find(|c| !["BINARY", "NOCASE", "RTRIM"].contains(&c.collation.as_str())) {
        None => Ok(()),
        Some(column) => Err(refused(
            conn,
            format!(
                "key column {} of table {} uses the collation {}, which only the application knows",
                ident(&column.name),
                ident(table),
                column.collation
            ),
            "dotfill can order keys by BINARY, NOCASE and RTRIM",
        )),
    }
}

fn scan_key(
    conn: &Connection,
    table: &str,
    alias: Option<&Column>,
    kind: KeyKind,
    index: Option<&UniqueIndex>,
    columns: &[Column],
) -> Result<ScanKey, DbError> {
    let one = |sql: String| vec![ScanTerm { sql, descending: false }];
    match (kind, alias, index) {
        (KeyKind::Integer, Some(column), _) => {
            Ok(ScanKey { terms: one(ident(&column.name)), stable: true })
        }
        (KeyKind::WithoutRowid, _, Some(index)) => {
            let term = |(name, descending, _): &(Option<String>, bool, String)| ScanTerm {
                sql: ident(name.as_deref().unwrap_or_default()),
                descending: *descending,
            };
            Ok(ScanKey { terms: index.terms.iter().map(term).collect(), stable: true })
        }
        _ => {
            let free = ["rowid", "_rowid_", "oid"]
                .into_iter()
                .find(|name| !columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)));
            let name = free.ok_or_else(|| {
                refused(
                    conn,
                    format!("table {} hides all three names of its rowid", ident(table)),
                    "rename one of its columns rowid, oid or _rowid_",
                )
            })?;
            Ok(ScanKey { terms: one(name.to_owned()), stable: false })
        }
    }
}
