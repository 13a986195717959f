//! Recording what a run has proven.

use super::Run;
use crate::db::Doing;
use crate::engine::ready::{Proven, Ready};
use crate::engine::{ChangeReport, RunError, SetReport, attest};
use crate::state::{self, MigrationRow, Phase};
use crate::verify::Proof;
use crate::write::Prepared;

impl Run<'_, '_> {
    pub(super) fn record_proof(
        &mut self,
        ready: &mut Ready,
        proven: &Proven,
        report: &mut ChangeReport,
    ) -> Result<(), RunError> {
        report.rows_proven = proven.rows();
        self.rows_proven += proven.rows();
        if let Some(digest) = proven.digest() {
            report.digest = Some(digest.to_hex());
            self.digest += digest;
        }
        let change = ready.change_mut();
        change.rows_total = proven.rows();
        change.phase = Phase::Open;
        match proven {
            Proven::OrSet(found) => {
                change.counters.rows_skipped = found.proof.skipped;
                report.set = Some(SetReport::new(found));
            }
            Proven::Index(found) => {
                report.index.get_or_insert_default().entries = found.entries;
            }
            Proven::Column(_) => {}
        }
        let change = change.clone();
        self.save(&change)?;
        let conn = self.job.session.conn();
        if let Ready::Column(Prepared { target, .. }) = ready
            && target.delivery.writes_cells()
        {
            let sql = format!("SELECT count(*) FROM {}", target.user_table());
            let users: i64 =
                conn.query_row(&sql, [], |row| row.get(0)).doing("count users' cells")?;
            self.report.rows_user_written += users.unsigned_abs();
        }
        self.report.dirty_rows += ready.notes(conn)?;
        Ok(())
    }

    /// Every change is proven: the migration is open from now on.
    pub(super) fn open(&mut self, prepared: &mut [Ready]) -> Result<(), RunError> {
        let id = self.job.id().to_owned();
        let token = self.job.session.token();
        let found = Proof {
            rows: self.rows_proven,
            rows_skipped: prepared.iter().map(|p| p.change().counters.rows_skipped).sum(),
            rows_user: self.report.rows_user_written,
            rows_pending: self.report.dirty_rows,
            digest: self.digest.to_hex(),
            ..Proof::default()
        };
        self.job.session.transact_again(|conn| {
            let proof = attest::signed(found.clone(), conn, &id, token)?;
            let text = serde_json::to_string(&proof).unwrap_or_default();
            MigrationRow::set_phase(conn, &id, Phase::Open, Some(&text))?;
            Ok(state::event(conn, &id, "proven", &text)?)
        })?;
        self.report.digest = Some(found.digest);
        Ok(())
    }
}
