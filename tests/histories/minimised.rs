//! Histories that failed once, as short as they could be made, each with what was wrong.

use std::path::Path;

use dotfill::engine;
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;

use super::form::Form;
use super::over_plain_databases;
use super::plain::begin;
use super::step::{History, REPLICAS, Stage, Step, Way};
use super::story::options;
use super::teller::tell_again;
use super::world::{Slot, memory};

fn plain(form: Form, policy: &'static str, stages: [Stage; REPLICAS], steps: &[Step]) {
    let history = History { form, policy, stages, steps: steps.to_vec(), compact: true, whim: 7 };
    tell_again::<over_plain_databases::Tellers>(&history);
}

const UNKNOWN: Stage = Stage::Unknown;

/// An insert of the empty set passed, a REPLACE of a row that has another one, too: an old client was
/// not told that its write counts for nothing.
#[test]
fn a_replaced_row_with_an_empty_set_is_refused() {
    let stages = [Stage::Open, Stage::Both, Stage::Closed, UNKNOWN];
    for form in [Form::Json, Form::Csv, Form::Lines] {
        let write = Step::Write { at: 2, object: 1, text: Some(0), way: Way::Replace };
        plain(form, "reject", stages, &[write]);
    }
}

/// The way back compared objects that old clients had written and nobody had derived, and found that
/// the old form cannot express them.
#[test]
fn the_way_back_derives_what_is_noted_first() {
    let stages = [Stage::Share, Stage::Share, Stage::Share, UNKNOWN];
    let write = Step::Write { at: 2, object: 3, text: Some(1), way: Way::Replace };
    plain(Form::Rows, "reject", stages, &[write, Step::Back { at: 2, modes: 3 }]);
}

/// It said that others write too fast where nobody did: objects that wait to be derived are not
/// compared, and nothing derived them.
#[test]
fn the_way_back_ends_where_an_object_is_noted() {
    let stages = [Stage::Both, Stage::Open, Stage::Both, UNKNOWN];
    let remove = Step::Remove { at: 0, object: 1, element: 1, careless: false };
    plain(Form::Csv, "reject", stages, &[remove, Step::Back { at: 0, modes: 2 }]);
}

/// The validator had listed an object whose forms differed; then it was deleted, and listed for ever.
#[test]
fn an_object_that_is_gone_disagrees_with_nobody() {
    let stages = [Stage::Both, Stage::Open, Stage::Open, UNKNOWN];
    let steps = [
        Step::Add { at: 0, object: 1, element: 3, careless: true },
        Step::Run { at: 0, commits: None },
        Step::Delete { at: 0, object: 1 },
        Step::Advance { at: 0, percent: None, after_sync: false },
    ];
    plain(Form::Json, "reject", stages, &steps);
}

/// Every job kept a descriptor of its own of the file of locks, for as long as the process lived: one
/// that runs many jobs ran out of them.
#[test]
fn many_jobs_keep_one_descriptor_of_each_file() {
    let folder = memory();
    let slot = Slot::new(folder.path().join("many.db"));
    slot.conn().execute_batch(Form::Json.old_tables()).unwrap();
    begin(Form::Json, slot.conn());
    let text = Form::Json.migration("reject");
    let migration = Migration::parse(&text, Path::new("migration.toml")).unwrap();
    let run = || drop(engine::run(slot.path(), &migration, &options(), &Quiet).unwrap());
    let descriptors = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| link.starts_with(folder.path())).count()
    };
    run();
    let once = descriptors();
    assert!(once > 0, "premise: the file is open");
    (0..20).for_each(|_| run());
    assert_eq!(descriptors(), once);
}
