//! Random feeds: duplicates, any order, restarts and modes in between. Every operation ends with one
//! decision, handed on exactly once as one that was fed or released, and what was decided does not
//! depend on how often or where in the feed it came again.

use std::collections::BTreeMap;

use dotfill::admit::{Admitted, Operation};
use dotfill::state::Mode;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::projects::{Projects, json_of, new_add, old_add, old_add_with};

/// One step of a feed.
#[derive(Clone, Debug)]
enum Step {
    Feed(usize),
    Restart,
    NextMode,
}

fn operations() -> Vec<Operation> {
    let after = |op_id: &str, needs: &str| {
        old_add_with(op_id, op_id, json!({"needs": {"operations": [needs]}}))
    };
    let set = json_of("set", "tags.set", 1, json!({"elements": ["a", "b"]}), json!({}));
    vec![
        old_add("a", "a"),
        after("b", "a"),
        after("c", "b"),
        new_add("d", json!({})),
        new_add("e", json!({"epoch": "tags-v2", "needs": {"operations": ["c", "d"]}})),
        new_add("f", json!({"x": 1})),
        new_add("g", json!({"epoch": "tags-v3"})),
        Operation::from_json(set).unwrap(),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..operations().len()).prop_map(Step::Feed),
        1 => Just(Step::Restart),
        1 => Just(Step::NextMode),
    ];
    prop::collection::vec(step, 0..40)
}

/// What became of each operation, and how often it was released.
#[derive(Default)]
struct Seen {
    decided: BTreeMap<String, Value>,
    released: BTreeMap<String, u32>,
}

impl Seen {
    fn take(&mut self, admitted: &[Admitted]) {
        for one in admitted {
            if one.readmitted.is_some() {
                *self.released.entry(one.op_id.clone()).or_default() += 1;
            }
            let before = self.decided.insert(one.op_id.clone(), one.decision.clone());
            let waited = before.as_ref().is_none_or(|before| before["decision"] == "buffer");
            assert!(waited || before.as_ref() == Some(&one.decision), "{before:?} became {one:?}");
            assert!(one.readmitted.is_none() || one.word() != "buffer");
        }
    }
}

/// Feeds, and at the end everything that is left out, in the last mode.
fn run(steps: &[Step]) -> Seen {
    let projects = Projects::new(Mode::ALL[0], "translate");
    let operations = operations();
    let mut modes = Mode::ALL.into_iter().skip(1);
    let mut seen = Seen::default();
    let mut admission = projects.admission();
    for step in steps {
        let admitted = match step {
            Step::Feed(i) => admission.batch(&operations[*i..=*i]).unwrap(),
            Step::Restart => {
                admission = projects.admission();
                continue;
            }
            Step::NextMode => {
                if let Some(mode) = modes.next() {
                    projects.set_mode(mode);
                }
                continue;
            }
        };
        seen.take(&admitted);
        admission.announced(&admitted).unwrap();
    }
    projects.set_mode(Mode::CompactOld);
    for _ in 0..2 {
        let admitted = admission.batch(&operations).unwrap();
        seen.take(&admitted);
        admission.announced(&admitted).unwrap();
    }
    let admitted = admission.readmit_if_due().unwrap();
    seen.take(&admitted);
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_is_decided_once(steps in steps()) {
        let seen = run(&steps);
        for (op_id, times) in &seen.released {
            prop_assert_eq!(*times, 1, "{} was released more than once", op_id);
        }
        for (op_id, decision) in &seen.decided {
            let waits = decision["decision"] == "buffer";
            prop_assert_eq!(waits, op_id == "g", "{}: {}", op_id, decision);
        }
        prop_assert_eq!(seen.decided.len(), operations().len());
    }

    #[test]
    fn what_comes_again_changes_nothing(steps in steps(), again in any::<prop::sample::Index>()) {
        let once = run(&steps);
        let mut twice = steps.clone();
        if let Some(step) = steps.get(again.index(steps.len().max(1))) {
            // Any later place, for one that has come before.
            if matches!(step, Step::Feed(_)) {
                twice.push(step.clone());
                twice.insert(again.index(steps.len()) + 1, step.clone());
            }
        }
        prop_assert_eq!(run(&twice).decided, once.decided);
    }
}
