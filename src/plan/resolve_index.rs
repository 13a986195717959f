//! A change of kind `index`, resolved against one database: every refusal that can be known before
//! anything is written is found here. Builds the index on an empty table in memory: what `SQLite`
//! makes of it there is what the database must have under its name.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::PlanError;
use super::resolve::check_version;
use crate::db::index::{IndexShape, Named, named};
use crate::db::quote::{ident, list, text};
use crate::db::{Column, DbError, Doing, Environment, KeyKind, Table, environment, expr};
use crate::layout::IndexTarget;
use crate::layout::crsqlite::CrTable;
use crate::migration::{Change, ColumnChange, IndexChange, IndexTerms, Migration};

/// Functions that never fail, whatever they are given, in every `SQLite` of the last ten years: what an
/// index of a replicated table may call.
const NEVER_FAIL: [&str; 20] = [
    "coalesce",
    "hex",
    "ifnull",
    "instr",
    "length",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "round",
    "rtrim",
    "substr",
    "trim",
    "typeof",
    "unicode",
    "unlikely",
    "upper",
];

/// What an expression is judged as: no column has that name.
const TERM: &str = "_dotfill_term";

/// A change of an index that fits its database.
#[derive(Clone, Debug)]
pub struct ResolvedIndex {
    /// What is built. Its number is 0 until it is recorded.
    pub target: IndexTarget,
    /// What has its name there.
    pub found: Found,
    /// True where the table is one of cr-sqlite.
    pub replicated: bool,
    /// Columns that earlier changes of the file add, with what fills them.
    pub pending: Vec<ColumnChange>,
    /// Functions that it calls and that may fail for a row.
    pub fallible: Vec<String>,
    /// What the database belongs to.
    pub environment: Environment,
}

/// What has the name of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is to be built.
    Absent,
    /// An index with that definition.
    Same,
    /// Something else, in words.
    Other(String),
}

impl Found {
    /// What has the name of `target` now.
    ///
    /// # Errors
    /// When the schema cannot be read.
    pub fn look(conn: &Connection, target: &IndexTarget) -> Result<Self, DbError> {
        Ok(match named(conn, &target.name)? {
            Named::Nothing => Self::Absent,
            Named::Other(kind) => Self::Other(format!("it is a {kind}")),
            Named::Index(shape) => match target.shape.differences(&shape) {
                differences if differences.is_empty() => Self::Same,
                differences => Self::Other(differences.join("; ")),
            },
        })
    }
}

/// What a refusal needs to know.
struct Case<'m> {
    conn: &'m Connection,
    migration: &'m Migration,
    index: usize,
    change: &'m IndexChange,
}

/// Resolves `change`, which has the number `index` in the migration. What has its name there is told,
/// not judged: see [`ResolvedIndex::check`].
///
/// # Errors
/// [`PlanError::Refused`] with file, line, problem and remedy.
pub fn resolve_index(
    conn: &Connection,
    migration: &Migration,
    index: usize,
    change: &IndexChange,
) -> Result<ResolvedIndex, PlanError> {
    let case = Case { conn, migration, index, change };
    let environment = environment(conn)?;
    check_version(conn, &environment)?;
    let (table, pending) = case.table()?;
    let replicated = CrTable::find(conn, &table)?.is_some();
    let functions = case.judge(&table)?;
    let fallible: Vec<String> = functions.into_iter().filter(|name| !never_fails(name)).collect();
    if replicated {
        case.check_harmless(&table, &fallible)?;
    }
    let mut target = case.target(table)?;
    target.shape = case.shape(&target, &pending)?;
    let found = Found::look(conn, &target)?;
    Ok(ResolvedIndex { target, found, replicated, pending, fallible, environment })
}

fn never_fails(function: &str) -> bool {
    NEVER_FAIL.contains(&function)
}

impl ResolvedIndex {
    /// Refuses an index that cannot be built here: its name is taken by something else, or a Corrosion
    /// agent owns the schema of its table.
    ///
    /// # Errors
    /// [`PlanError::Refused`].
    pub fn check(&self, migration: &Migration, index: usize) -> Result<(), PlanError> {
        let name = ident(&self.target.name);
        match &self.found {
            Found::Other(differences) => Err(PlanError::refused(
                migration.at(index, "name"),
                format!("{name} is there with another definition: {differences}"),
                format!(
                    "give the new one a name of its own; or write what is there into the migration \
                     file, or `DROP INDEX {name}` where nobody needs it any more"
                ),
            )),
            Found::Absent if self.environment.corrosion && self.replicated => {
                Err(PlanError::refused(
                    migration.at(index, "name"),
                    format!(
                        "the database belongs to a Corrosion agent, whose schema files own the \
                         indexes of its tables (a reload may drop one that they do not name), and \
                         {name} is missing here"
                    ),
                    format!(
                        "add `{};` to the schema files of every node and reload every agent \
                         (`corrosion reload`), which builds it in one transaction too; then \
                         `dotfill run` proves it on each node",
                        one_line(&self.target.create())
                    ),
                ))
            }
            Found::Absent | Found::Same => Ok(()),
        }
    }
}

/// SQL for people: expressions are put on lines of their own where they are run.
pub(super) fn one_line(sql: &str) -> String {
    sql.replace("(\n", "(").replace("\n)", ")")
}

impl Case<'_> {
    fn refused(
        &self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> PlanError {
        PlanError::refused(self.migration.at(self.index, key), problem, remedy)
    }

    /// The table with the columns that earlier changes of the file add to it.
    fn table(&self) -> Result<(Table, Vec<ColumnChange>), PlanError> {
        let mut table =
            Table::read(self.conn, &self.change.table).map_err(|error| match error {
                DbError::Unusable { problem, remedy, path } => {
                    self.refused("table", format!("{}: {problem}", path.display()), remedy)
                }
                other => other.into(),
            })?;
        let mut pending = Vec::new();
        for change in &self.migration.changes[..self.index] {
            let Change::Column(column) = change else { continue };
            if !column.table.eq_ignore_ascii_case(&table.name)
                || table.column(&column.column).is_some()
            {
                continue;
            }
            table.columns.push(Column {
                name: column.column.clone(),
                type_name: column.type_name.clone(),
                not_null: false,
                default: None,
                key_position: 0,
                generated: false,
            });
            pending.push(column.clone());
        }
        Ok((table, pending))
    }

    /// Has `SQLite` judge the expressions; returns the functions that they call.
    fn judge(&self, table: &Table) -> Result<Vec<String>, PlanError> {
        let mut functions = Vec::new();
        let mut judge = |key: &str, sql: &str| {
            let judged = expr::judge(table, TERM, sql).map_err(|problem| {
                self.refused(
                    key,
                    format!("{sql:?} is refused: {problem}"),
                    "an index is of deterministic SQL over the columns of its own row",
                )
            })?;
            functions.extend(judged.functions);
            Ok::<_, PlanError>(())
        };
        match &self.change.terms {
            IndexTerms::Columns(names) => self.check_columns(table, names)?,
            IndexTerms::Expressions(texts) => {
                texts.iter().try_for_each(|text| judge("expressions", text))?;
            }
        }
        if let Some(filter) = &self.change.filter {
            judge("where", filter)?;
        }
        functions.sort_unstable();
        functions.dedup();
        Ok(functions)
    }

    fn check_columns(&self, table: &Table, names: &[String]) -> Result<(), PlanError> {
        let Some(missing) = names.iter().find(|name| table.column(name).is_none()) else {
            return Ok(());
        };
        Err(self.refused(
            "columns",
            format!(
                "table {} has no column {}; it has {}",
                table.sql(),
                ident(missing),
                list(table.columns.iter().map(|column| column.name.clone()))
            ),
            "correct the name, or add the column with a [[change]] before this one",
        ))
    }

    /// Nothing that we leave behind may make a merge fail.
    fn check_harmless(&self, table: &Table, fallible: &[String]) -> Result<(), PlanError> {
        let table = table.sql();
        if self.change.unique {
            return Err(self.refused(
                "unique",
                format!(
                    "table {table} is replicated by cr-sqlite, which allows no unique index beside \
                     the primary key: two replicas may each write such a row, and the merge leaves \
                     a value out without a word, so that they differ from then on"
                ),
                "leave unique out, and have the application look for duplicates; or make the \
                 terms the primary key of a new table",
            ));
        }
        let Some(function) = fallible.first() else { return Ok(()) };
        let key = match &self.change.terms {
            IndexTerms::Columns(_) => "where",
            IndexTerms::Expressions(_) => "expressions",
        };
        Err(self.refused(
            key,
            format!(
                "{function}() may fail for some row, and table {table} is replicated by cr-sqlite: \
                 a write of such a row would fail, and a merge that brings one would fail or lose it"
            ),
            format!(
                "derive the value into a column (kind = \"column\", on_error = \"skip\") and index \
                 that; or use only {}",
                NEVER_FAIL.join(", ")
            ),
        ))
    }

    fn target(&self, table: Table) -> Result<IndexTarget, PlanError> {
        let change = self.change;
        let terms = match &change.terms {
            IndexTerms::Columns(names) => names.iter().map(|name| ident(name)).collect(),
            IndexTerms::Expressions(texts) => {
                texts.iter().map(|text| IndexTarget::term(text)).collect()
            }
        };
        let stored_by = stored_by(self.conn, &table)?;
        let evaluates =
            matches!(change.terms, IndexTerms::Expressions(_)) || change.filter.is_some();
        let shape = IndexShape {
            table: table.name.to_ascii_lowercase(),
            unique: change.unique,
            terms: Vec::new(),
            filter: None,
        };
        Ok(IndexTarget {
            n: 0,
            name: change.name.clone(),
            table,
            terms,
            filter: change.filter.clone(),
            unique: change.unique,
            evaluates,
            shape,
            stored_by,
        })
    }

    /// What the schema has once the index is built: read off an empty copy of the table.
    fn shape(
        &self,
        target: &IndexTarget,
        pending: &[ColumnChange],
    ) -> Result<IndexShape, PlanError> {
        let refused = |error: &rusqlite::Error| {
            self.refused(
                self.change.terms.key(),
                format!("SQLite refuses the index {}: {}", ident(&target.name), expr::plain(error)),
                "correct what it is of",
            )
        };
        let court = court(self.conn, &target.table, pending).map_err(|error| refused(&error))?;
        court.execute_batch(&target.create()).map_err(|error| refused(&error))?;
        match named(&court, &target.name)? {
            Named::Index(shape) => Ok(shape),
            Named::Nothing | Named::Other(_) => Err(self.refused(
                "name",
                format!("SQLite makes no index of {}", one_line(&target.create())),
                "give it another name",
            )),
        }
    }
}

/// An empty copy of the table in memory, with the columns that earlier changes add.
fn court(
    conn: &Connection,
    table: &Table,
    pending: &[ColumnChange],
) -> rusqlite::Result<Connection> {
    let court = Connection::open_in_memory()?;
    for off in [DbConfig::SQLITE_DBCONFIG_DQS_DDL, DbConfig::SQLITE_DBCONFIG_DQS_DML] {
        court.set_db_config(off, false)?;
    }
    let sql: String = conn.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
        [&table.name],
        |row| row.get(0),
    )?;
    court.execute_batch(&sql)?;
    for column in pending {
        let definition = format!("{} {}", ident(&column.column), column.type_name);
        court.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {definition}", table.sql()))?;
    }
    Ok(court)
}

/// The name of the index that a WITHOUT ROWID table is stored by.
fn stored_by(conn: &Connection, table: &Table) -> Result<Option<String>, DbError> {
    if table.key_kind != KeyKind::WithoutRowid {
        return Ok(None);
    }
    let sql =
        format!("SELECT name FROM pragma_index_list({}) WHERE origin = 'pk'", text(&table.name));
    conn.query_row(&sql, [], |row| row.get(0)).map(Some).doing("look for the table's own index")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&str; 5] = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE)",
        "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE)",
        "CREATE TABLE t (id INT NOT NULL UNIQUE, a TEXT, b TEXT COLLATE NOCASE)",
        "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE) WITHOUT ROWID",
        "CREATE TABLE t (id TEXT, a TEXT, b TEXT COLLATE NOCASE, k INT, \
         PRIMARY KEY (k DESC, id)) WITHOUT ROWID",
    ];

    const INDEXES: [&str; 5] = [
        "columns = ['a', 'b']",
        "columns = ['b']",
        "expressions = ['lower(a)', 'b']",
        "expressions = ['\"b\" COLLATE RTRIM']",
        "columns = ['b']\nwhere = 'a IS NOT NULL'",
    ];

    fn plan_of(conn: &Connection, sql: &str) -> Vec<String> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let detail = |row: &rusqlite::Row<'_>| row.get(3);
        statement.query_map([], detail).and_then(Iterator::collect).expect("a plan")
    }

    /// A count that the index answered for the table would prove nothing, and a look-up that scanned
    /// it would never end.
    #[test]
    fn the_table_answers_for_itself_and_entries_are_sought() {
        for (table, rest) in TABLES.iter().flat_map(|t| INDEXES.iter().map(move |i| (t, i))) {
            let conn = Connection::open_in_memory().expect("memory");
            conn.execute_batch(table).expect(table);
            let text =
                format!("id = 'm'\n[[change]]\nkind = 'index'\nname = 'i'\ntable = 't'\n{rest}\n");
            let migration = Migration::parse(&text, "m.toml".as_ref()).expect(rest);
            let Change::Index(change) = &migration.changes[0] else { panic!("an index") };
            let resolved = resolve_index(&conn, &migration, 0, change).expect(rest);
            assert_eq!(resolved.found, Found::Absent);
            let target = resolved.target;
            conn.execute_batch(&target.create()).expect(rest);
            assert_eq!(Found::look(&conn, &target).expect("a look"), Found::Same, "{rest}");
            let by_index = |line: &String| line.contains("INDEX i") || line.contains("INDEX i ");
            let rows = plan_of(&conn, &target.count_rows());
            assert!(!rows.iter().any(by_index), "{table} {rest}: {rows:?}");
            let entries = plan_of(&conn, &target.count_entries());
            assert!(entries.iter().any(by_index), "{table} {rest}: {entries:?}");
            let missing = plan_of(&conn, &target.missing());
            let inner = missing.iter().rfind(|line| by_index(line)).expect("the index");
            assert!(inner.starts_with("SEARCH t "), "{table} {rest}: {missing:?}");
            let outer = missing.iter().find(|line| line.starts_with("SCAN t")).expect("the table");
            assert!(!by_index(outer), "{table} {rest}: {missing:?}");
        }
    }
}
