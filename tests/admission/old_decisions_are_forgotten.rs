//! The memory of admission is bounded: the newest operations are remembered, and older ones while
//! something is still to be done with them.

use dotfill::admit::{Admission, AdmitLimits, Operation};
use dotfill::monitor::Quiet;
use dotfill::state::Mode;
use serde_json::json;

use crate::projects::{Projects, briefs, json_of, new_add, old_add, old_add_with};

fn admission(projects: &Projects, remembered_operations_max: u64) -> Admission<'static> {
    let limits = AdmitLimits { remembered_operations_max, ..AdmitLimits::default() };
    Admission::open(&projects.folder.path().join("p.db"), limits, &Quiet).unwrap()
}

fn remembered(projects: &Projects) -> Vec<String> {
    let conn = projects.conn();
    let sql = "SELECT op_id || ' ' || state FROM _dotfill_operations ORDER BY seq";
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn adds(names: std::ops::Range<u32>) -> Vec<Operation> {
    names.map(|i| old_add(&format!("o{i}"), "x")).collect()
}

#[test]
fn the_newest_and_what_waits_are_remembered() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let mut all = admission(&projects, 5);
    // Buffered until the migration allows it, and refused until an operator decides.
    let waits = new_add("waits", json!({}));
    let odd = Operation::from_json(json_of("odd", "tags.sub", 1, json!({}), json!({}))).unwrap();
    all.batch(&[waits, odd]).unwrap();
    for i in 0..20 {
        all.batch(&adds(i..i + 1)).unwrap();
    }
    let last: Vec<String> = (15..20).map(|i| format!("o{i} decided")).collect();
    let waiting = ["waits buffered".to_owned(), "odd decided".to_owned()];
    assert_eq!(remembered(&projects), [&waiting[..], &last].concat());
    // What is remembered is decided the same, what was forgotten as if it were new.
    projects.set_mode(Mode::ReadNewWriteNew);
    let mut all = admission(&projects, 5);
    let again = briefs(&all.batch(&[old_add("o19", "x"), old_add("o3", "x")]).unwrap());
    assert!(again.contains(&"o19 apply old".to_owned()), "{again:?}");
    assert!(again.contains(&"o3 translate 1".to_owned()), "{again:?}");
}

#[test]
fn one_that_needs_what_was_forgotten_waits_until_it_comes_again() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let mut all = admission(&projects, 3);
    all.batch(&adds(0..1)).unwrap();
    for i in 1..10 {
        all.batch(&adds(i..i + 1)).unwrap();
    }
    let needy = old_add_with("needy", "y", json!({"needs": {"operations": ["o0"]}}));
    assert_eq!(briefs(&all.batch(&[needy]).unwrap()), ["needy buffer operation"]);
    let released = briefs(&all.batch(&adds(0..1)).unwrap());
    assert_eq!(released, ["o0 apply old", "needy apply old"]);
}

#[test]
fn a_large_batch_is_forgotten_bit_by_bit() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let mut all = admission(&projects, 10);
    all.batch(&adds(0..5000)).unwrap();
    assert_eq!(remembered(&projects).len(), 3000, "so much at a time");
    all.batch(&adds(5000..5001)).unwrap();
    all.batch(&adds(5001..5002)).unwrap();
    assert_eq!(remembered(&projects).len(), 10);
}
