//! Tables, indexes and jobs of `CockroachDB`, from the catalog that it documents.

use crate::db::quote;
use crate::ensure::backend::Trouble;
use crate::ensure::definition::Definition;
use crate::ensure::link::{Session, cell};
use crate::ensure::wanted::Wanted;
use crate::ensure::{EnsureError, Fault, Nature};

use super::jobs::Job;

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its number.
    pub id: i64,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

const TABLE: &str = "SELECT table_id::INT8, schema_name::STRING, name::STRING
  FROM crdb_internal.tables
  WHERE database_name = current_database() AND drop_time IS NULL AND name = $1
    AND schema_name = coalesce($2::STRING, current_schema())";

/// Only indexes whose backfill has ended are listed; those that a job is still building are not.
const WHOLE: &str = "SELECT count(*)::INT8 FROM crdb_internal.table_indexes
  WHERE descriptor_id = $1 AND index_name = $2";

const STATEMENT: &str = "SELECT indexdef::STRING FROM pg_catalog.pg_indexes
  WHERE schemaname = $1 AND tablename = $2 AND indexname = $3";

const JOBS: &str = "SELECT job_id::INT8, coalesce(description, '')::STRING, status::STRING,
    coalesce(fraction_completed, 0)::FLOAT8
  FROM [SHOW JOBS] WHERE job_type IN ('SCHEMA CHANGE', 'NEW SCHEMA CHANGE')
    AND status NOT IN ('succeeded', 'failed', 'canceled') ORDER BY created DESC";

/// The table on which the definition is learnt, for the length of a transaction that is rolled
/// back.
const COPY: &str = "_dotfill_copy";

impl Table {
    /// Finds the table that is meant: the text as one name in the current schema, else as
    /// `schema.table`.
    ///
    /// # Errors
    /// [`Trouble`]; refused where there is none.
    pub fn find(session: &Session, wanted: &Wanted) -> Result<Self, Trouble> {
        let whole = (wanted.table.as_str(), None);
        let parts = wanted.table.split_once('.').map(|(schema, table)| (table, Some(schema)));
        for (name, schema) in std::iter::once(whole).chain(parts) {
            let rows = session.rows("look for the table", TABLE, &[&name, &schema])?;
            if let Some(row) = rows.first() {
                return Ok(Self { id: cell(row, 0)?, schema: cell(row, 1)?, name: cell(row, 2)? });
            }
        }
        let problem = format!(
            "there is no table {:?}; write the schema as well where it is another one: \
             \"schema.table\"",
            wanted.table
        );
        Err(refused(wanted, problem))
    }

    /// Its quoted name, with the schema.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote::ident(&self.schema), quote::ident(&self.name))
    }
}

/// Whether an index is there and its backfill has ended.
///
/// # Errors
/// A [`Fault`].
pub fn is_whole(session: &Session, table: &Table, index: &str) -> Result<bool, Fault> {
    let row = session.row("look for the index", WHOLE, &[&table.id, &index])?;
    Ok(cell::<i64>(&row, 0)? > 0)
}

/// The definition of an index that is there; `None` where it has gone.
///
/// # Errors
/// A [`Fault`].
pub fn definition(
    session: &Session,
    (schema, table): (&str, &str),
    index: &str,
) -> Result<Option<Definition>, Fault> {
    let rows = session.rows("read the definition", STATEMENT, &[&schema, &table, &index])?;
    let text = rows.first().map(|row| cell::<String>(row, 0)).transpose()?;
    Ok(text.map(|text| of_statement(&text)))
}

/// What a statement of `pg_indexes` says. Its terms are compared as one text: the server prints
/// them the same way for the same index.
fn of_statement(statement: &str) -> Definition {
    let (head, tail) = statement.split_once(" USING ").unwrap_or(("", statement));
    let (method, rest) = tail.split_once(' ').unwrap_or((tail, ""));
    let (terms, filter) = rest.split_once(" WHERE ").unwrap_or((rest, ""));
    Definition {
        unique: head.starts_with("CREATE UNIQUE "),
        immediate: true,
        method: method.to_owned(),
        keys: vec![crate::ensure::definition::Key {
            text: terms.to_owned(),
            ..crate::ensure::definition::Key::default()
        }],
        filter: filter.to_owned(),
        statement: statement.to_owned(),
        ..Definition::default()
    }
}

/// The definition of what is wanted, from an empty copy of the table; nothing of it stays.
///
/// # Errors
/// [`Trouble`]; refused where the server does not take the definition.
pub fn wanted(session: &Session, table: &Table, wanted: &Wanted) -> Result<Definition, Trouble> {
    session.run("begin a transaction", "BEGIN", &[])?;
    let learnt = on_copy(session, table, wanted);
    let ended = session.run("roll back", "ROLLBACK", &[]);
    let mut definition = learnt?;
    ended?;
    definition.statement = definition.statement.replacen(COPY, &table.name, 1);
    Ok(definition)
}

fn on_copy(session: &Session, table: &Table, wanted: &Wanted) -> Result<Definition, Trouble> {
    let copy = format!("{}.{}", quote::ident(&table.schema), quote::ident(COPY));
    let make = format!("CREATE TABLE {copy} (LIKE {})", table.quoted());
    for (doing, sql) in [
        ("make an empty copy of the table", make),
        ("make the index on an empty copy of the table", wanted.create("", &copy)),
    ] {
        session.run(doing, &sql, &[]).map_err(|fault| match fault.nature() {
            Nature::Definition | Nature::Data => refused(wanted, fault.to_string()),
            Nature::Lost | Nature::Exists | Nature::Passing => Trouble::Fault(fault),
        })?;
    }
    let found = definition(session, (&table.schema, COPY), &wanted.name)?;
    found.ok_or_else(|| {
        Fault::local("read the copy's index", "it is not listed").with_code("XX000").into()
    })
}

/// The schema changes that have not ended.
///
/// # Errors
/// A [`Fault`].
pub fn jobs(session: &Session) -> Result<Vec<Job>, Fault> {
    let rows = session.rows("look at the jobs", JOBS, &[])?;
    let job = |row: &tokio_postgres::Row| {
        Ok(Job {
            id: cell(row, 0)?,
            description: cell(row, 1)?,
            status: cell(row, 2)?,
            fraction: cell(row, 3)?,
        })
    };
    rows.iter().map(job).collect()
}

fn refused(wanted: &Wanted, problem: String) -> Trouble {
    let (at, index) = (wanted.at.clone(), wanted.name.clone());
    Trouble::Refused(EnsureError::Refused { at, index, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensure::definition::differences;

    #[test]
    fn statements_are_compared_by_what_they_say_and_not_by_their_table() {
        let of = |table: &str, rest: &str| {
            of_statement(&format!("CREATE UNIQUE INDEX i ON d.public.{table} USING btree {rest}"))
        };
        let wanted = of("_dotfill_copy", "(lower(email) ASC) WHERE (gone IS NULL)");
        assert_eq!(wanted.filter, "(gone IS NULL)");
        let same = of("users", "(lower(email) ASC) WHERE (gone IS NULL)");
        assert_eq!(differences(&wanted, &same), Vec::<String>::new());
        assert_eq!(differences(&wanted, &of("users", "(lower(email) ASC)")).len(), 1);
        let other = of("users", "(email DESC) WHERE (gone IS NULL)");
        assert!(differences(&wanted, &other)[0].contains("found ((email DESC))"));
        let plain = of_statement("CREATE INDEX i ON d.public.users USING gin (email)");
        assert!(!plain.unique);
        assert_eq!(plain.method, "gin");
    }
}
