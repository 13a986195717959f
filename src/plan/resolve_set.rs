//! A change of kind `or_set`, resolved against one database: every refusal that can be known before
//! anything is written is found here.

use rusqlite::{Connection, OptionalExtension};

use super::PlanError;
use super::resolve::check_version;
use crate::db::quote::{ident, list};
use crate::db::{DbError, Doing, Environment, Table, environment};
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::{
    ClosedObjects, OldForm, SetLayout, SetTables, SetTarget, check_adds, check_removes,
};
use crate::migration::{Change, Malformed, Migration, OrSetChange, SetSource};
use crate::state::{Mode, ModeRow};
use crate::transform::dot::DotDeriver;

/// A change of a set that fits its database.
#[derive(Clone, Debug)]
pub struct ResolvedSet {
    /// What is translated, from what, and to where. Its number is 0 until it is recorded.
    pub target: SetTarget,
    /// Which of its tables are there already.
    pub tables: SetTables,
    /// The SQL of the view that is there already, where one is.
    pub view: Option<String>,
    /// True where the table of the objects is one of cr-sqlite.
    pub replicated: bool,
    /// What the database belongs to.
    pub environment: Environment,
}

/// What a refusal needs to know.
struct Case<'m> {
    conn: &'m Connection,
    migration: &'m Migration,
    index: usize,
    change: &'m OrSetChange,
}

/// Resolves `change`, which has the number `index` in the migration.
///
/// # Errors
/// [`PlanError::Refused`] with file, line, problem and remedy.
pub fn resolve_set(
    conn: &Connection,
    migration: &Migration,
    index: usize,
    change: &OrSetChange,
) -> Result<ResolvedSet, PlanError> {
    resolve_with(conn, (migration, index, change), Case::old_form)
}

fn resolve_with<'m>(
    conn: &'m Connection,
    (migration, index, change): (&'m Migration, usize, &'m OrSetChange),
    old_form: impl FnOnce(&Case<'m>, &Table) -> Result<OldForm, PlanError>,
) -> Result<ResolvedSet, PlanError> {
    let case = Case { conn, migration, index, change };
    let environment = environment(conn)?;
    check_version(conn, &environment)?;
    let mut table = case.table("table", &change.table)?;
    table.walk_by_key();
    case.check_key(&table)?;
    let old = old_form(&case, &table)?;
    let replicated = CrTable::find(conn, &table)?;
    let (tables, layout) = case.tables(&table, replicated.is_some())?;
    let view = case.view()?;
    let dots = DotDeriver::new(migration.id.as_str(), &change.table, change.source.name());
    let target = SetTarget {
        n: 0,
        old,
        adds: change.adds.clone(),
        removes: change.removes.clone(),
        view: change.view.clone(),
        skip_malformed: change.malformed == Malformed::Skip,
        closed: closed_objects(conn, migration.id.as_str())?,
        layout,
        dots,
        table,
    };
    let replicated = replicated.is_some();
    Ok(ResolvedSet { target, tables, view, replicated, environment })
}

/// As [`resolve_set`], of the change with the number `index`, which is one of a set.
///
/// # Errors
/// As [`resolve_set`].
pub fn resolve_set_at(
    conn: &Connection,
    migration: &Migration,
    index: usize,
) -> Result<ResolvedSet, PlanError> {
    match migration.changes.get(index) {
        Some(Change::OrSet(change)) => resolve_set(conn, migration, index, change),
        Some(Change::Column(_) | Change::Index(_)) | None => Err(PlanError::refused(
            migration.at(index, "kind"),
            "it is no set",
            "this is a fault of dotfill",
        )),
    }
}

/// As [`resolve_set_at`], for adds that come from elsewhere: this replica may lack the old form,
/// which is then taken as the file names it.
///
/// # Errors
/// As [`resolve_set`], but for what is wrong with the old form.
pub fn resolve_shipped_set(
    conn: &Connection,
    migration: &Migration,
    index: usize,
) -> Result<ResolvedSet, PlanError> {
    let Some(Change::OrSet(change)) = migration.changes.get(index) else {
        return resolve_set_at(conn, migration, index);
    };
    let named = |_: &Case<'_>, table: &Table| match &change.source {
        SetSource::Column { column, format } => {
            OldForm::Column { column: column.clone(), format: *format }
        }
        SetSource::Table { table: rows, element, key } => OldForm::Rows {
            table: rows.clone(),
            element: element.clone(),
            key: key.clone().unwrap_or_else(|| table.key.iter().map(|k| k.name.clone()).collect()),
        },
    };
    resolve_with(conn, (migration, index, change), |case, table| match case.old_form(table) {
        Err(PlanError::Refused { .. }) => Ok(named(case, table)),
        other => other,
    })
}

/// The objects of a migration whose epoch is closed here.
///
/// # Errors
/// When the mode cannot be read.
pub fn closed_objects(conn: &Connection, migration: &str) -> Result<ClosedObjects, DbError> {
    let row = ModeRow::read(conn, migration)?;
    Ok(match row.mode {
        Mode::ReadNewWriteNew | Mode::CompactOld => ClosedObjects::All,
        Mode::ReadNewWriteBoth if row.cohort_percent > 0 => ClosedObjects::Cohort,
        Mode::ReadOldWriteOld | Mode::ReadNewWriteOld | Mode::ReadNewWriteBoth => {
            ClosedObjects::None
        }
    })
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

    fn table(&self, key: &str, name: &str) -> Result<Table, PlanError> {
        Table::read(self.conn, name).map_err(|error| match error {
            DbError::Unusable { problem, remedy, path } => {
                self.refused(key, format!("{}: {problem}", path.display()), remedy)
            }
            other => other.into(),
        })
    }

    /// `table`, `view` or another type of what has that name; `None` where nothing has.
    fn kind_of(&self, name: &str) -> Result<Option<String>, DbError> {
        self.conn
            .query_row(
                "SELECT type FROM pragma_table_list WHERE schema = 'main' \
                 AND name = ?1 COLLATE NOCASE",
                [name],
                |row| row.get(0),
            )
            .optional()
            .doing("look for the objects of a set")
    }

    /// The SQL of the view that is there.
    fn view(&self) -> Result<Option<String>, PlanError> {
        let name = &self.change.view;
        match self.kind_of(name)? {
            None => Ok(None),
            Some(kind) if kind == "view" => {
                let sql = "SELECT sql FROM sqlite_schema WHERE type = 'view' \
                           AND name = ?1 COLLATE NOCASE";
                let text = self.conn.query_row(sql, [name], |row| row.get(0));
                Ok(Some(text.doing("read the view of a set")?))
            }
            Some(kind) => Err(self.refused(
                "view",
                format!("{} is a {kind} here, not a view", ident(name)),
                "give the view a name of its own",
            )),
        }
    }

    fn check_key(&self, table: &Table) -> Result<(), PlanError> {
        for key in &table.key {
            let name = ident(&key.name);
            if key.collation != "BINARY" {
                return Err(self.refused(
                    "table",
                    format!(
                        "key column {name} of table {} has the collation {}: keys that it takes for \
                         equal would have different dots",
                        table.sql(),
                        key.collation
                    ),
                    "dots need keys that are compared byte by byte (BINARY)",
                ));
            }
            if ["element", "dot"].iter().any(|own| key.name.eq_ignore_ascii_case(own)) {
                return Err(self.refused(
                    "table",
                    format!(
                        "key column {name} of table {} has the name of a column of the adds",
                        table.sql()
                    ),
                    "rename the column: the table of adds has the key columns, element and dot",
                ));
            }
        }
        self.refuse_null_keys(table)
    }

    /// An object without a key cannot have adds.
    fn refuse_null_keys(&self, table: &Table) -> Result<(), PlanError> {
        let nullable: Vec<_> =
            table.key.iter().filter(|key| table.may_be_null(&key.name)).collect();
        for key in nullable {
            let name = ident(&key.name);
            let sql = format!("SELECT 1 FROM {} WHERE {name} IS NULL LIMIT 1", table.sql());
            let found = self.conn.prepare(&sql).and_then(|mut s| s.exists([]));
            if found.doing("look for rows without a key")? {
                return Err(self.refused(
                    "table",
                    format!("a row of table {} has a NULL in its key column {name}", table.sql()),
                    "give every row a key; two rows without one cannot be told apart",
                ));
            }
        }
        Ok(())
    }

    fn old_form(&self, table: &Table) -> Result<OldForm, PlanError> {
        match &self.change.source {
            SetSource::Column { column, format } => {
                let Some(found) = table.column(column) else {
                    let known = list(table.columns.iter().map(|c| c.name.clone()));
                    return Err(self.refused(
                        "source",
                        format!("table {} has no column {}", table.sql(), ident(column)),
                        format!("name the column that holds the old form; there are {known}"),
                    ));
                };
                if table.key.iter().any(|key| key.name == found.name) {
                    return Err(self.refused(
                        "source",
                        format!("column {} is part of the key", ident(column)),
                        "name the column that holds the old form",
                    ));
                }
                Ok(OldForm::Column { column: found.name.clone(), format: *format })
            }
            SetSource::Table { table: rows, element, key } => {
                let rows = self.table("source_table", rows)?;
                self.rows(table, &rows, element, key.as_deref())
            }
        }
    }

    fn rows(
        &self,
        table: &Table,
        rows: &Table,
        element: &str,
        key: Option<&[String]>,
    ) -> Result<OldForm, PlanError> {
        let find = |toml_key: &str, name: &str| match rows.column(name) {
            Some(column) => Ok(column.name.clone()),
            None => Err(self.refused(
                toml_key,
                format!("table {} has no column {}", rows.sql(), ident(name)),
                match toml_key {
                    "element" => "name its column that holds the element",
                    _ => "name its columns that hold the key: source_key = [\"..\"]",
                },
            )),
        };
        let element = find("element", element)?;
        let own: Vec<String> = table.key.iter().map(|key| key.name.clone()).collect();
        let names = key.unwrap_or(&own);
        if names.len() != own.len() {
            return Err(self.refused(
                "source_key",
                format!("it names {} columns, the key has {}", names.len(), own.len()),
                format!("name one column for each of {}", list(own.iter().cloned())),
            ));
        }
        let key: Vec<String> =
            names.iter().map(|name| find("source_key", name)).collect::<Result<_, _>>()?;
        self.check_index(rows, &key)?;
        Ok(OldForm::Rows { table: rows.name.clone(), element, key })
    }

    /// Without an index every look at one object's elements reads the whole table.
    fn check_index(&self, rows: &Table, key: &[String]) -> Result<(), PlanError> {
        let indexes = "SELECT 1 FROM pragma_index_list(?1) AS l WHERE NOT l.partial AND \
                       (SELECT count(*) FROM pragma_index_info(l.name) AS i \
                        WHERE i.seqno < ?2 AND i.name COLLATE NOCASE IN (SELECT value FROM \
                        json_each(?3))) = ?2";
        let columns = i64::try_from(key.len()).unwrap_or(i64::MAX);
        let names = serde_json::to_string(key).unwrap_or_default();
        let found = self
            .conn
            .prepare(indexes)
            .and_then(|mut s| s.exists(rusqlite::params![rows.name, columns, names]))
            .doing("look for an index of the child table")?;
        let is_rowid = rows.key.len() == 1 && key == [rows.key[0].name.clone()];
        if found || is_rowid {
            return Ok(());
        }
        let columns = list(key.iter().map(|name| ident(name)));
        Err(self.refused(
            "source_table",
            format!("table {} has no index that begins with {columns}", rows.sql()),
            format!(
                "CREATE INDEX {} ON {} ({columns})",
                ident(&format!("{}_key", rows.name)),
                rows.sql()
            ),
        ))
    }

    /// The tables of the new form that are there, and where it lives once all are.
    fn tables(&self, table: &Table, replicated: bool) -> Result<(SetTables, SetLayout), PlanError> {
        let change = self.change;
        let mut layout = SetLayout::Plain;
        let mut tables = SetTables::default();
        for (key, name) in [("adds", &change.adds), ("removes", &change.removes)] {
            let Some(kind) = self.kind_of(name)? else { continue };
            if kind != "table" {
                return Err(self.refused(
                    key,
                    format!("{} is a {kind} here, not a table", ident(name)),
                    "give the table a name of its own",
                ));
            }
            let found = self.table(key, name)?;
            let problem = match key {
                "adds" => check_adds(&found, table, change),
                _ => check_removes(&found),
            };
            if let Some(problem) = problem {
                return Err(self.refused(
                    key,
                    format!("table {} is there and has another shape: {problem}", found.sql()),
                    "`dotfill schema` prints the table that is wanted; or give the new one another name",
                ));
            }
            let cr = CrTable::find(self.conn, &found)?;
            if cr.is_some() != replicated {
                return Err(self.half_replicated(key, &found, table, replicated));
            }
            match (key, cr) {
                ("adds", cr) => {
                    tables.adds = true;
                    layout = cr.map_or(SetLayout::Plain, |adds| SetLayout::CrSqlite { adds });
                }
                _ => tables.removes = true,
            }
        }
        if replicated && !tables.adds {
            layout = SetLayout::CrSqlite { adds: CrTable::named(&change.adds) };
        }
        Ok((tables, layout))
    }

    fn half_replicated(
        &self,
        key: &str,
        found: &Table,
        table: &Table,
        replicated: bool,
    ) -> PlanError {
        let (a, b) = if replicated { (table, found) } else { (found, table) };
        let remedy = if replicated {
            format!(
                "make it one: `SELECT crsql_as_crr('{}')`, or on Corrosion through the schema files",
                found.name
            )
        } else {
            "give the new form other names, or replicate both".to_owned()
        };
        self.refused(
            key,
            format!("table {} is replicated by cr-sqlite, and table {} is not", a.sql(), b.sql()),
            remedy,
        )
    }
}
