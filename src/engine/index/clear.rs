//! Taking an index back: dropped where we built it and it is still what we built, kept otherwise.

use rusqlite::Connection;

use crate::db::quote::ident;
use crate::engine::job::Job;
use crate::engine::or_set::Cleared;
use crate::engine::{RunError, Stop};
use crate::plan::{Found, ResolvedIndex};
use crate::state::{self, IndexRow, Phase};
use crate::write::{PreparedIndex, WriteError, drop_index};

/// The kind of the event that says what was taken back.
const REVERTED: &str = "reverted";

/// Drops the index of a migration that is rolled back, where we built it.
pub(in crate::engine) fn roll_back(
    job: &mut Job<'_>,
    ready: &mut PreparedIndex,
    cleared: &mut Cleared,
) -> Result<Option<Stop>, RunError> {
    if let Err(stop) = job.pace.before_batch(&mut job.session)? {
        return Ok(Some(stop));
    }
    let what = take_back(job, ready, Phase::RolledBack)?;
    cleared.kept.push(what);
    Ok(None)
}

/// Drops the index of a change that has failed, where we built it, and forgets the change.
pub(in crate::engine) fn revert(
    job: &mut Job<'_>,
    resolved: &ResolvedIndex,
    index: usize,
) -> Result<Option<Stop>, RunError> {
    let mut ready = super::prepare(job, resolved, index)?;
    let what = take_back(job, &mut ready, Phase::RolledBack)?;
    let id = job.id().to_owned();
    job.session.transact_again(|conn| {
        IndexRow::remove(conn, ready.change.n)?;
        ready.change.remove(conn)?;
        Ok(state::event(conn, &id, REVERTED, &what)?)
    })?;
    Ok(None)
}

/// Drops it or keeps it, and says which.
fn take_back(
    job: &mut Job<'_>,
    ready: &mut PreparedIndex,
    phase: Phase,
) -> Result<String, RunError> {
    let target = ready.target.clone();
    let same = |conn: &Connection| -> Result<bool, WriteError> {
        Ok(Found::look(conn, &target)? == Found::Same)
    };
    let dropped = drop_index(&mut job.session, ready, phase, same)?;
    let name = ident(&target.name);
    let stays = match Found::look(job.session.conn(), &target)? {
        Found::Absent => None,
        Found::Same => Some("it was there before"),
        Found::Other(_) => Some("somebody has made it anew"),
    };
    ready.change.phase = phase;
    Ok(match (dropped, stays) {
        (true, _) => format!("index {name} was dropped"),
        (false, None) => format!("index {name} is not there"),
        (false, Some(why)) => format!("index {name} stays: {why}"),
    })
}
