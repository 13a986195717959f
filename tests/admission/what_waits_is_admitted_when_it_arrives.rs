//! A buffered operation is decided again when what it misses arrives: once, oldest first.

use dotfill::admit::{Admission, AdmitLimits, Elements, Operation, PlainEntry, Registry, SetEntry};
use dotfill::db::Affinity;
use dotfill::migration::{OldWrites, SetFormat};
use dotfill::monitor::Quiet;
use dotfill::state::{Mode, ModeRow};
use serde_json::json;

use crate::projects::{Projects, briefs, json_of, new_add, old_add, old_add_with};

const NOTHING: [&str; 0] = [];

#[test]
fn a_mode() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let mut admission = projects.admission();
    let two = [new_add("a", json!({})), new_add("b", json!({"epoch": "tags-v2"}))];
    let first = admission.batch(&two).unwrap();
    assert_eq!(briefs(&first), ["a buffer mode", "b buffer epoch"]);
    projects.set_mode(Mode::ReadNewWriteBoth);
    // Another process opened it; this one notices with its next batch, or at the end.
    assert_eq!(briefs(&admission.batch(&[old_add("c", "x")]).unwrap()), ["c apply old"]);
    let released = admission.readmit_if_due().unwrap();
    assert_eq!(briefs(&released), ["a apply new", "b apply new"]);
    admission.announced(&released).unwrap();
    assert_eq!(briefs(&admission.readmit().unwrap()), NOTHING, "exactly once");
    assert_eq!(briefs(&admission.batch(&two).unwrap()), ["a apply new", "b apply new"]);
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_missing"), 0);
    assert_eq!(admission.buffered().unwrap(), (0, 0));
}

#[test]
fn an_epoch_that_refuses_what_waited_for_it() {
    let projects = Projects::new(Mode::ReadNewWriteBoth, "reject");
    let mut admission = projects.admission();
    let one = [old_add_with("a", "x", json!({"epoch": "tags-v2"}))];
    assert_eq!(briefs(&admission.batch(&one).unwrap()), ["a buffer epoch"]);
    drop(admission);
    projects.set_mode(Mode::ReadNewWriteNew);
    let released = projects.admission().readmit().unwrap();
    assert_eq!(briefs(&released), ["a reject old-write"]);
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_quarantine"), 1);
}

#[test]
fn an_object() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let mut admission = projects.admission();
    let needs = |op_id: &str, table: &str, key: &str| {
        let object = json!({"table": table, "key": [key]});
        new_add(op_id, json!({"object": object, "needs": {"object": true}}))
    };
    let three = [needs("a", "projects", "P7"), needs("b", "PROJECTS", "P8")];
    assert_eq!(briefs(&admission.batch(&three).unwrap()), ["a apply new", "b buffer object"]);
    assert_eq!(briefs(&admission.readmit().unwrap()), NOTHING);
    projects.conn().execute("INSERT INTO projects (id) VALUES ('P8')", []).unwrap();
    let fed = admission.batch(&three).unwrap();
    assert_eq!(briefs(&fed), ["a apply new", "b buffer object"], "it is noticed in the next one");
    assert_eq!(briefs(&admission.readmit_if_due().unwrap()), ["b apply new"]);
}

#[test]
fn operations_oldest_first_and_right_after_what_they_waited_for() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let mut admission = projects.admission();
    let after = |op_id: &str, needs: &[&str]| {
        old_add_with(op_id, op_id, json!({"needs": {"operations": needs}}))
    };
    let fed = [
        after("c", &["b"]),
        after("b", &["a"]),
        after("d", &["a", "b"]),
        after("e", &["e2"]),
        after("e2", &["e"]),
        old_add("a", "a"),
        old_add("z", "z"),
    ];
    let got = briefs(&admission.batch(&fed).unwrap());
    assert_eq!(
        got[..3],
        ["c buffer operation", "b buffer operation", "d buffer operation operation"]
    );
    assert_eq!(got[3..5], ["e buffer operation", "e2 buffer operation"], "a circle waits for ever");
    let rest =
        ["a translate 1", "b translate 1", "c translate 1", "d translate 1", "z translate 1"];
    assert_eq!(got[5..], rest);
    assert_eq!(admission.buffered().unwrap().0, 2);
}

#[test]
fn an_operation_that_is_rejected_takes_those_that_need_it_along() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    let mut admission = projects.admission();
    let two = [
        new_add("b", json!({"needs": {"operations": ["a"]}})),
        new_add("c", json!({"needs": {"operations": ["b"]}})),
        old_add("a", "x"),
    ];
    let want = [
        "b buffer operation",
        "c buffer operation",
        "a reject old-write",
        "b reject needed-rejected",
        "c reject needed-rejected",
    ];
    assert_eq!(briefs(&admission.batch(&two).unwrap()), want);
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_quarantine"), 3);
}

#[test]
fn a_schema_and_a_field() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let open = |registry: &Registry| {
        let path = projects.db();
        let limits = AdmitLimits::default();
        Admission::with_registry(path.as_ref(), registry.clone(), limits, &Quiet).unwrap()
    };
    let name = |op_id: &str, version: u32, more| {
        let effect = json!({"name": "n", "lang": "en"});
        Operation::from_json(json_of(op_id, "name.set", version, effect, more)).unwrap()
    };
    let fed =
        [name("a", 1, json!({"semantic": ["lang"]})), name("b", 2, json!({})), old_add("c", "x")];
    let nothing = Registry::new();
    let all_wait = ["a buffer schema", "b buffer schema", "c buffer schema"];
    assert_eq!(briefs(&open(&nothing).batch(&fed).unwrap()), all_wait);

    let entry = |schema_version, fields: &[&str]| PlainEntry {
        table: "projects".to_owned(),
        kind: "name.set".to_owned(),
        schema_version,
        epoch: None,
        required: fields.iter().map(|field| (*field).to_owned()).collect(),
        known: Vec::new(),
    };
    let some = nothing.with_plain(entry(1, &["name"])).unwrap();
    assert_eq!(briefs(&open(&some).readmit().unwrap()), NOTHING, "one waits for a field now");
    assert_eq!(briefs(&open(&some).batch(&fed[..1]).unwrap()), ["a buffer field"]);
    let set = SetEntry {
        migration: "m".to_owned(),
        table: "projects".to_owned(),
        source: "tags".to_owned(),
        key: vec![Affinity::Text],
        elements: Elements::Format(SetFormat::Json),
        epoch: None,
        minimum_client: None,
        old_writes: OldWrites::Translate,
        mode: ModeRow { mode: Mode::CompactOld, cohort_percent: 0 },
    };
    let more = some.with_plain(entry(2, &["name", "lang"])).unwrap().with_set(set).unwrap();
    let mut admission = open(&more);
    let released = admission.readmit().unwrap();
    assert_eq!(briefs(&released), ["b apply only", "c translate 1"]);
    admission.announced(&released).unwrap();
    let newest = Registry::new().with_plain(entry(1, &["name", "lang"])).unwrap();
    assert_eq!(briefs(&open(&newest).readmit().unwrap()), ["a apply only"]);
}
