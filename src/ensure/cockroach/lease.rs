//! The build lock where there are no advisory locks: a row of `_dotfill_lease` with an owner and a
//! counter that the owner moves. Clocks are never compared: who waits takes it over when the
//! counter has not moved for a while by its own clock.

use std::time::{Duration, Instant};

use crate::db::quote;
use crate::ensure::Fault;
use crate::ensure::link::{Session, cell};

/// How long a counter may stand still before another caller takes over.
pub const PERIOD: Duration = Duration::from_secs(15);

/// The lease of one index, as one caller sees it.
pub struct Lease {
    table: String,
    index: String,
    owner: String,
    period: Duration,
    /// The owner and the counter that were seen, and since when.
    seen: Option<(String, i64, Instant)>,
    beaten: Option<Instant>,
}

impl Lease {
    /// Of an index whose table is in `schema`; `owner` names the caller, and nobody else. The
    /// counter is moved five times a `period`, which is [`PERIOD`] for everybody.
    #[must_use]
    pub fn new(schema: &str, index: &str, owner: String, period: Duration) -> Self {
        let table = format!("{}.\"_dotfill_lease\"", quote::ident(schema));
        Self { table, index: index.to_owned(), owner, period, seen: None, beaten: None }
    }

    /// Who has it: nobody, we (`Some(None)`), or another, by name. One that has not moved for the
    /// period counts as nobody.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn holder(&mut self, session: &Session) -> Result<Option<Option<String>>, Fault> {
        let there =
            session.row("look for leases", "SELECT to_regclass($1) IS NOT NULL", &[&self.table])?;
        if !cell::<bool>(&there, 0)? {
            return Ok(None);
        }
        let sql =
            format!("SELECT coalesce(owner, ''), beat FROM {} WHERE index_name = $1", self.table);
        let rows = session.rows("look who has the lease", &sql, &[&self.index])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (owner, beat): (String, i64) = (cell(row, 0)?, cell(row, 1)?);
        if owner.is_empty() {
            self.seen = None;
            return Ok(None);
        }
        if owner == self.owner {
            self.beat(session)?;
            return Ok(Some(None));
        }
        let stands = self.seen.as_ref().filter(|(o, b, _)| (o, b) == (&owner, &beat));
        let since = stands.map_or_else(Instant::now, |(_, _, since)| *since);
        self.seen = Some((owner.clone(), beat, since));
        Ok(if since.elapsed() >= self.period { None } else { Some(Some(owner)) })
    }

    /// Takes it, if it is free, or stands still as it was seen last. False where somebody was
    /// faster.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn take(&mut self, session: &Session) -> Result<bool, Fault> {
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (
               index_name text PRIMARY KEY, owner text, beat bigint NOT NULL)",
            self.table
        );
        let take = format!(
            "INSERT INTO {} AS l (index_name, owner, beat) VALUES ($1, $2, 1)
             ON CONFLICT (index_name) DO UPDATE SET owner = $2, beat = l.beat + 1
             WHERE l.owner IS NULL OR (l.owner = $3 AND l.beat = $4)",
            self.table
        );
        let (owner, beat) = match &self.seen {
            Some((owner, beat, since)) if since.elapsed() >= self.period => (owner.as_str(), *beat),
            _ => ("", 0),
        };
        session.run("make the table of leases", &create, &[])?;
        let taken =
            session.run("take the lease", &take, &[&self.index, &self.owner, &owner, &beat])?;
        self.beaten = Some(Instant::now());
        Ok(taken == 1)
    }

    /// Moves the counter, where it is ours and it is time.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn beat(&mut self, session: &Session) -> Result<(), Fault> {
        if self.beaten.is_some_and(|at| at.elapsed() < self.period / 5) {
            return Ok(());
        }
        self.beaten = Some(Instant::now());
        let sql = format!(
            "UPDATE {} SET beat = beat + 1 WHERE index_name = $1 AND owner = $2",
            self.table
        );
        session.run("keep the lease", &sql, &[&self.index, &self.owner]).map(drop)
    }

    /// Gives it back, if it is ours; who waits need not wait for the period then.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn release(&self, session: &Session) -> Result<(), Fault> {
        let sql =
            format!("UPDATE {} SET owner = NULL WHERE index_name = $1 AND owner = $2", self.table);
        session.run("give the lease back", &sql, &[&self.index, &self.owner]).map(drop)
    }
}
