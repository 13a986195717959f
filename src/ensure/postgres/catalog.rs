//! Definitions, as `PostgreSQL`'s catalog has them: of an index that is there, and of one that is
//! only wanted, which is made for a moment on an empty temporary copy of the table.

use crate::db::quote;
use crate::ensure::backend::Trouble;
use crate::ensure::definition::{Definition, Key};
use crate::ensure::link::{Session, cell};
use crate::ensure::wanted::Wanted;
use crate::ensure::{Fault, Nature};

use super::table::{Table, refused};

/// What has the index's name, in the schema of its table.
pub struct Entry {
    /// Its number.
    pub oid: u32,
    /// The number of the table that it is an index of; 0 where it is no index.
    pub table: u32,
    /// Whether it is valid, ready and live.
    pub whole: bool,
    /// In words, where it is no index.
    pub kind: String,
}

const FIND: &str = "SELECT c.oid, coalesce(i.indrelid, 0::oid),
    coalesce(i.indisvalid AND i.indisready AND i.indislive, false), c.relkind::text
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE c.relnamespace = $1 AND c.relname = $2";

/// `indnullsnotdistinct` exists since 15; by way of JSON it may be absent.
const DEFINITION: &str = "SELECT i.indisunique, i.indimmediate, i.indisexclusion,
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), a.amname::text,
    coalesce(pg_get_expr(i.indpred, i.indrelid), ''), pg_get_indexdef(i.indexrelid),
    i.indnkeyatts::int4, i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[],
    ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false)
          FROM generate_series(1, i.indnatts) k ORDER BY k)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
  WHERE i.indexrelid = $1";

/// Finds what has the index's name.
///
/// # Errors
/// A [`Fault`].
pub fn entry(session: &Session, schema: u32, name: &str) -> Result<Option<Entry>, Fault> {
    let rows = session.rows("look for the index", FIND, &[&schema, &name])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let kind: String = cell(row, 3)?;
    let kind = match kind.as_str() {
        "i" | "I" => "an index",
        "r" | "p" => "a table",
        "v" | "m" => "a view",
        "S" => "a sequence",
        _ => "something else",
    };
    Ok(Some(Entry {
        oid: cell(row, 0)?,
        table: cell(row, 1)?,
        whole: cell(row, 2)?,
        kind: kind.to_owned(),
    }))
}

/// The definition of an index that is there; `None` where it has gone.
///
/// # Errors
/// A [`Fault`].
pub fn definition(session: &Session, oid: u32) -> Result<Option<Definition>, Fault> {
    let rows = session.rows("read the definition of the index", DEFINITION, &[&oid])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let keys_count = usize::try_from(cell::<i32>(row, 7)?).unwrap_or_default();
    let classes: Vec<u32> = cell(row, 8)?;
    let collations: Vec<u32> = cell(row, 9)?;
    let orders: Vec<i16> = cell(row, 10)?;
    let mut texts: Vec<String> = cell(row, 11)?;
    let included = texts.split_off(keys_count.min(texts.len()));
    let key = |(n, text)| Key {
        text,
        class: classes.get(n).copied().unwrap_or_default(),
        collation: collations.get(n).copied().unwrap_or_default(),
        order: orders.get(n).copied().unwrap_or_default(),
    };
    Ok(Some(Definition {
        unique: cell(row, 0)?,
        immediate: cell(row, 1)?,
        exclusion: cell(row, 2)?,
        nulls_equal: cell(row, 3)?,
        method: cell(row, 4)?,
        keys: texts.into_iter().enumerate().map(key).collect(),
        included,
        filter: cell(row, 5)?,
        statement: cell(row, 6)?,
    }))
}

/// The definition of what is wanted. Nothing of it stays: the transaction is rolled back.
///
/// The copy has the table's own name, so that an expression that says `users.email` means it.
///
/// # Errors
/// [`Trouble`]; refused where the server does not take the definition.
pub fn wanted(session: &Session, table: &Table, wanted: &Wanted) -> Result<Definition, Trouble> {
    session.run("begin a transaction", "BEGIN", &[])?;
    let learnt = on_copy(session, table, wanted);
    let ended = session.run("roll back", "ROLLBACK", &[]);
    let definition = learnt?;
    ended?;
    Ok(definition)
}

fn on_copy(session: &Session, table: &Table, wanted: &Wanted) -> Result<Definition, Trouble> {
    let copy = format!("pg_temp.{}", quote::ident(&table.name));
    let make = format!("CREATE TEMPORARY TABLE {copy} (LIKE {}) ON COMMIT DROP", table.quoted());
    session.run("make an empty temporary copy of the table", &make, &[]).map_err(|fault| {
        told(
            wanted,
            fault,
            "to learn how the server prints the definition, dotfill makes the index \
             on an empty temporary table, for a moment; GRANT TEMPORARY ON DATABASE allows it",
        )
    })?;
    session
        .run("make the index on an empty copy of the table", &wanted.create("", &copy), &[])
        .map_err(|fault| told(wanted, fault, "the server does not take this definition"))?;
    let row = session.row(
        "find the index on the copy",
        "SELECT oid FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname = $1",
        &[&wanted.name],
    )?;
    let found = definition(session, cell(&row, 0)?)?;
    let mut definition =
        found.ok_or_else(|| Fault::local("read the copy's index", "it has gone"))?;
    if definition.keys.len() != wanted.terms.len() {
        let problem = format!("an expression is more than one: {}", definition.statement);
        return Err(refused(wanted, problem));
    }
    definition.statement = in_schema(&definition.statement, &table.schema);
    Ok(definition)
}

/// A statement of the copy, said of the table. A session's own temporary schema is `pg_temp` to it.
fn in_schema(statement: &str, schema: &str) -> String {
    statement.replacen(" ON pg_temp.", &format!(" ON {schema}."), 1)
}

/// What cannot go well another time is the definition's fault.
fn told(wanted: &Wanted, fault: Fault, why: &str) -> Trouble {
    match fault.nature() {
        Nature::Definition | Nature::Data | Nature::Exists => {
            refused(wanted, format!("{fault}; {why}"))
        }
        Nature::Lost | Nature::Passing => Trouble::Fault(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_of_the_copy_is_said_of_the_table() {
        assert_eq!(
            in_schema("CREATE INDEX i ON pg_temp.users USING btree (a)", "app"),
            "CREATE INDEX i ON app.users USING btree (a)"
        );
        let other = "CREATE INDEX i ON app.users USING btree (a)";
        assert_eq!(in_schema(other, "app"), other);
    }
}
