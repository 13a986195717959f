//! Looking at the indexes of a migration without touching them.

use serde::Serialize;

use super::backend::{Backend, Depth, Trouble};
use super::decide::{BuildLock, Seen, There};
use super::job::state;
use super::pace::Pace;
use super::report::{IndexStatus, State};
use super::wanted::Wanted;
use super::{EnsureError, EnsureOptions, Target, backend, indexes, reach};
use crate::migration::Migration;
use crate::monitor::Monitor;

/// What stands where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survey {
    /// The migration.
    pub id: String,
    /// What all of its indexes together are: the first of `building`, `different`, `refused`,
    /// `failed`, `invalid`, `missing` that one of them is, else `proven`.
    pub phase: State,
    /// Where, without a password.
    pub url: String,
    /// Such as `PostgreSQL 15.18`.
    pub server: String,
    /// Each index, in the order of the file.
    pub indexes: Vec<IndexStatus>,
}

/// The order in which the state of one index decides that of all.
const WORST_FIRST: [State; 7] = [
    State::Building,
    State::Different,
    State::Refused,
    State::Failed,
    State::Invalid,
    State::Missing,
    State::Proven,
];

/// Looks at every index of a migration. Nothing is written that stays.
///
/// # Errors
/// Any [`EnsureError`] about the file, the URL, the connection or the server.
pub fn survey(
    migration: &Migration,
    target: &Target,
    options: &EnsureOptions,
    monitor: &dyn Monitor,
) -> Result<Survey, EnsureError> {
    let wanted = indexes(migration)?;
    let pace = Pace::start(options);
    let (link, server) = reach(migration, target, options, &pace, monitor)?;
    let look = |one: &Wanted| {
        let mut backend = backend(&link, &server, one);
        status(backend.as_mut(), one)
    };
    let indexes = wanted.iter().map(look).collect::<Result<Vec<_>, _>>()?;
    let is = |state: &State| indexes.iter().any(|one| one.state == *state);
    Ok(Survey {
        id: migration.id.to_string(),
        phase: WORST_FIRST.into_iter().find(is).unwrap_or(State::Proven),
        url: target.to_string(),
        server: server.to_string(),
        indexes,
    })
}

fn status(backend: &mut dyn Backend, wanted: &Wanted) -> Result<IndexStatus, EnsureError> {
    let seen = backend.connect().and_then(|()| backend.look(Depth::Whole));
    let mut status = IndexStatus {
        index: wanted.name.clone(),
        table: wanted.table.clone(),
        state: State::Missing,
        builder: None,
        progress: None,
        reason: None,
        examples: Vec::new(),
    };
    match seen {
        Ok(seen) => fill(&mut status, seen, wanted),
        Err(Trouble::Refused(EnsureError::Refused { problem, .. })) => {
            status.state = State::Refused;
            status.reason = Some(problem);
        }
        Err(Trouble::Refused(error)) => return Err(error),
        Err(Trouble::Fault(fault)) => {
            return Err(EnsureError::Answer { index: wanted.name.clone(), fault });
        }
    }
    Ok(status)
}

fn fill(status: &mut IndexStatus, seen: Seen, wanted: &Wanted) {
    let failed = seen.verdict.as_ref().filter(|verdict| verdict.definition == wanted.digest());
    let locked = matches!(seen.lock, BuildLock::Theirs(_));
    let (found, reason) = match &seen.there {
        There::Other(what) => (State::Refused, Some(what.clone())),
        There::Index(index) if !index.differences.is_empty() => {
            let what = format!("{}; found: {}", index.differences.join("; "), index.statement);
            (State::Different, Some(what))
        }
        There::Index(index) if index.whole => (State::Proven, None),
        _ if locked || seen.builder.is_some() => (State::Building, Some(state(&seen))),
        _ if failed.is_some() => (State::Failed, failed.map(|verdict| verdict.message.clone())),
        There::Index(_) => (State::Invalid, None),
        There::Nothing => (State::Missing, None),
    };
    status.state = found;
    status.reason = reason;
    status.examples = failed
        .filter(|_| found == State::Failed)
        .map(|verdict| verdict.examples.clone())
        .unwrap_or_default();
    status.builder = match (seen.lock, seen.builder) {
        (BuildLock::Theirs(who), _) => Some(who),
        (_, builder) => builder.map(|builder| builder.name),
    };
    status.progress = seen.progress;
}
