//! Following an open migration: what others note is derived or settled until the job is stopped.

use std::time::Duration;

use super::{Run, over_budget};
use crate::engine::ready::Ready;
use crate::engine::{RunError, Stop, modes, ship};
use crate::monitor::Stage;
use crate::state::Counters;

/// How long a follower waits when nothing is noted.
const FOLLOW_IDLE: Duration = Duration::from_millis(200);

impl Run<'_, '_> {
    /// Settles what was noted between two modes; returns how many notes were taken.
    pub(super) fn settle(
        &mut self,
        follower: &mut modes::Follower,
    ) -> Result<Result<u64, Stop>, RunError> {
        let settled = follower.settle(self.job)?.map(|settling| {
            self.report.change_records_written += settling.settled.records;
            settling.notes
        });
        let counters = Counters {
            rows_passed: self.report.rows_total,
            change_records_written: self.report.change_records_written,
            ..Counters::default()
        };
        Ok(match (settled, over_budget(self.job, &counters)) {
            (Ok(_), Some(why)) if counters.change_records_written > 0 => Err(Stop::Budget(why)),
            (settled, _) => settled,
        })
    }

    /// Drains until told to stop.
    pub(super) fn follow(
        &mut self,
        prepared: &mut [Ready],
        follower: &mut modes::Follower,
    ) -> Result<Stop, RunError> {
        self.job.monitor.note("proven and open; following until stopped");
        self.job.pace.stage(Stage::Following, 0, 0);
        let mut some = true;
        loop {
            let mut notes = 0;
            ship::follow(self.job, prepared, some)?;
            for ready in prepared.iter_mut().filter(|ready| ready.is_followed()) {
                match ready.drain_batch(self.job)? {
                    Err(stop) => return Ok(stop),
                    Ok(drained) => {
                        notes += drained.notes;
                        self.report.rows_written += drained.counters.rows_written;
                        self.report.change_records_written +=
                            drained.counters.change_records_written;
                    }
                }
            }
            match self.settle(follower)? {
                Err(stop) => return Ok(stop),
                Ok(settled) => notes += settled,
            }
            some = notes > 0;
            if notes == 0 && self.job.pace.idle(&mut self.job.session, FOLLOW_IDLE)? {
                return Ok(Stop::Interrupted);
            }
        }
    }
}
