//! Ten thousand histories over plain databases in memory.

use std::collections::BTreeMap;
use std::path::Path;

use dotfill::migration::Migration;

use super::form::Form;
use super::model::Rules;
use super::plain::Plain;
use super::reach::reach;
use super::step::{History, Shape};
use super::story::Story;
use super::teller::{Premises, Teller, tell_all, told};

/// Tells histories, one after the other, over the same files.
pub struct Tellers {
    world: Plain,
    migrations: BTreeMap<(Form, &'static str), Migration>,
}

impl Default for Tellers {
    fn default() -> Self {
        Self { world: Plain::new(), migrations: BTreeMap::new() }
    }
}

impl Teller for Tellers {
    fn tell(&mut self, history: &History, premises: &mut Premises) -> super::story::Told {
        let (form, policy) = (history.form, history.policy);
        let migration = self.migrations.entry((form, policy)).or_insert_with(|| {
            Migration::parse(&form.migration(policy), Path::new("migration.toml")).unwrap()
        });
        self.world.begin(form, policy, history.stages, |db, stage| reach(db, migration, stage));
        let rules = Rules::new(form, policy, false);
        let mut story = Story::new(&mut self.world, rules, migration, history.stages);
        told(&mut story, history, premises)
    }
}

#[test]
fn keep_every_promise() {
    let shape = Shape { steps: 9, jobs: 12, long: 12 };
    tell_all::<Tellers>("plain", 10_000, shape);
}
