//! What an operator decides of an operation in quarantine: replay it, or give it up.

use std::path::Path;

use super::admission::{Admission, AdmitLimits, Admitted, Core};
use super::decide::Consent;
use super::decision::{Decision, Reason};
use super::desk::{Desk, identity};
use super::error::AdmitError;
use super::operation::Operation;
use super::store::{self, State};
use crate::monitor::Monitor;
use crate::state::{QuarantineRow, QuarantineSource, QuarantineStatus};

/// What has become of a row of the quarantine.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It waits no more. The decisions that changed by that, its own first.
    Done(Vec<Admitted>),
    /// It waits as before: the operation is still not to be applied.
    StillRefused(Admitted),
    /// It was settled before.
    Before(QuarantineStatus),
    /// It cannot be replayed, and this is why.
    NotReplayable(&'static str),
    /// There is no such row.
    Unknown,
}

impl<'m> Admission<'m> {
    /// Opens a database for its quarantine; it may be without migrations of sets.
    ///
    /// # Errors
    /// As [`Admission::open`], but for that.
    pub fn of_quarantine(path: &Path, monitor: &'m dyn Monitor) -> Result<Self, AdmitError> {
        Self::of_any(path, AdmitLimits::default(), monitor)
    }

    /// Decides the operation of row `id` again, with the operator's consent: a write of the old form
    /// is translated, whatever `old_writes` says. Under `quarantine` it gets its migration dots;
    /// under `reject` those were given up, and it gets dots that are derived from the operation.
    ///
    /// # Errors
    /// When the database fails: nothing was changed.
    pub fn replay(&mut self, id: i64) -> Result<Settled, AdmitError> {
        self.settle_row(id, replay)
    }

    /// Gives row `id` up. An operation that was held is rejected by that.
    ///
    /// # Errors
    /// When the database fails: nothing was changed.
    pub fn give_up(&mut self, id: i64) -> Result<Settled, AdmitError> {
        self.settle_row(id, give_up)
    }

    /// Gives up to `most` buffered operations up, oldest first: they are rejected, and listed in
    /// quarantine as dropped. Returns their decisions; none when nothing is buffered any more.
    ///
    /// # Errors
    /// When the database fails: nothing was changed.
    pub fn give_up_buffered(&mut self, most: usize) -> Result<Vec<Admitted>, AdmitError> {
        self.transact(most, |core, tx| {
            let mut desk = core.desk(tx);
            for seq in store::buffered(tx)?.into_iter().take(most) {
                if let Some(operation) = store::text(tx, seq)? {
                    desk.settle(seq, &operation, &dropped())?;
                    let id = desk.refuse(&operation, operation.fingerprint(), &dropped())?;
                    QuarantineRow::settle(tx, id, QuarantineStatus::Dropped)?;
                }
            }
            Ok(desk.out)
        })
    }

    fn settle_row(
        &mut self,
        id: i64,
        settle: impl FnOnce(&mut Desk<'_>, &QuarantineRow) -> Result<Settled, AdmitError>,
    ) -> Result<Settled, AdmitError> {
        self.transact(1, |core: &Core<'m>, tx| {
            let Some(row) = QuarantineRow::read(tx, id)? else {
                return Ok(Settled::Unknown);
            };
            match row.status {
                QuarantineStatus::Waiting => settle(&mut core.desk(tx), &row),
                settled => Ok(Settled::Before(settled)),
            }
        })
    }
}

fn replay(desk: &mut Desk<'_>, row: &QuarantineRow) -> Result<Settled, AdmitError> {
    if row.source == QuarantineSource::Write {
        return Ok(Settled::NotReplayable("it is a write, not an operation"));
    }
    let Some((seq, operation)) = operation(desk, row)? else {
        return Ok(Settled::NotReplayable("its id belongs to another operation: drop it"));
    };
    let decision = desk.decide(&operation, Consent::Operator)?;
    match decision {
        Decision::Apply { .. } | Decision::Translate { .. } => {
            QuarantineRow::settle(desk.conn, row.id, QuarantineStatus::Replayed)?;
            finish(desk, seq, &operation, &decision)
        }
        Decision::Buffer { .. } | Decision::Reject(_) => Ok(Settled::StillRefused(Admitted {
            op_id: operation.op_id,
            decision: decision.to_json(),
            readmitted: None,
        })),
    }
}

fn give_up(desk: &mut Desk<'_>, row: &QuarantineRow) -> Result<Settled, AdmitError> {
    QuarantineRow::settle(desk.conn, row.id, QuarantineStatus::Dropped)?;
    if row.source == QuarantineSource::Write {
        return Ok(Settled::Done(Vec::new()));
    }
    let Some((seq, operation)) = operation(desk, row)? else {
        return Ok(Settled::Done(Vec::new()));
    };
    let known = store::find(desk.conn, &operation.op_id)?;
    if known.is_none_or(|known| known.state != State::Held) {
        return Ok(Settled::Done(Vec::new()));
    }
    finish(desk, seq, &operation, &dropped())
}

fn dropped() -> Decision {
    Decision::reject(
        Reason::Dropped,
        "an operator gave it up",
        "upgrade the client that wrote it, and resync: `dotfill export --snapshot` writes from what",
    )
}

/// Keeps the new decision, and releases what waited for it.
fn finish(
    desk: &mut Desk<'_>,
    seq: i64,
    operation: &Operation,
    decision: &Decision,
) -> Result<Settled, AdmitError> {
    desk.settle(seq, operation, decision)?;
    desk.release(operation, State::Decided)?;
    Ok(Settled::Done(std::mem::take(&mut desk.out)))
}

/// The operation of a row, and its number; `None` where its id is that of another.
fn operation(desk: &Desk<'_>, row: &QuarantineRow) -> Result<Option<(i64, Operation)>, AdmitError> {
    let operation = Operation::from_json(row.detail["operation"].clone()).map_err(|error| {
        let (table, problem) = ("_dotfill_quarantine", error.to_string());
        AdmitError::Damaged { table, row: row.id, problem }
    })?;
    let known = store::find(desk.conn, &operation.op_id)?;
    let same =
        known.filter(|_| row.identity == identity(&operation.op_id, operation.fingerprint()));
    let same = same.filter(|known| known.fingerprint == operation.fingerprint());
    Ok(same.map(|known| (known.seq, operation)))
}
