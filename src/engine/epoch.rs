//! What a chain says of the epoch of its sets, and what follows for a replica that was fed by it.
//!
//! # Definitions
//! The manifest's fact `epoch`, of a migration with sets: `open` (the old form is authoritative),
//! `share` (the epoch of a share of the objects is closed), `closed`, or `compacted` (the old form is
//! being removed, or was). It is kept with the phase of a replica that was fed.

use rusqlite::Connection;

use super::RunError;
use crate::migration::{Change, Migration};
use crate::state::{MigrationRow, Mode, ModeRow};

/// The name of the fact.
pub(super) const FACT: &str = "epoch";

/// Where the sets of a chain stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainEpoch {
    Open,
    Share,
    Closed,
    Compacted,
}

impl ChainEpoch {
    const ALL: [Self; 4] = [Self::Open, Self::Share, Self::Closed, Self::Compacted];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Share => "share",
            Self::Closed => "closed",
            Self::Compacted => "compacted",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|epoch| epoch.as_str() == name)
    }

    /// What the facts of a manifest say.
    pub(super) fn of_facts(facts: &[(String, String)]) -> Option<Self> {
        facts.iter().find(|(name, _)| name == FACT).and_then(|(_, value)| Self::from_name(value))
    }

    /// What the last chain said that this replica was fed by.
    pub(super) fn of_fed(row: &MigrationRow) -> Option<Self> {
        let proof: serde_json::Value = serde_json::from_str(row.proof.as_ref()?).ok()?;
        Self::from_name(proof.get(FACT)?.as_str()?)
    }

    /// Why nothing here says what the sets should hold, though the old form is here.
    pub(super) fn why_not_derived(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Share => Some("the deltas are of an epoch that is closed for some objects"),
            Self::Closed => Some("the deltas are of a closed epoch: the old form does not lead"),
            Self::Compacted => Some("the old form is removed where the deltas were made"),
        }
    }
}

/// The fact about a migration with sets, as its manifest has it.
pub(super) fn fact(
    conn: &Connection,
    migration: &Migration,
) -> Result<Option<(&'static str, String)>, RunError> {
    if !migration.changes.iter().any(|change| matches!(change, Change::OrSet(_))) {
        return Ok(None);
    }
    let row = ModeRow::read(conn, migration.id.as_str())?;
    // A replica that was fed passes on what it was told.
    let told = MigrationRow::read(conn, migration.id.as_str())?;
    let told = told.as_ref().and_then(ChainEpoch::of_fed);
    let epoch = match row.mode {
        Mode::CompactOld => ChainEpoch::Compacted,
        Mode::ReadNewWriteNew => ChainEpoch::Closed,
        Mode::ReadNewWriteBoth if row.cohort_percent > 0 => ChainEpoch::Share,
        Mode::ReadOldWriteOld | Mode::ReadNewWriteOld | Mode::ReadNewWriteBoth => {
            told.unwrap_or(ChainEpoch::Open)
        }
    };
    Ok(Some((FACT, epoch.as_str().to_owned())))
}
