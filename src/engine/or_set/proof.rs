//! Proving all objects of a set with several threads, and reconciling again what a proof finds wrong.

use std::path::Path;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::{drain_all, look_again};
use crate::db::DbError;
use crate::engine::job::Job;
use crate::engine::proof::{Detail, Findings, ROUNDS, prove_heard, reader};
use crate::engine::watch::Watch;
use crate::engine::{RunError, SetReport, Stop};
use crate::layout::or_set::SetTarget;
use crate::monitor::Stage;
use crate::scan::or_set::Bounds;
use crate::split::Splitter;
use crate::verify::or_set::{SetProver, SetRangeProof};
use crate::write::or_set::SetWriter;
use crate::write::{PreparedSet, WriteError};

/// Objects of one range to prove.
const RANGE_OBJECTS: u64 = 4096;

/// Ranges on their way to the provers.
const QUEUE: usize = 64;

/// What the provers have found together.
#[derive(Debug, Default)]
pub(in crate::engine) struct SetFindings {
    /// The sum over all ranges.
    pub found: SetRangeProof,
    /// The ranges in which something was wrong.
    pub missed: Vec<Bounds>,
}

impl From<SetFindings> for Findings {
    fn from(findings: SetFindings) -> Self {
        let set = Some(SetReport::new(&findings.found));
        Self { proof: findings.found.proof, missed: Vec::new(), set }
    }
}

/// Proves every object, with as many threads as the job may use. Ends early where the operator says so.
pub(in crate::engine) fn prove(
    job: &mut Job<'_>,
    ready: &PreparedSet,
) -> Result<Result<SetFindings, Stop>, RunError> {
    job.pace.stage(Stage::Proving, 0, ready.change.rows_total);
    let gate = std::sync::Arc::clone(&job.pace.gate);
    let noted = ready.target.is_followed();
    let (db, threads) = (job.db.clone(), job.threads());
    let look = Look { db: &db, target: &ready.target, noted, gate: &gate };
    let findings = prove_heard(job, |watch| look.prove_all(threads, None, Some(watch)))?;
    Ok(findings.ok_or(Stop::Interrupted))
}

/// What is proven, and how its readers stand back.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Look<'l> {
    /// The database.
    pub db: &'l Path,
    /// The set.
    pub target: &'l SetTarget,
    /// True while others' changes are noted.
    pub noted: bool,
    /// Held by readers while they hold a snapshot.
    pub gate: &'l RwLock<()>,
}

impl Look<'_> {
    /// Proves every object with `threads` readers. `watch` hears of it.
    pub(in crate::engine) fn prove_all(
        self,
        threads: usize,
        detail: Option<&Detail<'_>>,
        watch: Option<&Watch<'_>>,
    ) -> Result<SetFindings, RunError> {
        if threads == 1 {
            return Ok(self.prove_alone(detail, watch)?);
        }
        let findings = Mutex::new(SetFindings::default());
        let (send, tasks) = bounded::<Bounds>(QUEUE);
        std::thread::scope(|scope| {
            let splitter = scope.spawn(move || self.split_all(&send));
            let provers: Vec<_> = (0..threads)
                .map(|_| {
                    let (tasks, findings) = (tasks.clone(), &findings);
                    scope.spawn(move || self.prove_ranges(&tasks, findings, detail, watch))
                })
                .collect();
            drop(tasks);
            let panicked = |_| RunError::Panicked { doing: "proving" };
            for prover in provers {
                prover.join().map_err(panicked)??;
            }
            splitter.join().map_err(panicked)??;
            Ok::<_, RunError>(())
        })?;
        Ok(findings.into_inner())
    }

    /// As [`Self::prove_all`], on this thread and one connection.
    fn prove_alone(
        self,
        detail: Option<&Detail<'_>>,
        watch: Option<&Watch<'_>>,
    ) -> Result<SetFindings, DbError> {
        let mut conn = reader(self.db)?;
        if let Some(watch) = watch {
            watch.guard(&mut conn)?;
        }
        let mut splitter = Splitter::new(&conn, &self.target.table, RANGE_OBJECTS, None);
        let mut prover = self.prover(&conn, detail);
        let findings = Mutex::new(SetFindings::default());
        let mut after = None;
        loop {
            let range = {
                let _reading = self.gate.read();
                splitter.next_range()?
            };
            let Some(range) = range else { break };
            self.prove_range(Bounds::of(&range), &mut prover, &findings, (detail, watch))?;
            after = Some(range.through);
        }
        // Adds may lie behind the last object.
        let rest = Bounds { after, through: None };
        self.prove_range(rest, &mut prover, &findings, (detail, watch))?;
        Ok(findings.into_inner())
    }

    /// Sends ranges that cover all keys, of objects and of adds alike.
    fn split_all(self, tasks: &Sender<Bounds>) -> Result<(), DbError> {
        let conn = reader(self.db)?;
        let mut splitter = Splitter::new(&conn, &self.target.table, RANGE_OBJECTS, None);
        let mut after = None;
        loop {
            let range = {
                let _reading = self.gate.read();
                splitter.next_range()?
            };
            let Some(range) = range else { break };
            if tasks.send(Bounds::of(&range)).is_err() {
                return Ok(());
            }
            after = Some(range.through);
        }
        // Adds may lie behind the last object.
        let _ = tasks.send(Bounds { after, through: None });
        Ok(())
    }

    fn prove_ranges(
        self,
        tasks: &Receiver<Bounds>,
        findings: &Mutex<SetFindings>,
        detail: Option<&Detail<'_>>,
        watch: Option<&Watch<'_>>,
    ) -> Result<(), DbError> {
        let mut conn = reader(self.db)?;
        if let Some(watch) = watch {
            watch.guard(&mut conn)?;
        }
        let mut prover = self.prover(&conn, detail);
        for bounds in tasks {
            self.prove_range(bounds, &mut prover, findings, (detail, watch))?;
        }
        Ok(())
    }

    fn prover<'c>(self, conn: &'c Connection, detail: Option<&Detail<'c>>) -> SetProver<'c>
    where
        Self: 'c,
    {
        let prover = SetProver::new(conn, self.target, self.noted);
        match detail {
            Some(detail) => prover.with_facts(detail.leaves, detail.wanted),
            None => prover,
        }
    }

    fn prove_range(
        self,
        bounds: Bounds,
        prover: &mut SetProver<'_>,
        findings: &Mutex<SetFindings>,
        (detail, watch): (Option<&Detail<'_>>, Option<&Watch<'_>>),
    ) -> Result<(), DbError> {
        let found = {
            let _reading = self.gate.read();
            prover.prove(&bounds)?
        };
        if let Some(detail) = detail {
            (detail.sink)(&bounds.to_range(), prover.facts());
        }
        if let Some(watch) = watch {
            watch.passed(found.proof.digest.rows);
        }
        let mut findings = findings.lock();
        if found.proof.unproven > 0 {
            findings.missed.push(bounds);
        }
        findings.found.add(found);
        Ok(())
    }
}

/// Reconciles the objects that a proof found wrong, and proves again, until nothing is.
pub(in crate::engine) fn mend(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
    mut findings: SetFindings,
) -> Result<Result<SetRangeProof, Stop>, RunError> {
    for _ in 0..ROUNDS {
        if findings.missed.is_empty() {
            return Ok(Ok(findings.found));
        }
        for bounds in std::mem::take(&mut findings.missed) {
            note_all(job, &ready.target, &bounds)?;
        }
        if let Err(stop) = drain_all(job, ready)? {
            return Ok(Err(stop));
        }
        findings = match prove(job, ready)? {
            Ok(findings) => findings,
            Err(stop) => return Ok(Err(stop)),
        };
    }
    if findings.missed.is_empty() {
        return Ok(Ok(findings.found));
    }
    let proof = &findings.found.proof;
    Err(RunError::NotProven {
        table: ready.target.table.name.clone(),
        rows: proof.unproven,
        example: proof.examples.first().map(ToString::to_string).unwrap_or_default(),
        rounds: ROUNDS,
    })
}

fn note_all(job: &mut Job<'_>, target: &SetTarget, bounds: &Bounds) -> Result<(), RunError> {
    let writer = SetWriter::new(target);
    loop {
        match writer.note_all(&mut job.session, bounds) {
            Err(WriteError::SchemaChanged) => look_again(job, target)?,
            other => {
                job.pace.after_batch(other?, 0, 0);
                return Ok(());
            }
        }
    }
}
