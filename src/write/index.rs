//! The transactions of an index's change: its row is recorded; the index comes into being together
//! with the record that we have built it; the two go together.

use rusqlite::Connection;

use super::{Committed, Session, WriteError};
use crate::db::quote::ident;
use crate::db::{Doing, Table};
use crate::layout::{Delivery, IndexTarget};
use crate::state::{self, ChangeRow, Counters, IndexRow, Phase};

/// An index that is ready to be built.
#[derive(Clone, Debug)]
pub struct PreparedIndex {
    /// What is built, with its number.
    pub target: IndexTarget,
    /// Its state.
    pub change: ChangeRow,
    /// What we have built.
    pub made: IndexRow,
}

/// Records the change, or finds it as an earlier run left it. Builds nothing.
///
/// # Errors
/// As [`Session::transact`]; nothing was changed then.
pub fn prepare_index(
    session: &mut Session<'_>,
    target: &IndexTarget,
    migration: &str,
    position: usize,
) -> Result<PreparedIndex, WriteError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let known = ChangeRow::of(session.conn(), migration)?;
    let known = known.into_iter().find(|change| change.position == position);
    let change = match known {
        Some(change) => change,
        None => session.transact_again(|conn| record(conn, target, migration, position))?.value,
    };
    let none = || IndexRow { n: change.n, name: target.name.clone(), made: false };
    let made = IndexRow::read(session.conn(), change.n)?.unwrap_or_else(none);
    let mut target = IndexTarget { n: change.n, ..target.clone() };
    // An earlier change of the file may have added columns.
    target.table = Table::read(session.conn(), &target.table.name)?;
    Ok(PreparedIndex { target, change, made })
}

fn record(
    conn: &Connection,
    target: &IndexTarget,
    migration: &str,
    position: i64,
) -> Result<ChangeRow, WriteError> {
    let n = state::next_change_number(conn)?;
    let change = ChangeRow {
        n,
        migration: migration.to_owned(),
        position,
        table: target.table.name.clone(),
        column: target.name.clone(),
        delivery: Delivery::Derive.as_str().to_owned(),
        phase: Phase::Filling,
        column_added: false,
        seeded: true,
        filled: false,
        null_clocks: false,
        checkpoint: None,
        checkpoint_schema: None,
        rows_total: 0,
        counters: Counters::default(),
    };
    change.insert(conn)?;
    IndexRow { n, name: target.name.clone(), made: false }.save(conn)?;
    let detail = format!("index {} of {} is to be built", ident(&target.name), target.table.sql());
    state::event(conn, migration, "change-opened", &detail)?;
    Ok(change)
}

/// Builds the index. Its build and the record that it is ours are one transaction: a kill at any
/// moment leaves both or neither. A signal ends the build, and leaves neither.
///
/// # Errors
/// As [`Session::transact_interruptible`]; a row whose expression fails, and two rows that a unique
/// index does not allow, are errors of `SQLite` that [`crate::db::DbError::is_row_error`] tells.
pub fn build_index(
    session: &mut Session<'_>,
    ready: &PreparedIndex,
) -> Result<Committed<PreparedIndex>, WriteError> {
    let mut after = ready.clone();
    after.change.filled = true;
    after.made.made = true;
    let what = format!("build index {}", ident(&ready.target.name));
    let create = ready.target.create();
    let done = session.transact_interruptible(|conn| {
        conn.execute_batch(&create).doing(&what)?;
        after.made.save(conn)?;
        Ok(after.change.save(conn)?)
    })?;
    session.accept_schema()?;
    Ok(done.map(|()| after))
}

/// Drops the index, where we built it and it is still the one that we built (`same`), and moves the
/// change to `phase`. Returns true where it was dropped.
///
/// # Errors
/// As [`Session::transact`].
pub fn drop_index(
    session: &mut Session<'_>,
    ready: &PreparedIndex,
    phase: Phase,
    same: impl Fn(&Connection) -> Result<bool, WriteError>,
) -> Result<bool, WriteError> {
    let mut after = ready.clone();
    after.change.phase = phase;
    after.made.made = false;
    let drop = ready.target.drop();
    let done = session.transact_again(|conn| {
        let ours = ready.made.made && same(conn)?;
        if ours {
            conn.execute_batch(&drop).doing("drop our index")?;
        }
        after.made.save(conn)?;
        after.change.save(conn)?;
        Ok(ours)
    })?;
    session.accept_schema()?;
    Ok(done.value)
}
