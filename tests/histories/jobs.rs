//! What dotfill and its operators do: runs, steps forward and back, decisions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dotfill::engine::{self, AckOptions, HeldSettled, HeldVerdict, Outcome};
use dotfill::monitor::{Monitor, Quiet};
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;
use rusqlite::Connection;

use super::form::{ELEMENTS, dots, key, members, object, text};
use super::model::{Add, Dot};
use super::seen::{read_adds, read_clocked, source_of};
use super::step::{OLD_CLIENT, mode_before, next_mode};
use super::story::{
    COMMANDS, ENFORCEMENT, Failure, ROLLBACK, Story, Told, asked, command, hold, options,
};
use super::watch::cancel_after;
use super::world::World;

impl<W: World> Story<'_, W> {
    pub fn run(&mut self, at: usize, commits: Option<u64>) -> Told {
        let mut options = options();
        options.cancel = Arc::new(AtomicBool::new(false));
        // Which of its notes a merge leaves behind is cr-sqlite's business: their prefix is unknown.
        let commits = commits.filter(|_| !W::CLOCKS || self.models[at].notes() == 0);
        let interrupt = commits.map(|commits| cancel_after(commits, &options.cancel));
        let monitor: &dyn Monitor = interrupt.as_ref().map_or(&Quiet, |monitor| monitor);
        let report = engine::run(self.world.path(at), self.migration, &options, monitor);
        let report = report.map_err(|error| command(format!("run {at}: {error}")))?;
        match report.outcome {
            Outcome::Complete => {
                let before = self.models[at].notes() as u64;
                self.models[at].run(&self.rules);
                self.ledger.decided += before;
                self.check_new_form(at)
            }
            Outcome::Interrupted => {
                self.interrupted(at);
                Ok(())
            }
            other => Err(command(format!("run {at}: {other:?}, {:?}", report.reason))),
        }
    }

    /// What an interrupted run has done is read from the database.
    pub fn interrupted(&mut self, at: usize) {
        let conn = self.world.app(at);
        let there = |name: &str| {
            let sql = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
            conn.prepare_cached(sql).unwrap().exists([name]).unwrap()
        };
        let count = |table: &str| -> usize {
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        let model = &mut self.models[at];
        if !there("project_tags_visible") {
            return;
        }
        model.begun = true;
        // One that is filled and not proven goes nowhere.
        model.filled = count("_dotfill_migrations WHERE phase = 'open'") > 0;
        if there("_dotfill_oldwrite_1") {
            let left = count("_dotfill_oldwrite_1");
            let done = model.notes().saturating_sub(left);
            model.settle_first(&self.rules, done);
        }
        if there("_dotfill_dirty_1") {
            let mut statement = conn.prepare("SELECT k1 FROM _dotfill_dirty_1").unwrap();
            let keys = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            let dirty = keys.map(|key| object(&key.unwrap())).collect();
            let adds = read_adds(conn);
            let clocked = if W::CLOCKS { read_clocked(conn) } else { BTreeSet::new() };
            let cohort = if there("_dotfill_cohort_1") {
                let mut statement = conn.prepare("SELECT k1 FROM _dotfill_cohort_1").unwrap();
                let keys = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
                keys.map(|key| object(&key.unwrap())).collect()
            } else {
                BTreeSet::new()
            };
            model.interrupted(adds, &clocked, dirty, cohort);
        }
    }

    pub fn advance(&mut self, at: usize, percent: Option<u8>, after_sync: bool) -> Told {
        let Some(to) = next_mode(self.models[at].mode).filter(|_| self.models[at].filled) else {
            return Ok(());
        };
        if after_sync {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
                self.send(from, to)?;
            }
            if W::CLOCKS {
                (0..OLD_CLIENT).try_for_each(|at| self.run(at, None))?;
            }
        }
        let percent = percent
            .filter(|_| to == Mode::ReadNewWriteNew)
            .map(|percent| percent.max(self.models[at].percent).min(100));
        let fleet = self.world.fleet().map(ToOwned::to_owned);
        if let Some(fleet) = &fleet {
            (0..OLD_CLIENT).for_each(|at| self.acknowledge(fleet, at, None, Readiness::default()));
        }
        let asked = asked(to, fleet, percent);
        let path = self.world.path(at);
        let report = engine::advance(path, self.migration, &asked, &options(), &Quiet)
            .map_err(|error| command(format!("advance {at} to {to}: {error}")))?;
        let model = &mut self.models[at];
        self.ledger.decided += model.notes() as u64;
        model.drain(&self.rules);
        model.settle(&self.rules);
        let agrees = model.agrees(&self.rules, false);
        let decided = to != Mode::ReadNewWriteNew || !model.undecided();
        let ready = agrees && decided;
        hold(ready || !report.gate, ENFORCEMENT, || {
            format!("{at} went to {to}: agrees {agrees}, decided {decided}")
        })?;
        // Elsewhere others have to agree, too.
        let may_refuse = asked.fleet.is_some() || !self.exact;
        hold(!ready || report.gate || may_refuse, COMMANDS, || {
            format!("{at} did not go to {to}: {:#?}", report.conditions)
        })?;
        if report.gate {
            model.advance(&self.rules, to, percent);
            self.ledger.closed += u64::from(to == Mode::ReadNewWriteNew);
        }
        self.check_mode(at)?;
        self.check_new_form(at)
    }

    pub fn acknowledge(
        &self,
        fleet: &Path,
        at: usize,
        replica: Option<String>,
        readiness: Readiness,
    ) {
        let asked = AckOptions {
            fleet: fleet.to_owned(),
            replica,
            oldest_client: Some("4.8.0".to_owned()),
            readiness,
        };
        // One that has not begun cannot acknowledge.
        let cancel = AtomicBool::new(false);
        let _ = engine::acknowledge(self.world.path(at), self.migration, &asked, &cancel);
    }

    pub fn back(&mut self, at: usize, steps: usize) -> Told {
        let model = &self.models[at];
        let (from, to) = (model.mode, mode_before(model.mode, steps));
        if !model.filled || to == from {
            return Ok(());
        }
        let path = self.world.path(at);
        let report = engine::roll_back_to(path, self.migration, to, &options(), &Quiet)
            .map_err(|error| command(format!("rollback {at} to {to}: {error}")))?;
        let model = &mut self.models[at];
        self.ledger.decided += model.notes() as u64;
        model.drain(&self.rules);
        model.settle(&self.rules);
        let agrees = model.agrees(&self.rules, true);
        let decided = from != Mode::ReadNewWriteNew || !model.undecided();
        hold(report.safe == (agrees && decided), ROLLBACK, || {
            format!(
                "{at} from {from} to {to}: agrees {agrees}, decided {decided}: {:#?}",
                report.conditions
            )
        })?;
        if report.safe {
            model.back(to);
            for object in model.old.texts.keys() {
                let (old, new) = (model.old_set(&self.rules, *object), model.new_set(*object));
                hold(old == Some(new), ROLLBACK, || {
                    format!("{at} went back, and {} is {new:b}, not {old:?}", key(*object))
                })?;
            }
        }
        self.check_mode(at)?;
        self.check_new_form(at)
    }

    pub fn check_mode(&self, at: usize) -> Told {
        let sql = "SELECT mode, cohort_percent FROM _dotfill_modes";
        let row: Option<(String, u8)> = self
            .world
            .app(at)
            .prepare(sql)
            .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
            .ok();
        let (mode, percent) = row.unwrap_or((Mode::default().to_string(), 0));
        let want = (self.models[at].mode.to_string(), self.models[at].percent);
        hold((&mode, percent) == (&want.0, want.1), COMMANDS, || {
            format!("{at} is in {mode} ({percent} %), not in {} ({} %)", want.0, want.1)
        })
    }

    /// An operator decides the n-th write that waits; false where none does.
    pub fn decide(&mut self, at: usize, nth: usize, replay: bool) -> Result<bool, Failure> {
        let waiting = if self.models[at].begun { waiting(self.world.app(at)) } else { Vec::new() };
        if waiting.is_empty() {
            return Ok(false);
        }
        let (id, identity, object, source) = &waiting[nth % waiting.len()];
        let source = source_of(self.rules.form, source);
        let verdict = if replay { HeldVerdict::Replay } else { HeldVerdict::Drop };
        let settled = engine::settle_held(self.world.path(at), *id, verdict)
            .map_err(|error| command(format!("{verdict:?} {id} on {at}: {error}")))?;
        hold(matches!(settled, HeldSettled::Done { .. }), COMMANDS, || {
            format!("{verdict:?} {id} on {at}: {settled:?}")
        })?;
        let place =
            self.models[at].held.iter().position(|h| h.object == *object && h.source == source);
        let Some(place) = place else { return Ok(true) };
        let (site, mut deriver) = (self.world.site(at), dots());
        let (key, cause) = (key(*object), format!("quarantine {site} {identity}"));
        let mut fresh = |element: usize| {
            deriver.fresh_dot(&[text(&key)], text(ELEMENTS[element]), text(&cause)).0
        };
        let dots: [Dot; ELEMENTS.len()] = std::array::from_fn(&mut fresh);
        let new = self.models[at].held[place].new;
        for element in members(new) {
            match (self.rules.policy, replay) {
                ("reject", true) => {
                    let add = Add { object: *object, element, dot: dots[element] };
                    self.ledger.fresh.insert(add);
                }
                ("quarantine", false) => {
                    self.ledger.given_up.insert(self.rules.dot(*object, element));
                }
                _ => {}
            }
        }
        self.models[at].operator(&self.rules, place, replay, |element| dots[element]);
        self.check_new_form(at)?;
        Ok(true)
    }
}

/// What waits in quarantine: id, identity, object, source.
fn waiting(conn: &Connection) -> Vec<(i64, String, usize, String)> {
    let sql =
        "SELECT id, identity, json_extract(object, '$.key[0]'), json_extract(detail, '$.source')
               FROM _dotfill_quarantine WHERE status = 'waiting' ORDER BY id";
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let key: String = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, object(&key), row.get(3)?))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}
