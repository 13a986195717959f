//! One index, from the first look to its proof: looks, asks [`super::decide`], does what it says.
//! Holds no SQL, and knows no server but through [`Backend`].

use std::time::{Duration, Instant};

use super::backend::{Backend, Depth, Go, Stop, Trouble, Work};
use super::backoff::Backoff;
use super::decide::{BuildLock, Caller, Seen, Step, There, decide};
use super::pace::Pace;
use super::patience::patiently;
use super::report::{How, IndexReport};
use super::verdict::{Arrival, Cause, Verdict};
use super::wanted::Wanted;
use super::{Difference, EnsureError, EnsureOptions, Fault, Nature};
use crate::monitor::{IndexProgress, Monitor};

/// Pauses between attempts to build: what was in the way may take a while to go.
const REBUILD: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
/// How often in a row a question may fail that might be answered another time.
const QUESTIONS_MAX: u32 = 30;
/// How long the end of a cancelled build, and the removal of what it leaves, may take.
const TAKE_BACK_MAX: Duration = Duration::from_secs(5);

/// The work on one index.
pub struct Job<'a> {
    wanted: &'a Wanted,
    options: &'a EnsureOptions,
    pace: &'a Pace,
    monitor: &'a dyn Monitor,
    caller: Caller,
    /// What the last look found; for messages.
    seen: Seen,
    /// What was waited for last, so that a change is told once.
    told: String,
    /// Why the last attempt failed.
    fault: Option<Fault>,
    how: How,
    /// Questions that failed, in a row.
    unanswered: u32,
}

impl<'a> Job<'a> {
    /// Begins with nothing known.
    #[must_use]
    pub fn new(
        wanted: &'a Wanted,
        options: &'a EnsureOptions,
        pace: &'a Pace,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let caller = Caller {
            arrival: Arrival { round: None, retry: options.retry },
            definition: wanted.digest(),
            attempts: 0,
            attempts_max: options.attempts_max.max(1),
        };
        Self {
            wanted,
            options,
            pace,
            monitor,
            caller,
            seen: Seen::default(),
            told: String::new(),
            fault: None,
            how: How::Found,
            unanswered: 0,
        }
    }

    /// Works until the index is proven, or it is certain that it cannot be.
    ///
    /// # Errors
    /// Any [`EnsureError`].
    pub fn run(mut self, backend: &mut dyn Backend) -> Result<IndexReport, EnsureError> {
        let began = Instant::now();
        self.connect(backend, self.options.connect_max)?;
        self.arrive(backend)?;
        loop {
            self.check_time()?;
            let Some(seen) = self.look(backend, Depth::Light)? else { continue };
            self.seen = seen;
            match decide(&self.seen, &self.caller) {
                Step::Done => {
                    if let Some(definition) = self.prove(backend)? {
                        return Ok(self.report(definition, began.elapsed()));
                    }
                }
                Step::Refuse(problem) => return Err(self.refused(problem)),
                Step::Different(differences) => return Err(self.different(differences)),
                Step::Fail(verdict) => return Err(self.failed(*verdict)),
                Step::Wait(why) => self.wait(&why)?,
                Step::Lock => self.lock(backend)?,
                Step::Remove => self.remove(backend)?,
                Step::Build => self.build(backend)?,
                Step::GiveUp => return Err(self.give_up(backend)),
            }
        }
    }

    /// The first look says which verdict is an old one.
    fn arrive(&mut self, backend: &mut dyn Backend) -> Result<(), EnsureError> {
        loop {
            self.check_time()?;
            if let Some(seen) = self.look(backend, Depth::Whole)? {
                self.caller.arrival.round = seen.verdict.map(|verdict| verdict.round);
                return Ok(());
            }
        }
    }

    fn check_time(&self) -> Result<(), EnsureError> {
        let index = self.wanted.name.clone();
        if self.pace.is_cancelled() {
            return Err(EnsureError::Interrupted { index, state: state(&self.seen) });
        }
        if self.pace.is_over() {
            return Err(self.timeout(is_building(&self.seen), state(&self.seen)));
        }
        Ok(())
    }

    fn timeout(&self, building: bool, state: String) -> EnsureError {
        EnsureError::Timeout {
            index: self.wanted.name.clone(),
            seconds: self.pace.elapsed().as_secs_f64(),
            state,
            building,
        }
    }

    fn connect(&self, backend: &mut dyn Backend, most: Duration) -> Result<(), EnsureError> {
        match patiently(self.pace, most, self.monitor, || backend.connect()) {
            // The caller says what is known of the index as well.
            Err(EnsureError::Unreachable { .. }) if self.pace.is_cancelled() => self.check_time(),
            other => other,
        }
    }

    /// What is there now; `None` where the question has to be asked again.
    fn look(
        &mut self,
        backend: &mut dyn Backend,
        depth: Depth,
    ) -> Result<Option<Seen>, EnsureError> {
        match backend.look(depth) {
            Ok(seen) => {
                self.unanswered = 0;
                Ok(Some(seen))
            }
            Err(Trouble::Refused(error)) => Err(error),
            Err(Trouble::Fault(fault)) => self.recover(backend, fault).map(|()| None),
        }
    }

    /// After a question that failed: ready to ask again, or an error.
    fn recover(&mut self, backend: &mut dyn Backend, fault: Fault) -> Result<(), EnsureError> {
        self.unanswered += 1;
        let index = self.wanted.name.clone();
        if self.unanswered > QUESTIONS_MAX {
            return Err(EnsureError::Answer { index, fault });
        }
        match fault.nature() {
            Nature::Lost => {
                self.monitor.warn(&format!("the connection is lost: {fault}"));
                self.connect(backend, self.options.reconnect_max)?;
                self.monitor.note("connected again");
            }
            Nature::Passing | Nature::Exists => {
                self.monitor.note(&format!("index {index}: {fault}; asking again"));
                self.pace.pause(self.options.look_every);
            }
            Nature::Definition | Nature::Data => return Err(EnsureError::Answer { index, fault }),
        }
        Ok(())
    }

    /// Reads once more, with nothing remembered, what is wanted and what is there. The definition
    /// where they agree; `None` where something has moved meanwhile.
    fn prove(&mut self, backend: &mut dyn Backend) -> Result<Option<String>, EnsureError> {
        let Some(seen) = self.look(backend, Depth::Whole)? else { return Ok(None) };
        if decide(&seen, &self.caller) != Step::Done {
            return Ok(None);
        }
        if seen.verdict.is_some()
            && let Err(fault) = backend.settle(None)
        {
            self.monitor.warn(&format!("an old verdict stays written down: {fault}"));
        }
        match seen.there {
            There::Index(index) => Ok(Some(index.statement)),
            There::Nothing | There::Other(_) => Ok(None),
        }
    }

    fn report(&self, definition: String, took: Duration) -> IndexReport {
        IndexReport {
            index: self.wanted.name.clone(),
            table: self.wanted.table.clone(),
            how: self.how,
            attempts: self.caller.attempts,
            seconds: took.as_secs_f64(),
            definition,
        }
    }

    /// Somebody else is at it.
    fn wait(&mut self, why: &str) -> Result<(), EnsureError> {
        if !self.options.wait {
            let index = self.wanted.name.clone();
            return Err(EnsureError::Held { index, state: state(&self.seen) });
        }
        self.how = How::Attached;
        if self.told != why {
            self.monitor.note(&format!("index {}: {why}; waiting for it", self.wanted.name));
            why.clone_into(&mut self.told);
        }
        let waiting = || IndexProgress {
            index: self.wanted.name.clone(),
            phase: "waiting".to_owned(),
            waits: Some(why.to_owned()),
            ..IndexProgress::default()
        };
        self.monitor.index(&self.seen.progress.clone().unwrap_or_else(waiting));
        self.pace.pause(self.options.look_every);
        Ok(())
    }

    fn lock(&mut self, backend: &mut dyn Backend) -> Result<(), EnsureError> {
        match backend.lock() {
            Ok(true) => Ok(()),
            // Whoever was faster shows in the next look.
            Ok(false) => {
                self.pace.pause(self.options.look_every);
                Ok(())
            }
            Err(fault) => self.recover(backend, fault),
        }
    }

    fn remove(&mut self, backend: &mut dyn Backend) -> Result<(), EnsureError> {
        let index = &self.wanted.name;
        self.monitor.note(&format!("index {index}: removing what a failed build has left"));
        match self.work(backend, Work::Remove) {
            Ok(()) => Ok(()),
            Err(Stop::Fault(fault)) => {
                self.caller.attempts += 1;
                self.after_fault(backend, fault)
            }
            Err(Stop::Cancelled) => self.check_time(),
            Err(Stop::Left) => Err(self.timeout(false, state(&self.seen))),
        }
    }

    fn build(&mut self, backend: &mut dyn Backend) -> Result<(), EnsureError> {
        self.caller.attempts += 1;
        let (index, attempt) = (self.wanted.name.clone(), self.caller.attempts);
        self.monitor.note(&format!("index {index}: building, attempt {attempt}"));
        match self.work(backend, Work::Build) {
            Ok(()) => {
                self.how = How::Built;
                Ok(())
            }
            Err(Stop::Fault(fault)) => self.after_fault(backend, fault),
            Err(Stop::Cancelled) => {
                let state = self.take_back(backend);
                Err(EnsureError::Interrupted { index, state })
            }
            Err(Stop::Left) => {
                let progress = self.seen.progress.as_ref().map(ToString::to_string);
                let state = progress.unwrap_or_else(|| "it is being built".to_owned());
                Err(self.timeout(true, format!("{state}; the server goes on")))
            }
        }
    }

    /// Does what takes long. A signal ends it on the server too; the end of our time does not.
    fn work(&mut self, backend: &mut dyn Backend, work: Work) -> Result<(), Stop> {
        let (pace, monitor) = (self.pace, self.monitor);
        let mut last = None;
        let result = backend.work(work, &mut |progress| {
            if let Some(progress) = progress {
                monitor.index(progress);
                last = Some(progress.clone());
            }
            match (pace.is_cancelled(), pace.is_over()) {
                (true, _) => Go::Cancel,
                (_, true) => Go::Leave,
                _ => Go::On,
            }
        });
        self.seen.progress = last;
        result
    }

    /// After an attempt that failed: ready for the next one, or the end.
    fn after_fault(&mut self, backend: &mut dyn Backend, fault: Fault) -> Result<(), EnsureError> {
        let index = self.wanted.name.clone();
        self.fault = Some(fault.clone());
        match fault.nature() {
            Nature::Lost => return self.recover(backend, fault),
            Nature::Exists => {}
            Nature::Data => return Err(self.fail(backend, Cause::Data, &fault)),
            Nature::Definition => {
                self.take_back(backend);
                return Err(self.refused(fault.to_string()));
            }
            Nature::Passing => {
                self.monitor.warn(&format!(
                    "index {index}: attempt {} of {}: {fault}",
                    self.caller.attempts, self.caller.attempts_max
                ));
                self.pace.pause(REBUILD.after(self.caller.attempts));
            }
        }
        Ok(())
    }

    /// Every attempt has failed.
    fn give_up(&mut self, backend: &mut dyn Backend) -> EnsureError {
        let fault = self.fault.clone().unwrap_or_else(|| {
            Fault::local("build the index", "another session was faster each time")
        });
        self.fail(backend, Cause::Effort, &fault)
    }

    /// Writes down why, takes back what was begun, and says it. In this order others who wait find
    /// the verdict before they can get the lock.
    fn fail(&mut self, backend: &mut dyn Backend, cause: Cause, fault: &Fault) -> EnsureError {
        let pace = self.pace;
        let mut watch = |_: Option<&IndexProgress>| {
            if pace.is_cancelled() || pace.is_over() { Go::Cancel } else { Go::On }
        };
        let examples = if fault.is_duplicate() { backend.examples(&mut watch) } else { Vec::new() };
        let left = self.take_back(backend);
        let verdict = Verdict::new(self.wanted, cause, fault, examples, &left, &self.caller);
        if let Err(fault) = backend.settle(Some(&verdict)) {
            self.monitor.warn(&format!("the verdict could not be written down: {fault}"));
        }
        self.failed(verdict)
    }

    /// Removes what our build has left, within a few seconds; says what is there then.
    fn take_back(&mut self, backend: &mut dyn Backend) -> String {
        if !self.wanted.reverts {
            return "on_failure = \"keep\": what the build has left stays".to_owned();
        }
        let began = Instant::now();
        match backend.look(Depth::Light) {
            Ok(Seen { there: There::Nothing, .. }) => return "nothing is left of it".to_owned(),
            Ok(seen) => {
                let ours = Caller { attempts: 0, ..self.caller.clone() };
                let unjudged = Seen { verdict: None, ..seen };
                if decide(&unjudged, &ours) != Step::Remove {
                    return state(&unjudged);
                }
            }
            Err(_) => return "what is left of it is not known".to_owned(),
        }
        let removed = backend.work(Work::Remove, &mut |_| {
            if began.elapsed() >= TAKE_BACK_MAX { Go::Cancel } else { Go::On }
        });
        match removed {
            Ok(()) => "what it had begun was removed".to_owned(),
            Err(_) => "an INVALID index is left, which the next call removes".to_owned(),
        }
    }

    fn failed(&self, verdict: Verdict) -> EnsureError {
        let earlier = self.caller.arrival.round.as_ref() == Some(&verdict.round);
        EnsureError::Failed { index: self.wanted.name.clone(), verdict: Box::new(verdict), earlier }
    }

    fn refused(&self, problem: String) -> EnsureError {
        let (at, index) = (self.wanted.at.clone(), self.wanted.name.clone());
        EnsureError::Refused { at, index, problem }
    }

    fn different(&self, differences: Vec<String>) -> EnsureError {
        let (found, wanted) = match &self.seen.there {
            There::Index(index) => (index.statement.clone(), index.wanted.clone()),
            There::Nothing | There::Other(_) => (String::new(), String::new()),
        };
        EnsureError::Different(Box::new(Difference {
            at: self.wanted.at.clone(),
            index: self.wanted.name.clone(),
            differences,
            found,
            wanted,
            drop: crate::db::quote::ident(&self.wanted.name),
        }))
    }
}

/// Whether somebody builds.
fn is_building(seen: &Seen) -> bool {
    matches!(seen.lock, BuildLock::Theirs(_)) || seen.builder.is_some()
}

/// What was seen, for people.
#[must_use]
pub fn state(seen: &Seen) -> String {
    let there = match &seen.there {
        There::Nothing => "it is not there",
        There::Index(index) if index.whole => "it is there",
        There::Index(_) => "it is there and not valid",
        There::Other(what) => what,
    };
    let who = match (&seen.lock, &seen.builder, &seen.progress) {
        (BuildLock::Theirs(who), _, _) => format!(", {who} has the build lock"),
        (_, Some(builder), _) if builder.certain => format!(", {} builds it", builder.name),
        (_, Some(builder), _) => format!(", {} may be building it", builder.name),
        (_, None, None) => ", nobody builds it".to_owned(),
        (_, None, Some(_)) => String::new(),
    };
    // Who it is has just been said.
    let by = if who.is_empty() { None } else { Some(String::new()) };
    let progress = seen.progress.clone().map(|progress| IndexProgress {
        by: by.unwrap_or_else(|| progress.by.clone()),
        ..progress
    });
    let progress = progress.map(|progress| format!(": {progress}")).unwrap_or_default();
    format!("{there}{who}{progress}")
}
