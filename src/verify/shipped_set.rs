//! Proving shipped sets from the data: each object holds the adds that were shipped, is this
//! replica's own affair, or is remembered until it arrives. Never repairs anything.

use rusqlite::{Connection, params_from_iter};

use super::ShippedProof;
use crate::db::{Datum, DbError, Doing};
use crate::delta::set_elements;
use crate::layout::Overwrite;
use crate::layout::or_set::{SetApplySql, SetSql, SetTarget};
use crate::scan::or_set::is_closed;
use crate::transform::dot::{Dot, DotDeriver};
use crate::write::{Difference, Slice, is_clocked, ours_of};

/// Proves shipped sets of one target through one connection.
#[derive(Debug)]
pub struct SetShippedProver<'a> {
    conn: &'a Connection,
    target: &'a SetTarget,
    overwrite: Overwrite,
    sql: SetSql,
    apply: SetApplySql,
    dots: DotDeriver,
}

impl<'a> SetShippedProver<'a> {
    /// Proves sets of `target`, whose side tables exist.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a SetTarget, overwrite: Overwrite) -> Self {
        let (sql, apply) = (SetSql::new(target), SetApplySql::new(target, None));
        Self { conn, target, overwrite, sql, apply, dots: target.dots.clone() }
    }

    /// Proves one slice, in one short snapshot.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn prove(&mut self, slice: &Slice) -> Result<ShippedProof, DbError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let mut proof = ShippedProof::default();
        let mut prove = || slice.range.clone().try_for_each(|i| self.one(slice, i, &mut proof));
        let done = prove();
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        done.map(|()| proof)
    }

    fn one(&mut self, slice: &Slice, i: usize, proof: &mut ShippedProof) -> Result<(), DbError> {
        let key: Vec<Datum> = slice.rows.key(i).map(Datum::from).collect();
        if !self.is_one(&self.apply.exists, &key)? {
            if self.is_one(&self.apply.is_pending, &key)? {
                proof.pending += 1;
            } else {
                proof.deleted += 1;
            }
        } else if self.overwrite == Overwrite::Missing {
            // Its adds are those of its own old form, or it is noted.
            proof.right += 1;
        } else if is_closed(self.conn, self.target, &self.sql, &key)? {
            proof.user += 1;
        } else {
            let ours = ours_of(self.conn, &self.sql, &mut self.dots, &key)?;
            let set = slice.rows.value(i).as_blob().ok().and_then(set_elements);
            match set {
                Some(set) if self.holds(&key, &set, &ours)? => proof.right += 1,
                _ => proof.unproven.push(i),
            }
        }
        Ok(())
    }

    /// True where the adds of ours of an object are those of `set`, but for some that others have
    /// written or deleted.
    fn holds(
        &mut self,
        key: &[Datum],
        set: &[Datum],
        ours: &[(Datum, Dot)],
    ) -> Result<bool, DbError> {
        let difference = Difference::new(&mut self.dots, ours, set);
        for (element, dot) in &difference.missing {
            if !is_clocked(self.conn, &self.sql, key, element, *dot)? {
                return Ok(false);
            }
        }
        Ok(difference.surplus.is_empty())
    }

    fn is_one(&self, sql: &str, key: &[Datum]) -> Result<bool, DbError> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.exists(params_from_iter(key)))
            .doing("look for an object")
    }
}
