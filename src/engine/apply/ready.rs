//! A change that is ready to be fed. An index is none: it has no values.

use crate::db::Table;
use crate::engine::subject::Subject;
use crate::state::ChangeRow;
use crate::write::{Prepared, PreparedSet};

/// A change that is ready.
pub(super) enum Ready {
    Column(Prepared),
    OrSet(PreparedSet),
}

impl Ready {
    /// Its state.
    pub(super) fn change(&self) -> &ChangeRow {
        match self {
            Self::Column(ready) => &ready.change,
            Self::OrSet(ready) => &ready.change,
        }
    }

    /// Its state, to be changed.
    pub(super) fn change_mut(&mut self) -> &mut ChangeRow {
        match self {
            Self::Column(ready) => &mut ready.change,
            Self::OrSet(ready) => &mut ready.change,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Column(ready) => Subject::Column(Box::new(ready.target.clone())),
            Self::OrSet(ready) => Subject::OrSet(Box::new(ready.target.clone())),
        }
    }

    pub(super) fn table(&self) -> &Table {
        match self {
            Self::Column(ready) => &ready.target.table,
            Self::OrSet(ready) => &ready.target.table,
        }
    }
}
