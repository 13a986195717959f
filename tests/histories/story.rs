//! One history as it is told: each step happens to the databases and to the model, and is checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dotfill::engine::{
    self, AckOptions, AdvanceOptions, HeldSettled, HeldVerdict, Outcome, RunOptions,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;
use rusqlite::{Connection, params};

use super::form::{ELEMENTS, Form, REFUSAL, Set, element, key, members, object, text};
use super::model::{Add, Dot, News, Old, Replica, Rules, Source};
use super::step::{OLD_CLIENT, REPLICAS, Stage, Step, Way, mode_before, next_mode};
use super::watch::cancel_after;
use super::world::{World, read_old};

/// What a history may break. The first five are the promises of a migration of sets.
pub const STABLE: &str = "stable translation";
pub const NO_DROP: &str = "no silent semantic drop";
pub const CONVERGENCE: &str = "mixed-version convergence";
pub const ENFORCEMENT: &str = "epoch enforcement";
pub const ROLLBACK: &str = "rollback safety";
pub const COMMANDS: &str = "commands do what they are asked to";

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    pub property: &'static str,
    pub what: String,
}

pub type Told = Result<(), Failure>;

/// Fails with a property unless a condition holds.
pub fn hold(holds: bool, property: &'static str, what: impl FnOnce() -> String) -> Told {
    if holds { Ok(()) } else { Err(Failure { property, what: what() }) }
}

/// What is known of who did what, besides the model.
#[derive(Default)]
pub struct Ledger {
    /// Adds and dots that clients wrote.
    pub user_adds: BTreeSet<Add>,
    pub user_removes: BTreeSet<Dot>,
    /// Dots of elements that an operator gave up, and those that one gave a fresh dot.
    pub given_up: BTreeSet<Dot>,
    pub fresh: BTreeSet<Add>,
    /// Old writes that arrived in a closed epoch.
    pub arrived: BTreeSet<(usize, usize, Source)>,
    /// Objects that were deleted, or got another key.
    pub went: BTreeSet<usize>,
    /// Steps that closed an epoch, and writes that were decided in one: for premises.
    pub closed: u64,
    pub decided: u64,
}

pub struct Story<'w, W: World> {
    pub world: &'w mut W,
    pub rules: Rules,
    pub models: Vec<Replica>,
    pub ledger: Ledger,
    pub kept: Vec<(W::Message, News)>,
    migration: &'w Migration,
    dots: u64,
}

/// The options of every job: small batches, one thread.
pub fn options() -> RunOptions {
    let mut options = RunOptions { no_wait: true, ..RunOptions::default() };
    options.tuning.batch_rows_max = 2;
    options.tuning.threads = 1;
    options
}

/// What is asked for a step.
pub fn asked(to: Mode, fleet: Option<PathBuf>, percent: Option<u8>) -> AdvanceOptions {
    let alone = fleet.is_none();
    AdvanceOptions { to, fleet, alone, percent, export: None, no_export: to == Mode::CompactOld }
}

/// The model of a replica that has just reached a stage.
pub fn at_stage(rules: &Rules, old: Old, stage: Stage) -> Replica {
    let mut model = Replica::new(old);
    if stage == Stage::Unknown {
        return model;
    }
    model.run(rules);
    if stage >= Stage::Both {
        model.mode = Mode::ReadNewWriteBoth;
    }
    match stage {
        Stage::Share => model.advance(rules, Mode::ReadNewWriteNew, Some(Stage::PERCENT)),
        Stage::Closed => model.advance(rules, Mode::ReadNewWriteNew, None),
        Stage::Unknown | Stage::Open | Stage::Both => {}
    }
    model
}

impl<'w, W: World> Story<'w, W> {
    pub fn new(
        world: &'w mut W,
        rules: Rules,
        migration: &'w Migration,
        stages: [Stage; REPLICAS],
    ) -> Self {
        let models = stages
            .iter()
            .enumerate()
            .map(|(at, stage)| at_stage(&rules, read_old(rules.form, world.app(at)), *stage))
            .collect();
        let (ledger, kept) = (Ledger::default(), Vec::new());
        Self { world, rules, models, ledger, kept, migration, dots: 0 }
    }

    pub fn migration(&self) -> &'w Migration {
        self.migration
    }

    /// One step, checked.
    pub fn step(&mut self, step: &Step) -> Told {
        match *step {
            Step::Write { at, object, text, way } => self.old_write(at, object, text, way)?,
            Step::Delete { at, object } => self.delete(at, object)?,
            Step::Make { at, object } => self.make(at, object)?,
            Step::Rekey { at, object, to } => self.rekey(at, object, to)?,
            Step::Rename { at, object } => self.rename(at, object)?,
            Step::Add { at, object, element, careless } => {
                self.new_write(at, object, element, careless, true)?;
            }
            Step::Remove { at, object, element, careless } => {
                self.new_write(at, object, element, careless, false)?;
            }
            Step::Send { from, to } => self.send(from, to)?,
            Step::Keep { at } => {
                let kept = (self.world.message(at), self.models[at].news(&self.rules));
                self.kept.push(kept);
            }
            Step::Arrive { kept, to } => {
                if let Some((message, news)) = self.kept.get(kept).cloned() {
                    self.deliver(&message, &news, to)?;
                }
            }
            Step::Run { at, commits } => self.run(at, commits)?,
            Step::Advance { at, percent, after_sync } => self.advance(at, percent, after_sync)?,
            Step::Back { at, modes } => self.back(at, modes)?,
            Step::Decide { at, nth, replay } => drop(self.decide(at, nth, replay)?),
        }
        let (Step::Write { at, .. }
        | Step::Delete { at, .. }
        | Step::Make { at, .. }
        | Step::Rekey { at, .. }
        | Step::Rename { at, .. }
        | Step::Add { at, .. }
        | Step::Remove { at, .. }
        | Step::Send { to: at, .. }
        | Step::Keep { at }
        | Step::Arrive { to: at, .. }
        | Step::Run { at, .. }
        | Step::Advance { at, .. }
        | Step::Back { at, .. }
        | Step::Decide { at, .. }) = *step;
        self.check_view(at)
    }

    fn closed(&self, at: usize, object: usize) -> bool {
        self.models[at].begun && self.models[at].is_closed(object)
    }

    // Writes of applications.

    fn old_write(&mut self, at: usize, object: usize, text: Option<usize>, way: Way) -> Told {
        let model = &self.models[at];
        let (closed, here) = (self.closed(at, object), model.old.texts.get(&object).copied());
        let form = self.rules.form;
        let refused = if form == Form::Rows {
            let set = text.map_or(0, |number| form.elements(number));
            if here.is_none() && way == Way::Update {
                return Ok(());
            }
            closed && set != model.rows_of(object)
        } else {
            closed
                && match (here, way) {
                    (None, Way::Update) => false,
                    (None, Way::Upsert | Way::Replace) => !form.is_empty(text),
                    // A NULL may be a column that the statement does not name.
                    (Some(here), Way::Replace) => text.is_some() && text != here,
                    (Some(here), Way::Update | Way::Upsert) => text != here,
                }
        };
        let result = write_old(self.world.app(at), form, object, text, way);
        let what = || format!("{way:?} of {} on {at} to {text:?}", key(object));
        match result {
            Ok(()) => hold(!refused, ENFORCEMENT, || format!("{} was let through", what()))?,
            Err(error) => {
                hold(refused, ENFORCEMENT, || format!("{}: {error}", what()))?;
                let worded = error.to_string().contains(REFUSAL);
                hold(worded, ENFORCEMENT, || format!("{}: is refused by {error}", what()))?;
            }
        }
        self.wrote(at)?;
        if !refused && self.models[at].has(object) {
            if closed && way == Way::Replace && form != Form::Rows && here == Some(text) {
                self.models[at].touched(object);
            }
            if form != Form::Rows {
                self.models[at].named(object);
            }
        }
        Ok(())
    }

    /// Takes note of what the application has made of the old form.
    fn wrote(&mut self, at: usize) -> Told {
        let after = read_old(self.rules.form, self.world.app(at));
        self.world.wrote(at, &self.models[at].old, &after);
        self.models[at].changed(&self.rules, after, false);
        Ok(())
    }

    fn must(&self, result: rusqlite::Result<()>, what: impl FnOnce() -> String) -> Told {
        result.map_err(|error| Failure {
            property: ENFORCEMENT,
            what: format!("{} was refused: {error}", what()),
        })
    }

    fn delete(&mut self, at: usize, object: usize) -> Told {
        let app = self.world.app(at);
        let result = transaction(app, || {
            run(app, "DELETE FROM projects WHERE id = ?1", params![key(object)])?;
            if self.rules.form == Form::Rows {
                run(app, "DELETE FROM tags WHERE project = ?1", params![key(object)])?;
            }
            Ok(())
        });
        self.must(result, || format!("deleting {} on {at}", key(object)))?;
        self.ledger.went.insert(object);
        self.wrote(at)
    }

    fn make(&mut self, at: usize, object: usize) -> Told {
        let sql = "INSERT OR IGNORE INTO projects(id, name) VALUES (?1, 'made')";
        let result = run(self.world.app(at), sql, params![key(object)]);
        self.must(result, || format!("making {} on {at}", key(object)))?;
        self.wrote(at)
    }

    fn rekey(&mut self, at: usize, object: usize, to: usize) -> Told {
        let model = &self.models[at];
        if self.rules.form == Form::Rows || !model.has(object) || model.has(to) {
            return Ok(());
        }
        let sql = "UPDATE projects SET id = ?2 WHERE id = ?1";
        let result = run(self.world.app(at), sql, params![key(object), key(to)]);
        self.must(result, || format!("the new key of {} on {at}", key(object)))?;
        let after = read_old(self.rules.form, self.world.app(at));
        self.world.wrote(at, &self.models[at].old, &after);
        self.models[at].rekeyed(object, to);
        self.ledger.went.insert(object);
        Ok(())
    }

    fn rename(&mut self, at: usize, object: usize) -> Told {
        let sql = "UPDATE projects SET name = name || 'x' WHERE id = ?1";
        let result = run(self.world.app(at), sql, params![key(object)]);
        self.must(result, || format!("renaming {} on {at}", key(object)))
    }

    /// A new client: writes what the mode of its replica asks for.
    fn new_write(
        &mut self,
        at: usize,
        object: usize,
        element: usize,
        careless: bool,
        add: bool,
    ) -> Told {
        let (form, model) = (self.rules.form, &self.models[at]);
        let both = model.mode == Mode::ReadNewWriteBoth && !model.is_closed(object);
        if !model.begun || !model.has(object) || !(both || model.is_closed(object)) {
            return Ok(());
        }
        let set = model.old_set(&self.rules, object).unwrap_or(0);
        let set: Set = if add { set | 1 << element } else { set & !(1 << element) };
        self.dots += 1;
        let dot: Dot = (u128::MAX - u128::from(self.dots)).to_be_bytes();
        let app = self.world.app(at);
        let result = transaction(app, || {
            if both && !careless {
                write_old(app, form, object, Some(usize::from(set)), Way::Update)?;
            }
            if add {
                let sql = "INSERT INTO project_tag_adds VALUES (?1, ?2, ?3)";
                return run(app, sql, params![key(object), ELEMENTS[element], dot]);
            }
            let sql = "INSERT OR IGNORE INTO project_tag_removes SELECT dot FROM project_tag_adds
                       WHERE id = ?1 AND element = ?2";
            run(app, sql, params![key(object), ELEMENTS[element]])
        });
        self.must(result, || format!("a new client's write to {} on {at}", key(object)))?;
        self.wrote(at)?;
        let model = &mut self.models[at];
        if both && !careless && form != Form::Rows {
            model.named(object);
        }
        if add {
            let add = Add { object, element, dot };
            model.adds.insert(add, true);
            self.ledger.user_adds.insert(add);
        } else {
            let seen: Vec<Dot> =
                model.adds_of(object).filter(|a| a.element == element).map(|a| a.dot).collect();
            model.removes.extend(&seen);
            self.ledger.user_removes.extend(seen);
        }
        Ok(())
    }

    // Replication.

    pub fn send(&mut self, from: usize, to: usize) -> Told {
        let (message, news) = (self.world.message(from), self.models[from].news(&self.rules));
        self.deliver(&message, &news, to)
    }

    pub fn deliver(&mut self, message: &W::Message, news: &News, to: usize) -> Told {
        let result = self.world.deliver(message, to);
        result.map_err(|error| Failure {
            property: ENFORCEMENT,
            what: format!("what arrived on {to} was refused: {error}"),
        })?;
        let after = read_old(self.rules.form, self.world.app(to));
        let model = &mut self.models[to];
        let before = std::mem::replace(&mut model.old, Old::default());
        for (object, text) in &after.texts {
            let came = before.texts.get(object) != Some(text);
            if came && self.rules.form != Form::Rows && model.begun && model.is_closed(*object) {
                self.ledger.arrived.insert((to, *object, Source::Text(*text)));
            }
        }
        for (object, element) in after.rows.difference(&before.rows) {
            if model.begun && model.is_closed(*object) {
                self.ledger.arrived.insert((to, *object, Source::Element(*element)));
            }
        }
        model.old = before;
        model.changed(&self.rules, after, true);
        if W::CLOCKS || model.begun {
            model.arrived(news);
        }
        Ok(())
    }

    // Jobs.

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
    fn interrupted(&mut self, at: usize) {
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
        model.filled = count("_dotfill_changes WHERE filled") > 0;
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

    fn advance(&mut self, at: usize, percent: Option<u8>, after_sync: bool) -> Told {
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
        hold(!ready || report.gate || asked.fleet.is_some(), COMMANDS, || {
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

    fn back(&mut self, at: usize, modes: usize) -> Told {
        let model = &self.models[at];
        let (from, to) = (model.mode, mode_before(model.mode, modes));
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

    fn check_mode(&self, at: usize) -> Told {
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
        let source = match self.rules.form {
            Form::Rows => Source::Element(element(source)),
            form => Source::Text(Some(form.number(source))),
        };
        let verdict = if replay { HeldVerdict::Replay } else { HeldVerdict::Drop };
        let settled = engine::settle_held(self.world.path(at), *id, verdict)
            .map_err(|error| command(format!("{verdict:?} {id} on {at}: {error}")))?;
        hold(matches!(settled, HeldSettled::Done { .. }), COMMANDS, || {
            format!("{verdict:?} {id} on {at}: {settled:?}")
        })?;
        let place =
            self.models[at].held.iter().position(|h| h.object == *object && h.source == source);
        let Some(place) = place else { return Ok(true) };
        let (site, mut dots) = (self.world.site(at), self.rules.form.dots());
        let (key, cause) = (key(*object), format!("quarantine {site} {identity}"));
        let mut fresh =
            |element: usize| dots.fresh_dot(&[text(&key)], text(ELEMENTS[element]), text(&cause)).0;
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

    // Checks.

    /// The view shows what the model shows.
    pub fn check_view(&self, at: usize) -> Told {
        let model = &self.models[at];
        if !model.filled {
            return Ok(());
        }
        let (shown, want) = (read_view(self.world.app(at)), model.view(&self.rules));
        if shown == want {
            return Ok(());
        }
        // What is shown although it was removed, or not although it stands.
        let lost: Vec<_> = want.difference(&shown).collect();
        let more: Vec<_> = shown.difference(&want).collect();
        Err(Failure {
            property: NO_DROP,
            what: format!("{at} does not show {lost:?}, and shows {more:?} besides"),
        })
    }

    /// The new form and the quarantine are the model's.
    pub fn check_new_form(&self, at: usize) -> Told {
        let (model, conn) = (&self.models[at], self.world.app(at));
        let adds = read_adds(conn);
        let want: BTreeSet<Add> = model.adds.keys().copied().collect();
        hold(adds == want, STABLE, || {
            let (lost, more): (Vec<_>, Vec<_>) =
                (want.difference(&adds).collect(), adds.difference(&want).collect());
            format!("{at} lacks the adds {lost:?}, and has {more:?} besides")
        })?;
        if W::CLOCKS {
            let clocked = read_clocked(conn);
            let want: BTreeSet<Add> =
                model.adds.iter().filter(|(_, c)| **c).map(|(add, _)| *add).collect();
            hold(clocked == want, STABLE, || {
                format!("{at} has clock rows of {clocked:?}, not of {want:?}")
            })?;
        }
        let mut statement = conn.prepare_cached("SELECT dot FROM project_tag_removes").unwrap();
        let removes: BTreeSet<Dot> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        hold(removes == model.removes, NO_DROP, || {
            format!("{at} has removed {removes:?}, not {:?}", model.removes)
        })?;
        self.check_quarantine(at)
    }

    fn check_quarantine(&self, at: usize) -> Told {
        let sql = "SELECT json_extract(object, '$.key[0]'), json_extract(detail, '$.source'),
                     reason, json_extract(detail, '$.new'), status = 'waiting'
                   FROM _dotfill_quarantine ORDER BY 1, 2";
        let mut statement = self.world.app(at).prepare_cached(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let listed: Vec<(String, String, String, String, bool)> =
            statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        let mut want: Vec<_> = self.models[at]
            .held
            .iter()
            .map(|held| {
                let names: Vec<&str> = members(held.new).map(|e| ELEMENTS[e]).collect();
                let source = match held.source {
                    Source::Text(number) => self.rules.form.text(number.unwrap_or(0)),
                    Source::Element(element) => ELEMENTS[element].to_owned(),
                };
                let new = serde_json::to_string(&names).unwrap();
                (key(held.object), source, held.reason.to_owned(), new, held.waits)
            })
            .collect();
        want.sort();
        // cr-sqlite may write again what stands: such a write brings nothing, and is listed.
        let news = |row: &(String, String, String, String, bool)| !W::CLOCKS || row.3 != "[]";
        let listed: Vec<_> = listed.into_iter().filter(news).collect();
        let want: Vec<_> = want.into_iter().filter(news).collect();
        hold(listed == want, NO_DROP, || {
            format!("the quarantine of {at} has {listed:?}, not {want:?}")
        })
    }
}

pub fn command(what: String) -> Failure {
    Failure { property: COMMANDS, what }
}

/// Writes the old form as an old client does.
pub fn write_old(
    app: &Connection,
    form: Form,
    object: usize,
    text: Option<usize>,
    way: Way,
) -> rusqlite::Result<()> {
    let key = key(object);
    if form != Form::Rows {
        let sql = match way {
            Way::Update => "UPDATE projects SET tags = ?2 WHERE id = ?1",
            Way::Upsert => {
                "INSERT INTO projects(id, name, tags) VALUES (?1, 'n', ?2)
                 ON CONFLICT (id) DO UPDATE SET tags = excluded.tags"
            }
            Way::Replace => "INSERT OR REPLACE INTO projects VALUES (?1, 'n', ?2)",
        };
        return run(app, sql, params![key, text.map(|number| form.text(number))]);
    }
    let set = text.map_or(0, |number| form.elements(number));
    transaction(app, || {
        if way != Way::Update {
            run(app, "INSERT OR IGNORE INTO projects VALUES (?1, 'n')", params![key])?;
        }
        for (element, name) in ELEMENTS.iter().enumerate() {
            let sql = match set >> element & 1 {
                1 => "INSERT OR IGNORE INTO tags VALUES (?1, ?2)",
                _ => "DELETE FROM tags WHERE project = ?1 AND tag = ?2",
            };
            run(app, sql, params![key, name])?;
        }
        Ok(())
    })
}

fn run(app: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
    let mut statement = app.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// All of it or nothing; part of a transaction that is open already.
fn transaction(
    app: &Connection,
    body: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if !app.is_autocommit() {
        return body();
    }
    run(app, "BEGIN IMMEDIATE", [])?;
    let result = body();
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    if !app.is_autocommit() {
        run(app, end, [])?;
    }
    result
}

fn read_view(conn: &Connection) -> BTreeSet<(usize, usize)> {
    let sql = "SELECT id, element FROM project_tags_visible";
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let rows: Vec<_> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    let shown: BTreeSet<_> = rows.iter().map(|(key, name)| (object(key), element(name))).collect();
    assert_eq!(shown.len(), rows.len(), "shown twice: {rows:?}");
    shown
}

fn read_adds(conn: &Connection) -> BTreeSet<Add> {
    adds_by(conn, "SELECT id, element, dot FROM project_tag_adds")
}

fn read_clocked(conn: &Connection) -> BTreeSet<Add> {
    adds_by(
        conn,
        "SELECT id, element, dot FROM project_tag_adds AS a WHERE EXISTS (
           SELECT 1 FROM project_tag_adds__crsql_pks AS p
             JOIN project_tag_adds__crsql_clock AS c ON c.key = p.__crsql_key
           WHERE p.id = a.id AND p.element = a.element AND p.dot = a.dot)",
    )
}

fn adds_by(conn: &Connection, sql: &str) -> BTreeSet<Add> {
    let mut statement = conn.prepare_cached(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let (key, name): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(Add { object: object(&key), element: element(&name), dot: row.get(2)? })
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
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
