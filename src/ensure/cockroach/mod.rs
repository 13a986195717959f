//! `CockroachDB`: an index is built by a job of the server. Written from its documentation and
//! tested without a server, but for the lease, which is ordinary SQL.
//!
//! An index counts as there when `crdb_internal.table_indexes` lists it, which it does when its
//! backfill has ended; before that, and while a failed one is taken back, a job of `SHOW JOBS`
//! names it. So there are no invalid indexes to remove: a job that fails takes back what it has
//! done itself. A job belongs to the server: it goes on when our process or connection ends.
//!
//! `pg_try_advisory_lock` is there and locks nothing; who builds is decided by a row with a
//! heartbeat ([`lease`]). Should two build all the same, the server refuses the second one the
//! name, and that one looks again.

mod catalog;
mod jobs;
pub mod lease;

use std::time::{Duration, Instant};

use crate::ensure::Fault;
use crate::ensure::backend::{Backend, Depth, Go, Stop, Trouble, Watch, Work};
use crate::ensure::decide::{BuildLock, IndexState, Seen, There};
use crate::ensure::definition::{Definition, differences};
use crate::ensure::link::{Link, Session};
use crate::ensure::postgres::examples;
use crate::ensure::verdict::{Example, Verdict};
use crate::ensure::verdicts;
use crate::ensure::wanted::Wanted;

use catalog::Table;
use jobs::{Course, Job};
use lease::Lease;

/// Time between two looks at the end of a statement.
const END_EVERY: Duration = Duration::from_millis(20);
/// Time between two looks at the jobs, which the server reads from a table.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a cancelled statement may take to end.
const CANCEL_MAX: Duration = Duration::from_secs(10);

/// One index on one `CockroachDB`.
pub struct Cockroach<'a> {
    link: &'a Link,
    wanted: &'a Wanted,
    known: Option<Known>,
}

/// What a connection knows.
struct Known {
    session: Session,
    table: Table,
    definition: Option<Definition>,
    lease: Lease,
}

impl<'a> Cockroach<'a> {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(link: &'a Link, wanted: &'a Wanted) -> Self {
        Self { link, wanted, known: None }
    }

    fn known(&mut self) -> Result<&mut Known, Fault> {
        self.known.as_mut().ok_or_else(|| Fault::local("ask the server", "not connected"))
    }
}

/// Who waits need not wait until the lease has stood still for its period.
impl Drop for Cockroach<'_> {
    fn drop(&mut self) {
        if let Some(known) = &self.known {
            // Without this, they do.
            let _ = known.lease.release(&known.session);
        }
    }
}

impl Backend for Cockroach<'_> {
    fn connect(&mut self) -> Result<(), Trouble> {
        self.known = None;
        let session = self.link.open()?;
        limit(&session, "10s")?;
        let table = Table::find(&session, self.wanted)?;
        let owner = crate::lease::Owner::this();
        let name = format!("{}:{} {:?}", owner.host, owner.pid, owner.started.unwrap_or_default());
        let lease = Lease::new(&table.schema, &self.wanted.name, name, lease::PERIOD);
        self.known = Some(Known { session, table, definition: None, lease });
        Ok(())
    }

    fn look(&mut self, depth: Depth) -> Result<Seen, Trouble> {
        let wanted = self.wanted;
        let known = self.known()?;
        if depth == Depth::Whole || known.definition.is_none() {
            known.table = Table::find(&known.session, wanted)?;
            known.definition = Some(catalog::wanted(&known.session, &known.table, wanted)?);
        }
        let (session, table) = (&known.session, &known.table);
        let whole = catalog::is_whole(session, table, &wanted.name)?;
        let place = (table.schema.as_str(), table.name.as_str());
        let found = if whole { catalog::definition(session, place, &wanted.name)? } else { None };
        let job = if whole { None } else { job(session, table, &wanted.name)? };
        let there = match (found, &job) {
            (Some(found), _) => There::Index(IndexState {
                whole,
                differences: differences(known.definition.as_ref().unwrap_or(&found), &found),
                wanted: known
                    .definition
                    .as_ref()
                    .map(|one| one.statement.clone())
                    .unwrap_or_default(),
                statement: found.statement,
            }),
            (None, Some(job)) if job.course() == Course::Stuck => {
                There::Other(format!("job {} failed and could not be taken back", job.id))
            }
            (None, _) => There::Nothing,
        };
        let lock = match known.lease.holder(session)? {
            None => BuildLock::Free,
            Some(None) => BuildLock::Ours,
            Some(Some(who)) => BuildLock::Theirs(who),
        };
        Ok(Seen {
            there,
            builder: job.as_ref().and_then(Job::builder),
            lock,
            verdict: verdicts::read(session, &table.schema, &wanted.name)?,
            progress: job.map(|job| job.progress(&wanted.name)),
        })
    }

    fn lock(&mut self) -> Result<bool, Fault> {
        let known = self.known()?;
        known.lease.take(&known.session)
    }

    fn work(&mut self, work: Work, watch: Watch<'_>) -> Result<(), Stop> {
        let (link, wanted) = (self.link, self.wanted);
        if work == Work::Remove {
            return Err(Fault::local("remove the index", "jobs take back their own").into());
        }
        let known = self.known()?;
        let looker = link.open()?;
        limit(&known.session, "0")?;
        let statement = wanted.create("", &known.table.quoted());
        let started = known.session.start("build the index", statement);
        let mut last_look: Option<Instant> = None;
        while !started.is_over() {
            let mut progress = None;
            if last_look.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                last_look = Some(Instant::now());
                known.lease.beat(&looker)?;
                let job = job(&looker, &known.table, &wanted.name)?;
                progress = job.map(|job| job.progress(&wanted.name));
            }
            match watch(progress.as_ref()) {
                Go::On => std::thread::sleep(END_EVERY),
                Go::Leave => return Err(Stop::Left),
                Go::Cancel => {
                    cancel(&looker, &known.table, &wanted.name)?;
                    return started.end(CANCEL_MAX).map(drop).map_err(|_| Stop::Cancelled);
                }
            }
        }
        started.end(CANCEL_MAX)?;
        Ok(())
    }

    fn examples(&mut self, watch: Watch<'_>) -> Vec<Example> {
        let wanted = self.wanted;
        self.known().map_or_else(
            |_| Vec::new(),
            |known| examples(&known.session, wanted, &known.table.quoted(), watch),
        )
    }

    fn settle(&mut self, verdict: Option<&Verdict>) -> Result<(), Fault> {
        let index = &self.wanted.name;
        let known = self.known()?;
        let (session, schema) = (&known.session, &known.table.schema);
        match verdict {
            Some(verdict) => verdicts::write(session, schema, index, verdict),
            None => verdicts::remove(session, schema, index),
        }
    }
}

/// How long the server may take for a statement: a build takes as long as it takes.
fn limit(session: &Session, time: &str) -> Result<(), Fault> {
    let sql = format!("SET statement_timeout = '{time}'");
    session.run("set statement_timeout", &sql, &[]).map(drop)
}

fn job(session: &Session, table: &Table, index: &str) -> Result<Option<Job>, Fault> {
    let jobs = catalog::jobs(session)?;
    Ok(jobs.into_iter().find(|job| job.builds(index, &table.name)))
}

/// Ends the job: the statement that waits for it ends with it.
fn cancel(session: &Session, table: &Table, index: &str) -> Result<(), Fault> {
    match job(session, table, index)? {
        Some(job) => {
            let sql = format!("CANCEL JOB {}", job.id);
            session.run("cancel the job", &sql, &[]).map(drop)
        }
        None => Ok(()),
    }
}
