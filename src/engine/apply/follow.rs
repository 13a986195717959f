//! Following a chain that grows, and rows that arrive, until told to stop.

use std::time::Duration;

use super::ready::Ready;
use super::tally::Tally;
use super::{Apply, Replica, sets};
use crate::db::Doing;
use crate::engine::{RunError, Stop, fed};
use crate::monitor::Stage;
use crate::state::{MigrationRow, Phase};
use crate::write::{Prepared, any_dirty};

impl Apply<'_, '_> {
    /// Everything that is there has been fed: fills what has arrived since. `is_done` where the chain
    /// is whole and every row of it was found.
    pub(super) fn follow(&mut self, is_done: bool) -> Result<Option<Stop>, RunError> {
        if is_done && !self.is_idle {
            if let Some(stop) = self.fill_pending()? {
                return Ok(Some(stop));
            }
            if let Some(stop) = self.derive_noted()? {
                return Ok(Some(stop));
            }
            self.is_idle = true;
            self.mark(Phase::Applied)?;
            self.job.pace.stage(Stage::Following, 0, 0);
            self.job.monitor.note("everything that is there was applied; following until stopped");
        }
        if self.something_has_arrived()? {
            return self.fill_pending();
        }
        self.job.pace.idle(&mut self.job.session, Duration::from_millis(1))?;
        Ok(None)
    }

    /// Others have written: settles whose the cells are. A replica that derives does so by itself.
    fn something_has_arrived(&mut self) -> Result<bool, RunError> {
        let mut arrived = false;
        let others_wrote = self.others_wrote()?;
        for change in self.changes.iter_mut().filter(|change| change.is_shipped) {
            let Prepared { target, change } = match &mut change.ready {
                Ready::Column(ready) => ready,
                Ready::OrSet(set) => {
                    let conn = self.job.session.conn();
                    arrived |= others_wrote && sets::has_arrived(conn, &set.target)?;
                    continue;
                }
            };
            if self.replica == Replica::Derives || !any_dirty(self.job.session.conn(), target.n)? {
                continue;
            }
            arrived = true;
            // A stop is heard before the next batch.
            fed::settle(self.job, target, change)?;
        }
        Ok(arrived)
    }

    /// True where others have committed since this was asked last.
    fn others_wrote(&mut self) -> Result<bool, RunError> {
        let version = self
            .job
            .session
            .conn()
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .doing("look whether others have written")?;
        Ok(self.data_version.replace(version) != Some(version))
    }

    /// More of the chain has come.
    pub(super) fn resume_after_idle(&mut self) -> Result<(), RunError> {
        if std::mem::take(&mut self.is_idle) {
            self.mark(Phase::Applying)?;
        }
        Ok(())
    }

    /// What others see while the chain is followed.
    fn mark(&mut self, phase: Phase) -> Result<(), RunError> {
        if self.replica != Replica::Fed || self.reached.is_none() {
            return Ok(());
        }
        let id = self.job.id().to_owned();
        self.job
            .session
            .transact_again(|conn| Ok(MigrationRow::set_phase(conn, &id, phase, None)?))?;
        Ok(())
    }

    /// True where a job that follows was stopped after everything had been applied and found.
    pub(super) fn is_followed_to_the_end(&self, tally: &Tally) -> bool {
        self.is_idle && tally.proven() == self.report.rows
    }
}
