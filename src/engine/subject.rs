//! What a change that was proven once is about, of either kind: what comparing two replicas needs to
//! know of it.

use rusqlite::Connection;

use super::difference::{Held, held, held_set};
use crate::db::{Datum, DbError, Table};
use crate::layout::Target;
use crate::layout::or_set::SetTarget;
use crate::verify::or_set::set_shape;
use crate::verify::shape;

/// A column, or a set.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// What is filled, and how it is told whose a cell is.
    Column(Box<Target>),
    /// What is translated.
    OrSet(Box<SetTarget>),
}

impl Subject {
    /// The number of the change.
    pub(super) fn n(&self) -> i64 {
        match self {
            Self::Column(target) => target.n,
            Self::OrSet(target) => target.n,
        }
    }

    /// The table.
    pub(super) fn table(&self) -> &Table {
        match self {
            Self::Column(target) => &target.table,
            Self::OrSet(target) => &target.table,
        }
    }

    /// The column, or the name of a set's old form.
    pub(super) fn column(&self) -> &str {
        match self {
            Self::Column(target) => &target.column,
            Self::OrSet(target) => target.source(),
        }
    }

    /// What must be alike for two replicas' trees to be compared.
    pub(super) fn shape(&self) -> String {
        match self {
            Self::Column(target) => shape(target),
            Self::OrSet(target) => set_shape(target),
        }
    }

    /// What the row with that key holds.
    pub(super) fn held(&self, conn: &Connection, key: &[Datum]) -> Result<Option<Held>, DbError> {
        match self {
            Self::Column(target) => held(conn, target, key),
            Self::OrSet(target) => held_set(conn, target, key),
        }
    }
}
