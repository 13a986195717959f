//! Indexes on `PostgreSQL` and `CockroachDB`, for services that migrate when they start: any number
//! of callers at once, one of them builds, all of them get the same verdict, and none says done
//! before the index is valid and is the one that the file asks for.
//!
//! [`ensure`] works until every index of a migration is proven; [`survey`] only looks. Both know
//! the server through [`backend::Backend`]: what is to be done next is decided in [`decide`],
//! without a server, from what [`postgres`] or [`cockroach`] saw. Nothing here prints.
//!
//! # What done means
//! The server's catalog says, at one moment, that the index is valid, ready and not being dropped,
//! and that its definition is what the server itself makes of what the file says. That a name
//! exists is never enough: `CREATE INDEX IF NOT EXISTS` says yes to an index that was left INVALID,
//! that is another one, or that is still being built and will be taken back.

pub mod backend;
mod backoff;
pub mod cockroach;
pub mod decide;
pub mod definition;
mod error;
mod fault;
mod job;
mod link;
mod options;
mod pace;
mod patience;
pub mod postgres;
mod report;
mod survey;
pub mod verdict;
mod verdicts;
pub mod wanted;

pub use error::{Difference, EnsureError};
pub use fault::{Fault, Nature};
pub use link::{Link, Server, Session, Target};
pub use options::EnsureOptions;
pub use report::{How, IndexReport, IndexStatus, Report, State};
pub use survey::{Survey, survey};

use backend::Backend;
use job::Job;
use pace::Pace;
use wanted::Wanted;

use crate::migration::{Change, ColumnChange, Migration, OrSetChange};
use crate::monitor::Monitor;

/// Sees to it that every index of a migration is there, valid, and as the file says: in the order
/// of the file, and no further than to the first one that is not proven.
///
/// # Errors
/// Any [`EnsureError`]; indexes before the one that it names are proven.
pub fn ensure(
    migration: &Migration,
    target: &Target,
    options: &EnsureOptions,
    monitor: &dyn Monitor,
) -> Result<Report, EnsureError> {
    let wanted = indexes(migration)?;
    let pace = Pace::start(options);
    let (link, server) = reach(migration, target, options, &pace, monitor)?;
    let mut reports = Vec::with_capacity(wanted.len());
    for one in &wanted {
        let mut backend = backend(&link, &server, one);
        reports.push(Job::new(one, options, &pace, monitor).run(backend.as_mut())?);
    }
    Ok(Report {
        migration: migration.id.to_string(),
        outcome: "complete",
        url: target.to_string(),
        server: server.to_string(),
        attached: reports.iter().any(|one| one.how == How::Attached),
        seconds: pace.elapsed().as_secs_f64(),
        indexes: reports,
    })
}

/// The indexes that a migration asks for.
fn indexes(migration: &Migration) -> Result<Vec<Wanted>, EnsureError> {
    let refused = |at: String, index: &str, problem: String| EnsureError::Refused {
        at,
        index: index.to_owned(),
        problem,
    };
    let one = |(n, change): (usize, &Change)| {
        let table = match change {
            Change::Index(index) => {
                let wanted = Wanted::of(index, migration.at(n, "name"));
                return match wanted.problem() {
                    None => Ok(wanted),
                    Some(problem) => Err(refused(wanted.at, &wanted.name, problem)),
                };
            }
            Change::Column(ColumnChange { table, .. })
            | Change::OrSet(OrSetChange { table, .. }) => table,
        };
        let problem = "its kind is not \"index\": only indexes are built on a server; columns and \
                       sets are backfilled in the SQLite files of replicas, by `dotfill run \
                       MIGRATION --db FILE`";
        Err(refused(migration.at(n, "kind"), table, problem.to_owned()))
    };
    migration.changes.iter().enumerate().map(one).collect()
}

/// Connects for the first time, and asks which server it is.
fn reach(
    migration: &Migration,
    target: &Target,
    options: &EnsureOptions,
    pace: &Pace,
    monitor: &dyn Monitor,
) -> Result<(Link, Server), EnsureError> {
    let target = target.clone().named(&session_name(migration.id.as_str()));
    let link = Link::new(&target)?;
    let session = patience::patiently(pace, options.connect_max, monitor, || Ok(link.open()?))?;
    let version: String = session
        .row("ask for the version", "SELECT version()", &[])
        .and_then(|row| link::cell(&row, 0))
        .map_err(|fault| EnsureError::Unreachable { fault, seconds: 0.0 })?;
    Ok((link, Server::parse(&version)?))
}

/// `dotfill owner-index web-3:4711`: who has a session, as the server's own views show it; at most
/// 63 bytes, of which the end says most.
fn session_name(migration: &str) -> String {
    let end = format!(" {}:{}", crate::lease::this_host(), std::process::id());
    let room = 63_usize.saturating_sub("dotfill ".len() + end.len());
    let id: String = migration.chars().take(room).collect();
    let name = format!("dotfill {id}{end}");
    name.chars().filter(char::is_ascii).take(63).collect()
}

fn backend<'a>(link: &'a Link, server: &Server, wanted: &'a Wanted) -> Box<dyn Backend + 'a> {
    match server {
        Server::Postgres { .. } => Box::new(postgres::Postgres::new(link, wanted)),
        Server::Cockroach { .. } => Box::new(cockroach::Cockroach::new(link, wanted)),
    }
}
