//! The same operation is decided the same twice: at once, after a restart, after the mode and the
//! policy have moved on. Another one under its id is refused.

use dotfill::admit::{Admission, AdmitLimits, Operation, Registry};
use dotfill::monitor::Quiet;
use dotfill::state::Mode;
use serde_json::json;

use crate::projects::{Projects, briefs, json_of, new_add, old_add};

fn all() -> Vec<Operation> {
    let frob = json_of("e", "tags.frob", 1, json!({}), json!({}));
    vec![
        old_add("a", "urgent"),
        new_add("b", json!({})),
        new_add("c", json!({"x": 1, "optional": ["x"]})),
        new_add("d", json!({"x": 1})),
        Operation::from_json(frob).unwrap(),
    ]
}

#[test]
fn by_the_same_process_and_the_next_one() {
    let projects = Projects::new(Mode::ReadNewWriteBoth, "translate");
    let mut admission = projects.admission();
    let first = admission.batch(&all()).unwrap();
    assert_eq!(
        briefs(&first),
        [
            "a apply old",
            "b apply new",
            "c apply new",
            "d reject unknown-field",
            "e reject unknown-kind"
        ]
    );
    assert_eq!(first[2].decision["dropped"], json!(["x"]));
    assert_eq!(admission.batch(&all()).unwrap(), first);
    drop(admission);
    assert_eq!(projects.admission().batch(&all()).unwrap(), first);
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_quarantine"), 2, "each once");

    // What was decided is not decided anew by a registry that has moved on.
    projects.set_mode(Mode::ReadNewWriteNew);
    let mut admission = projects.admission();
    assert_eq!(admission.batch(&all()).unwrap(), first);
    assert_eq!(briefs(&admission.batch(&[old_add("f", "urgent")]).unwrap()), ["f translate 1"]);
    drop(admission);

    // Nor by one that knows nothing any more.
    let path = projects.db();
    let mut admission =
        Admission::with_registry(path.as_ref(), Registry::new(), AdmitLimits::default(), &Quiet)
            .unwrap();
    assert_eq!(admission.batch(&all()).unwrap(), first);
}

#[test]
fn white_space_and_order_of_keys_make_no_other_operation() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let mut admission = projects.admission();
    let texts = [
        r#"{"op_id":"a","object":{"table":"projects","key":["P7"]},"kind":"tags.add","schema_version":1,"effect":{"element":"x"}}"#,
        r#" {"effect" : {"element":"\u0078"}, "epoch":null, "kind":"tags.add", "optional":[], "needs":{},
             "schema_version":1, "object":{"key":["P7"],"table":"projects"}, "op_id":"a"} "#,
    ];
    for text in texts {
        let one = Operation::parse(text.as_bytes()).unwrap();
        assert_eq!(briefs(&admission.batch(&[one]).unwrap()), ["a translate 1"]);
    }
}

#[test]
fn another_operation_under_a_known_id_is_refused_and_listed() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let mut admission = projects.admission();
    let two = [old_add("a", "urgent"), old_add("a", "vip")];
    let want = ["a translate 1", "a reject op-id-reused"];
    for _ in 0..2 {
        assert_eq!(briefs(&admission.batch(&two).unwrap()), want);
    }
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_quarantine"), 1);
}

#[test]
fn the_same_fact_is_the_same_add_whatever_operation_and_replica_says_it() {
    let a = Projects::new(Mode::ReadNewWriteNew, "translate");
    let b = Projects::new(Mode::CompactOld, "translate");
    let adds = |projects: &Projects, one: Operation| {
        projects.admission().batch(&[one]).unwrap()[0].decision["operations"].clone()
    };
    let effect = json!({"elements": ["vip"]});
    let set = Operation::from_json(json_of("s", "tags.set", 1, effect, json!({}))).unwrap();
    let want = adds(&a, old_add("x", "vip"));
    assert_eq!(adds(&a, set.clone()), want);
    assert_eq!(adds(&b, set), want);
    // And it can itself be fed, any number of times.
    let add = Operation::from_json(want[0].clone()).unwrap();
    let mut admission = a.admission();
    let fed = admission.batch(&[add.clone(), add]).unwrap();
    assert!(fed.iter().all(|one| one.word() == "apply"), "{fed:?}");
}
