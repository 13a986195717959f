//! What is recorded when the chain has ended, or the job has.

use super::ready::Ready;
use super::report::ApplyReport;
use super::{Apply, Replica, sets};
use crate::engine::drain::drain_all;
use crate::engine::fed::is_noted;
use crate::engine::proof::reader;
use crate::engine::subject::Subject;
use crate::engine::{RunError, Stop, fed, or_set};
use crate::layout::{Delivery, Layout, Target};
use crate::plan::resolve;
use crate::state::{self, AppliedRow, ChangeRow, MigrationRow, Phase};
use crate::write::{WriteError, any_dirty};

impl Apply<'_, '_> {
    /// Everything was written and found: the replica has what the chain ships.
    pub(super) fn complete(mut self) -> Result<ApplyReport, RunError> {
        let id = self.job.id().to_owned();
        let text = serde_json::to_string(&self.report.proof()).unwrap_or_default();
        let reached = self.reached.clone().map(|row| AppliedRow { whole: true, ..row });
        // One of some rows does not make a replica that lacks others.
        let becomes = (self.replica == Replica::Fed && reached.is_some()).then_some(Phase::Applied);
        let done = self.changes();
        let replica = self.replica;
        self.job.session.transact_again(|conn| {
            for (subject, change) in &done {
                let mut change = change.clone();
                change.phase = becomes.unwrap_or(change.phase);
                if becomes.is_some() {
                    change.filled = true;
                    // Of a stream it is known only now.
                    change.rows_total = change.counters.rows_passed;
                }
                change.save(conn)?;
                match subject {
                    Subject::Column(target) => end_notes(conn, replica, target)?,
                    Subject::OrSet(target) => sets::end_notes(conn, target)?,
                }
            }
            if let Some(reached) = &reached {
                reached.save(conn)?;
            }
            if let Some(phase) = becomes {
                MigrationRow::set_phase(conn, &id, phase, Some(&text))?;
            }
            Ok(state::event(conn, &id, "applied", &text)?)
        })?;
        self.job.session.accept_schema()?;
        self.report.complete();
        Ok(self.report)
    }

    /// On a replica that derives, derives again what is noted: the rows among the shipped ones that
    /// hold another value, and others.
    pub(super) fn derive_noted(&mut self) -> Result<Option<Stop>, RunError> {
        if self.replica != Replica::Derives {
            return Ok(None);
        }
        for (index, column) in self.changes.iter_mut().enumerate().filter(|(_, c)| c.is_shipped) {
            if !is_noted(self.job.session.conn(), column.ready.change().n)?
                || !any_dirty(self.job.session.conn(), column.ready.change().n)?
            {
                continue;
            }
            let change = match &mut column.ready {
                Ready::Column(ready) => &mut ready.change,
                Ready::OrSet(set) => {
                    let before = set.change.counters.rows_written;
                    let left = or_set::drain_all(self.job, set)?;
                    self.report.rows_derived += set.change.counters.rows_written - before;
                    match left {
                        Ok(_) => continue,
                        Err(stop) => return Ok(Some(stop)),
                    }
                }
            };
            let mut conn = reader(&self.job.db)?;
            let mut target = resolve(&mut conn, self.job.migration, index)?.target;
            target.n = change.n;
            target.delivery = Delivery::from_name(&change.delivery).unwrap_or(target.delivery);
            let before = change.counters.rows_written;
            let left = drain_all(self.job, &target, change)?;
            self.report.rows_derived += change.counters.rows_written - before;
            if let Err(stop) = left {
                return Ok(Some(stop));
            }
        }
        Ok(None)
    }

    /// All changes, those without shipped values too.
    fn changes(&self) -> Vec<(Subject, ChangeRow)> {
        self.changes
            .iter()
            .map(|change| (change.ready.subject(), change.ready.change().clone()))
            .collect()
    }
}

/// Nobody notes any longer what others write, where something else tells whose a cell is, or
/// nothing has to.
fn end_notes(
    conn: &rusqlite::Connection,
    replica: Replica,
    target: &Target,
) -> Result<(), WriteError> {
    let ends = match replica {
        Replica::Derives => false,
        Replica::Closed => true,
        Replica::Fed => matches!(target.layout, Layout::CrSqlite(_)),
    };
    if ends { fed::end_notes(conn, target) } else { Ok(()) }
}
