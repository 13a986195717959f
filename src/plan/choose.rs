//! Which delivery a change gets, and why: the file's choice where it can be had, else the cheapest.

use rusqlite::Connection;

use super::PlanError;
use crate::db::quote::ident;
use crate::db::{Datum, Environment, Table};
use crate::layout::{Delivery, Layout};
use crate::migration::{ColumnChange, Delivery as Wish};

/// What the choice depends on.
pub(super) struct Question<'a> {
    pub change: &'a ColumnChange,
    pub table: &'a Table,
    pub layout: &'a Layout,
    pub environment: &'a Environment,
    pub constant: Option<&'a Datum>,
    pub at: &'a dyn Fn(&str) -> String,
}

/// A delivery, and why.
pub(super) struct Choice {
    pub delivery: Delivery,
    pub why: String,
}

/// Chooses.
pub(super) fn choose(question: &Question<'_>) -> Result<Choice, PlanError> {
    let change = question.change;
    let chosen = |delivery, why: &str| Ok(Choice { delivery, why: why.to_owned() });
    match change.delivery {
        Wish::Auto if question.elidable() && change.writable => {
            chosen(Delivery::Elide, "the value is the column's default: no row is written")
        }
        Wish::Auto if !change.writable => {
            question.check_virtual()?;
            chosen(Delivery::Virtual, "nobody writes the column: it is computed when it is read")
        }
        Wish::Auto => {
            chosen(Delivery::Derive, "each replica derives the value from rows that it already has")
        }
        Wish::Virtual => {
            question.check_virtual()?;
            chosen(Delivery::Virtual, "the file asks for it")
        }
        Wish::Elide if question.elidable() => chosen(Delivery::Elide, "the file asks for it"),
        Wish::Elide => Err(question.not_elidable()),
        Wish::Native => {
            question.check_native()?;
            chosen(Delivery::Native, "the file asks for it")
        }
        Wish::Derive => chosen(Delivery::Derive, "the file asks for it"),
    }
}

impl Question<'_> {
    fn elidable(&self) -> bool {
        let Some(constant) = self.constant else {
            return false;
        };
        let hidden_by_filter = self.change.filter.is_some() && *constant != Datum::Null;
        if hidden_by_filter || !default_is(Some(&constant.to_string()), constant) {
            return false;
        }
        match self.table.column(&self.change.column) {
            None => true,
            Some(column) => default_is(column.default.as_deref(), constant),
        }
    }

    fn not_elidable(&self) -> PlanError {
        let problem = match self.constant {
            None => "elide needs a value that is the same for every row".to_owned(),
            Some(value) => format!(
                "elide needs {value} to be the declared default of column {}",
                ident(&self.change.column)
            ),
        };
        PlanError::refused((self.at)("delivery"), problem, "use delivery = \"derive\"")
    }

    fn check_virtual(&self) -> Result<(), PlanError> {
        match self.table.column(&self.change.column) {
            Some(column) if !column.generated => Err(PlanError::refused(
                (self.at)("delivery"),
                format!("column {} exists and is stored", ident(&column.name)),
                "a stored column cannot become a generated one: use delivery = \"derive\" with \
                 writable = true, or another column name",
            )),
            _ => Ok(()),
        }
    }

    fn check_native(&self) -> Result<(), PlanError> {
        let refused = |problem: &str, remedy: &str| {
            Err(PlanError::refused((self.at)("delivery"), problem, remedy))
        };
        if matches!(self.layout, Layout::Plain) {
            return refused(
                "native writes change records, and this is no table of cr-sqlite",
                "use delivery = \"derive\"",
            );
        }
        if self.environment.corrosion {
            return refused(
                "native cannot be used: a Corrosion agent sends the changes of its own site only, so \
                 the records of a publisher site would never leave this node, and nodes would \
                 diverge",
                "use delivery = \"derive\" and run dotfill on each node",
            );
        }
        Ok(())
    }
}

/// True where the SQL text of a DEFAULT has this value.
fn default_is(default: Option<&str>, value: &Datum) -> bool {
    let Some(default) = default else {
        return *value == Datum::Null;
    };
    let Ok(conn) = Connection::open_in_memory() else {
        return false;
    };
    conn.query_row(&format!("SELECT (\n{default}\n)"), [], |row| row.get::<_, Datum>(0))
        .is_ok_and(|found| found == *value)
}
