//! One history as it is told: each step happens to the databases and to the model, and is checked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dotfill::engine::{AdvanceOptions, RunOptions};
use dotfill::migration::Migration;
use dotfill::state::Mode;

use super::form::Form;
use super::model::{Add, Dot, News, Old, Replica, Rules, Source};
use super::step::{REPLICAS, Stage, Step};
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
    pub migration: &'w Migration,
    /// Dots that clients have drawn.
    pub dots: u64,
    /// False where only the promises are looked at, not what the model says: to see that they do
    /// without it (`DOTFILL_TEST_MODEL=off`).
    pub exact: bool,
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
        let exact = std::env::var_os("DOTFILL_TEST_MODEL").is_none_or(|value| value != "off");
        Self { world, rules, models, ledger, kept, migration, dots: 0, exact }
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

    pub fn closed(&self, at: usize, object: usize) -> bool {
        self.models[at].begun && self.models[at].is_closed(object)
    }

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
        let before = std::mem::take(&mut model.old);
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
}

pub fn command(what: String) -> Failure {
    Failure { property: COMMANDS, what }
}
