//! What is recorded when the chain has ended, or the job has.

use super::report::ApplyReport;
use super::{Apply, Replica};
use crate::engine::{RunError, fed};
use crate::layout::{Layout, Target};
use crate::state::{self, AppliedRow, ChangeRow, MigrationRow, Phase};
use crate::write::WriteError;

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
            for (target, change) in &done {
                let mut change = change.clone();
                change.phase = becomes.unwrap_or(change.phase);
                if becomes.is_some() {
                    change.filled = true;
                    // Of a stream it is known only now.
                    change.rows_total = change.counters.rows_passed;
                }
                change.save(conn)?;
                end_notes(conn, replica, target)?;
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

    /// All changes, those without shipped values too.
    fn changes(&self) -> Vec<(Target, ChangeRow)> {
        self.changes
            .iter()
            .map(|change| (change.ready.target.clone(), change.ready.change.clone()))
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
