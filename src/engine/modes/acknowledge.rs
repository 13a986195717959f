//! `ack`: writes down where this replica stands, for the gates of the others. Only reads the
//! database, and takes no lease: it may run beside `run --follow`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::{begun, facts};
use crate::db::{self, Access, Doing};
use crate::engine::{RunError, clear};
use crate::layout::crsqlite;
use crate::migration::{Change, Migration};
use crate::phase::ack::{Ack, Readiness};
use crate::phase::fleet::Fleet;
use crate::phase::set::check_has_sets;
use crate::phase::version::Version;
use crate::plan::resolve_set;
use crate::state::{ModeRow, Phase};

/// What `ack` is asked for.
#[derive(Clone, Debug)]
pub struct AckOptions {
    /// The folder of the fleet.
    pub fleet: PathBuf,
    /// How the replica is called; its site id where it is one of cr-sqlite.
    pub replica: Option<String>,
    /// The oldest client seen there.
    pub oldest_client: Option<String>,
    /// What is said of the time after the old form.
    pub readiness: Readiness,
}

/// What `ack` wrote.
#[derive(Clone, Debug, Serialize)]
pub struct AckReport {
    /// Where.
    pub path: PathBuf,
    /// True where the fleet's list requires this replica.
    pub required: bool,
    /// The acknowledgement.
    pub ack: Ack,
}

/// Writes the acknowledgement of this replica.
///
/// # Errors
/// [`RunError`]; nothing was written then.
pub fn acknowledge(
    db: &Path,
    migration: &Migration,
    asked: &AckOptions,
    cancel: &AtomicBool,
) -> Result<AckReport, RunError> {
    check_has_sets(migration)?;
    clear::check_known(db, migration)?;
    let id = migration.id.as_str();
    if let Some(version) = &asked.oldest_client {
        Version::parse(version)
            .map_err(|problem| RunError::refused(id, problem, "correct --oldest-client"))?;
    }
    let fleet = Fleet::load(&asked.fleet)?;
    let conn = db::open(db, Access::Read)?;
    crsqlite::register(&conn)?;
    let mut targets = Vec::new();
    for (position, change) in migration.changes.iter().enumerate() {
        if let Change::OrSet(set) = change {
            targets.push((position, resolve_set(&conn, migration, position, set)?.target));
        }
    }
    let sets = begun(&conn, migration, targets)?;
    let mode = ModeRow::read(&conn, id)?;
    let cohort = mode.mode == crate::state::Mode::ReadNewWriteBoth && mode.cohort_percent > 0;
    let Ok(agreement) = facts::compare(db, &sets, cohort, cancel)? else {
        return Err(RunError::refused(id, "it was interrupted", "repeat `dotfill ack`"));
    };
    let facts = facts::facts(&conn, db, migration, &sets, agreement)?;
    let Some(replica) = asked.replica.clone().or(facts.replica) else {
        return Err(RunError::refused(
            id,
            "a plain database has no id of its own",
            "name this replica with --replica ID, as the fleet's list does",
        ));
    };
    let at = conn
        .query_row("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", [], |row| row.get(0))
        .doing("read the time")?;
    let ack = Ack {
        format: Ack::FORMAT,
        replica,
        migration: id.to_owned(),
        migration_digest: facts.migration_digest,
        mode: mode.mode,
        proven: facts.phase == Phase::Open && facts.waiting == 0,
        objects: facts.agreement.objects,
        sources_digest: facts.agreement.sources_digest(),
        view_digest: facts.agreement.view_digest(),
        disagreements: facts.agreement.disagreements,
        undecided: facts.pending + facts.quarantined,
        oldest_client: asked.oldest_client.clone(),
        readiness: asked.readiness,
        dotfill_version: env!("CARGO_PKG_VERSION").to_owned(),
        at,
    };
    let required = fleet.lists(&ack.replica);
    let path = ack.write(&asked.fleet)?;
    Ok(AckReport { path, required, ack })
}
