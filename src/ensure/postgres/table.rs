//! The table that an index is of, as the catalog knows it.

use crate::db::quote;
use crate::ensure::backend::Trouble;
use crate::ensure::link::{Session, cell};
use crate::ensure::wanted::Wanted;
use crate::ensure::{EnsureError, Fault};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its number.
    pub oid: u32,
    /// The number of its schema.
    pub schema_oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`.
    kind: String,
}

const FIND: &str = "SELECT c.oid, n.oid, n.nspname::text, c.relname::text, c.relkind::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";

/// Tables whose names differ in case only, or that another schema has.
const LIKE: &str = "SELECT DISTINCT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_'
    AND lower(c.relname) = lower($1) ORDER BY 1 LIMIT 3";

impl Table {
    /// Finds the table that is meant: the text as one name, else as `schema.table`.
    ///
    /// # Errors
    /// [`Trouble`]; refused where there is none, or it can have no index.
    pub fn find(session: &Session, wanted: &Wanted) -> Result<Self, Trouble> {
        let whole = quote::ident(&wanted.table);
        let parts = wanted
            .table
            .split_once('.')
            .map(|(schema, table)| format!("{}.{}", quote::ident(schema), quote::ident(table)));
        for name in std::iter::once(whole).chain(parts) {
            let rows = session.rows("look for the table", FIND, &[&name])?;
            if let Some(row) = rows.first() {
                let table = Self {
                    oid: cell(row, 0)?,
                    schema_oid: cell(row, 1)?,
                    schema: cell(row, 2)?,
                    name: cell(row, 3)?,
                    kind: cell(row, 4)?,
                };
                return table.check(wanted);
            }
        }
        Err(refused(wanted, missing(session, wanted)?))
    }

    /// Its quoted name, with the schema.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote::ident(&self.schema), quote::ident(&self.name))
    }

    /// Whether an index on it can be built without locking writers out.
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }

    fn check(self, wanted: &Wanted) -> Result<Self, Trouble> {
        let what = match self.kind.as_str() {
            "r" | "m" | "p" => return Ok(self),
            "v" => "a view",
            "f" => "a foreign table",
            "i" | "I" => "an index",
            "S" => "a sequence",
            _ => "no table",
        };
        Err(refused(
            wanted,
            format!("{} is {what}, which has no indexes of its own", self.quoted()),
        ))
    }
}

fn missing(session: &Session, wanted: &Wanted) -> Result<String, Fault> {
    let last = wanted.table.rsplit('.').next().unwrap_or_default();
    let rows = session.rows("look for tables of like names", LIKE, &[&last])?;
    let like = rows.iter().map(|row| cell(row, 0)).collect::<Result<Vec<String>, _>>()?;
    let hint = match like.as_slice() {
        [] => {
            "write the schema as well where it is not on the search path: \"schema.table\"".into()
        }
        names => format!("there is {}; names count with their case", names.join(", ")),
    };
    Ok(format!("there is no table {:?} on the search path; {hint}", wanted.table))
}

/// The error that says so.
#[must_use]
pub fn refused(wanted: &Wanted, problem: String) -> Trouble {
    Trouble::Refused(EnsureError::Refused {
        at: wanted.at.clone(),
        index: wanted.name.clone(),
        problem,
    })
}
