//! Two hundred histories over replicas with the real extension.

use std::collections::BTreeMap;
use std::path::Path;

use dotfill::migration::Migration;

use super::crsqlite::CrSqlite;
use super::form::Form;
use super::model::Rules;
use super::step::{History, OLD_CLIENT, Shape};
use super::story::{Story, Told};
use super::teller::{Premises, Teller, tell_all, told};

/// Tells histories, one after the other, over the same files.
pub struct Tellers {
    world: CrSqlite,
    migrations: BTreeMap<(Form, &'static str), Migration>,
}

impl Default for Tellers {
    fn default() -> Self {
        Self { world: CrSqlite::new(), migrations: BTreeMap::new() }
    }
}

impl Teller for Tellers {
    fn tell(&mut self, history: &History, premises: &mut Premises) -> Told {
        let (form, policy) = (history.form, history.policy);
        let migration = self.migrations.entry((form, policy)).or_insert_with(|| {
            Migration::parse(&form.migration(policy), Path::new("migration.toml")).unwrap()
        });
        // A fleet goes from stage to stage together.
        let stage = history.stages[0];
        let mut stages = history.stages;
        stages[..OLD_CLIENT].fill(stage);
        self.world.begin(form, policy, migration, stage);
        let rules = Rules::new(form, policy, true);
        let mut story = Story::new(&mut self.world, rules, migration, stages);
        told(&mut story, history, premises)
    }
}

#[test]
fn keep_every_promise() {
    let shape = Shape { steps: 30, jobs: 22, long: 8 };
    tell_all::<Tellers>("cr-sqlite", 200, shape);
}
