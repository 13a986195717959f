//! Proving shipped rows from the data: each is found with its value, is somebody else's, or is
//! remembered for a row that has not arrived. Never repairs anything.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement};

use crate::db::{DbError, Doing};
use crate::delta::{Keys, Rows};
use crate::layout::{ApplySql, Filter, Overwrite, Target};
use crate::write::Slice;

/// What a proof of shipped rows found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShippedProof {
    /// Rows whose cell is as it should be.
    pub right: u64,
    /// Rows whose cell others claim.
    pub user: u64,
    /// Rows that are not here and are remembered.
    pub pending: u64,
    /// Rows that are not here and not remembered: deleted.
    pub deleted: u64,
    /// Numbers of rows whose cell is ours and holds something else.
    pub unproven: Vec<usize>,
}

/// Proves shipped rows of one target through one connection.
#[derive(Debug)]
pub struct ShippedProver<'a> {
    conn: &'a Connection,
    look: String,
    is_pending: String,
}

impl<'a> ShippedProver<'a> {
    /// Proves rows of `target`, whose side tables exist.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &Target, overwrite: Overwrite) -> Self {
        let sql = ApplySql::new(target, overwrite);
        let look = sql.look(Filter { dirty: true, user: true });
        Self { conn, look, is_pending: sql.is_pending() }
    }

    /// Proves one slice, in one short snapshot.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn prove(&mut self, slice: &Slice) -> Result<ShippedProof, DbError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let proof = self.prove_in_snapshot(slice);
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        proof
    }

    fn prove_in_snapshot(&self, slice: &Slice) -> Result<ShippedProof, DbError> {
        let what = "look for shipped rows";
        let mut proof = ShippedProof::default();
        let Keys::Shipped(keys) = &slice.rows.keys else { return Ok(proof) };
        let mut look = self.conn.prepare_cached(&self.look).doing(what)?;
        for i in slice.range.clone() {
            bind_key(&mut look, &slice.rows, i).doing(what)?;
            look.raw_bind_parameter(keys.len() + 1, ToSqlOutput::Borrowed(slice.rows.value(i)))
                .doing(what)?;
            let mut found = look.raw_query();
            match found.next().doing(what)? {
                None => {
                    drop(found);
                    if self.is_pending(&slice.rows, i)? {
                        proof.pending += 1;
                    } else {
                        proof.deleted += 1;
                    }
                }
                Some(row) => {
                    let (open, claimed): (bool, bool) =
                        (row.get(0).doing(what)?, row.get(1).doing(what)?);
                    match (open, claimed) {
                        (false, _) => proof.right += 1,
                        (true, true) => proof.user += 1,
                        (true, false) => proof.unproven.push(i),
                    }
                }
            }
        }
        Ok(proof)
    }

    fn is_pending(&self, rows: &Rows, i: usize) -> Result<bool, DbError> {
        let what = "look for values whose rows had not arrived";
        let mut statement = self.conn.prepare_cached(&self.is_pending).doing(what)?;
        bind_key(&mut statement, rows, i).doing(what)?;
        let mut found = statement.raw_query();
        Ok(found.next().doing(what)?.is_some())
    }
}

fn bind_key(statement: &mut Statement<'_>, rows: &Rows, i: usize) -> rusqlite::Result<()> {
    for (k, value) in rows.key(i).enumerate() {
        statement.raw_bind_parameter(k + 1, ToSqlOutput::Borrowed(value))?;
    }
    Ok(())
}
