//! Proving what was written, beside the writer, and counting what was found.

use std::path::Path;

use crossbeam::channel::Receiver;
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use crate::db::DbError;
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::engine::subject::Subject;
use crate::layout::Overwrite;
use crate::verify::{SetShippedProver, ShippedProof, ShippedProver};
use crate::write::Slice;

/// What proofs of batches have found so far.
#[derive(Default)]
pub(super) struct Tally {
    pub right: u64,
    pub user: u64,
    pub pending: u64,
    pub deleted: u64,
    /// Rows that were found with something else because they come again.
    pub superseded: u64,
    /// Rows to write again, by change.
    pub unproven: Vec<(usize, Slice)>,
}

impl Tally {
    /// Adds what the proof of one slice has found.
    pub(super) fn add(&mut self, change: usize, slice: &Slice, proof: &ShippedProof) {
        self.right += proof.right;
        self.user += proof.user;
        self.pending += proof.pending;
        self.deleted += proof.deleted;
        if proof.unproven.is_empty() {
            return;
        }
        self.unproven.push((change, slice.pick(&proof.unproven)));
    }

    /// Rows of which all is well.
    pub(super) fn proven(&self) -> u64 {
        self.right + self.user + self.pending + self.deleted + self.superseded
    }
}

/// Proves one slice of a change, of either kind.
pub(super) fn prove_slice(
    conn: &Connection,
    subject: &Subject,
    overwrite: Overwrite,
    slice: &Slice,
) -> Result<ShippedProof, DbError> {
    match subject {
        Subject::Column(target) => ShippedProver::new(conn, target, overwrite).prove(slice),
        Subject::OrSet(target) => SetShippedProver::new(conn, target, overwrite).prove(slice),
    }
}

/// What is proven: rows of one change.
pub(super) type Task = (usize, Vec<Slice>);

/// Proves batches until the channel ends.
pub(super) fn prove(
    db: &Path,
    targets: &[(Subject, Overwrite)],
    tasks: &Receiver<Task>,
    gate: &RwLock<()>,
    tally: &Mutex<Tally>,
) -> Result<(), RunError> {
    let conn = reader(db)?;
    for (change, slices) in tasks {
        let Some((target, overwrite)) = targets.get(change) else { continue };
        for slice in slices {
            let proof = {
                let _reading = gate.read();
                prove_slice(&conn, target, *overwrite, &slice)?
            };
            tally.lock().add(change, &slice, &proof);
        }
    }
    Ok(())
}
