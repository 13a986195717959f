//! What is decided, over every combination that matters.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use super::*;
use crate::db::Affinity;
use crate::migration::{OldWrites, SetFormat};
use crate::state::{Mode, ModeRow};
use crate::transform::cohort;
use crate::transform::dot::DotDeriver;

fn tags(mode: Mode, old_writes: OldWrites) -> SetEntry {
    SetEntry {
        migration: "tags-to-or-set".to_owned(),
        table: "projects".to_owned(),
        source: "tags".to_owned(),
        key: vec![Affinity::Text],
        elements: Elements::Format(SetFormat::Json),
        epoch: Some("tags-v2".to_owned()),
        minimum_client: Some("4.8.0".to_owned()),
        old_writes,
        mode: ModeRow { mode, cohort_percent: 0 },
    }
}

fn registry(set: SetEntry) -> Registry {
    Registry::new().with_set(set).expect("one set")
}

/// An operation on P7, with members put over the usual ones.
fn json_of(kind: &str, version: u32, effect: &Value, more: &Value) -> Value {
    let mut value = json!({
        "op_id": "a", "object": {"table": "projects", "key": ["P7"]},
        "kind": kind, "schema_version": version, "effect": effect,
    });
    for (key, member) in more.as_object().into_iter().flatten() {
        value[key] = member.clone();
    }
    value
}

#[expect(clippy::needless_pass_by_value, reason = "tests read better without a reference")]
fn operation(kind: &str, version: u32, effect: Value, more: &Value) -> Operation {
    let value = json_of(kind, version, &effect, more);
    Operation::from_json(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn old_add() -> Operation {
    operation("tags.add", 1, json!({"element": "urgent"}), &json!({}))
}

const DOT: &str = "000102030405060708090a0b0c0d0e0f";

/// The decision in few words: `apply old`, `buffer epoch`, `reject old-write`, `translate 1`.
fn brief(decision: &Decision) -> String {
    let rest = match decision {
        Decision::Apply { form, .. } => json!(form).as_str().unwrap_or_default().to_owned(),
        Decision::Translate { operations, .. } => operations.len().to_string(),
        Decision::Buffer { missing } => {
            let names = missing.iter().map(|one| match one.to_json() {
                Value::Object(members) => {
                    let words =
                        ["schema", "field", "epoch", "mode", "object", "operation", "approval"];
                    words.into_iter().find(|word| members.contains_key(*word)).expect("a word")
                }
                other => panic!("{other}"),
            });
            names.collect::<Vec<_>>().join(" ")
        }
        Decision::Reject(rejection) => rejection.reason.as_str().to_owned(),
    };
    format!("{} {rest}", decision.word())
}

#[test]
fn every_mode_version_epoch_and_policy_is_decided_as_the_table_says() {
    let late = |policy| match policy {
        OldWrites::Reject => "reject old-write",
        OldWrites::Translate => "translate 1",
        OldWrites::Quarantine => "buffer approval",
    };
    for policy in OldWrites::ALL {
        for mode in Mode::ALL {
            let known = registry(tags(mode, policy));
            let column = match mode {
                Mode::ReadOldWriteOld | Mode::ReadNewWriteOld => 0,
                Mode::ReadNewWriteBoth => 1,
                Mode::ReadNewWriteNew | Mode::CompactOld => 2,
            };
            let own = Value::from("tags-v2");
            for (version, epoch, want) in [
                (1, Value::Null, ["apply old", "apply old", late(policy)]),
                (1, own.clone(), ["buffer epoch", "buffer epoch", late(policy)]),
                (1, json!("tags-v3"), ["buffer epoch"; 3]),
                (2, Value::Null, ["buffer mode", "apply new", "apply new"]),
                (2, own.clone(), ["buffer epoch", "apply new", "apply new"]),
                (2, json!("tags-v3"), ["buffer epoch"; 3]),
                (3, Value::Null, ["buffer schema"; 3]),
                (3, own.clone(), ["buffer schema"; 3]),
                (3, json!("tags-v3"), ["buffer schema epoch"; 3]),
            ] {
                let effects = if version == 1 {
                    [
                        ("tags.add", json!({"element": "a"})),
                        ("tags.set", json!({"elements": ["a"]})),
                    ]
                } else {
                    [
                        ("tags.add", json!({"element": "a", "dot": DOT})),
                        ("tags.remove", json!({"dots": [DOT]})),
                    ]
                };
                for (kind, effect) in effects {
                    let one = operation(kind, version, effect, &json!({"epoch": epoch}));
                    let got = brief(&admit(&known, &one));
                    assert_eq!(got, want[column], "{policy} {mode} {kind} {version} {epoch}");
                }
            }
        }
    }
}

#[test]
fn a_rejection_names_table_epoch_and_remedy() {
    let known = registry(tags(Mode::ReadNewWriteNew, OldWrites::Reject));
    let Decision::Reject(rejection) = admit(&known, &old_add()) else {
        panic!("it is refused");
    };
    assert_eq!(
        rejection.message,
        "old tags write rejected: projects is in epoch tags-v2; upgrade to 4.8.0 and resync"
    );
    assert!(
        rejection.action.starts_with("upgrade to 4.8.0 and resync, from `dotfill export ")
            && rejection.action.ends_with(" --snapshot FILE`"),
        "{}",
        rejection.action
    );
    let mut bare = tags(Mode::ReadNewWriteNew, OldWrites::Reject);
    (bare.epoch, bare.minimum_client) = (None, None);
    let message = admit(&registry(bare), &old_add()).to_json()["message"].to_string();
    for word in ["is past migration tags-to-or-set", "a client that writes the new form"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_translation_has_the_migration_dot_of_each_element_once() {
    let known = registry(tags(Mode::ReadNewWriteNew, OldWrites::Translate));
    let effect = json!({"elements": ["urgent", 7, 1.5, "urgent"]});
    let set = operation("tags.set", 1, effect, &json!({"op_id": "b"}));
    let Decision::Translate { operations, .. } = admit(&known, &set) else {
        panic!("it is translated");
    };
    let mut deriver = DotDeriver::new("tags-to-or-set", "projects", "tags");
    let key = [ValueRef::Text(b"P7")];
    let elements = [ValueRef::Text(b"urgent"), ValueRef::Integer(7), ValueRef::Real(1.5)];
    let dots: Vec<String> = elements.map(|one| deriver.dot(&key, one).to_string()).to_vec();
    let got: Vec<&Value> = operations.iter().map(|one| &one.effect["dot"]).collect();
    assert_eq!(
        got,
        dots.iter().map(|dot| json!(dot)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    // The add of one element is the same operation, whatever it was translated from.
    let Decision::Translate { operations: one, .. } = admit(&known, &old_add()) else {
        panic!("it is translated");
    };
    assert_eq!(one[0], operations[0]);
    assert_eq!(one[0].fingerprint(), operations[0].fingerprint());
    assert_eq!(brief(&admit(&known, &one[0])), "apply new");
    // An empty set adds nothing, and an add-only set removes nothing.
    let empty = operation("tags.set", 1, json!({"elements": []}), &json!({}));
    assert_eq!(brief(&admit(&known, &empty)), "translate 0");
}

#[test]
fn a_cohort_is_ahead_of_the_rest() {
    let mut set = tags(Mode::ReadNewWriteBoth, OldWrites::Reject);
    set.mode.cohort_percent = 10;
    let known = registry(set);
    let mut ahead = 0;
    for i in 0..500 {
        let key = format!("P{i}");
        let inside = cohort::bucket("tags-to-or-set", &[ValueRef::Text(key.as_bytes())]) < 10;
        let object = json!({"object": {"table": "projects", "key": [key]}});
        let one = operation("tags.add", 1, json!({"element": "a"}), &object);
        let want = if inside { "reject old-write" } else { "apply old" };
        assert_eq!(brief(&admit(&known, &one)), want);
        ahead += u32::from(inside);
    }
    assert!((20..90).contains(&ahead), "{ahead} of 500 are ahead");
}

#[test]
fn an_unknown_field_is_dropped_buffered_or_refused_as_it_is_marked() {
    let known = registry(tags(Mode::ReadNewWriteNew, OldWrites::Translate));
    let effect = |extra: &str| json!({"element": "a", "dot": DOT, extra: 1});
    for (marks, want) in [
        (json!({}), "reject unknown-field"),
        (json!({"optional": ["x"]}), "apply new"),
        (json!({"semantic": ["x"]}), "buffer field"),
        (json!({"semantic": ["x"], "trace": 1}), "reject unknown-field"),
        (json!({"semantic": ["x"], "trace": 1, "optional": ["trace"]}), "buffer field"),
        (json!({"semantic": ["trace"], "trace": 1, "optional": ["x"]}), "buffer field"),
    ] {
        let one = operation("tags.add", 2, effect("x"), &marks);
        assert_eq!(brief(&admit(&known, &one)), want, "{marks}");
    }
    // A mark on a field that is known changes nothing.
    let one = operation(
        "tags.add",
        2,
        json!({"element": "a", "dot": DOT}),
        &json!({"optional": ["dot"]}),
    );
    assert_eq!(admit(&known, &one).to_json(), json!({"decision": "apply", "form": "new"}));
    // What is dropped is said, of what is translated too.
    let more = json!({"optional": ["x", "trace"], "trace": "t"});
    let one = operation("tags.add", 1, json!({"element": "a", "x": 1}), &more);
    let decision = admit(&known, &one).to_json();
    assert_eq!(decision["dropped"], json!(["trace", "x"]));
    assert!(!decision["operations"].to_string().contains("trace"));
    // A version that is not known is not judged: its fields may be anything.
    let one = operation("tags.add", 3, json!({"x": 1}), &json!({}));
    assert_eq!(brief(&admit(&known, &one)), "buffer schema");
}

#[test]
fn what_can_never_be_right_is_rejected() {
    let other = SetEntry {
        source: "labels".to_owned(),
        epoch: Some("labels-v2".to_owned()),
        ..tags(Mode::ReadNewWriteNew, OldWrites::Translate)
    };
    let known = registry(tags(Mode::ReadNewWriteNew, OldWrites::Translate));
    let known = known.with_set(other).expect("another set");
    for (kind, version, effect, more, want) in [
        ("tags.remove", 1, json!({"dots": [DOT]}), json!({}), "unknown-kind"),
        ("tags.set", 2, json!({"elements": []}), json!({}), "unknown-kind"),
        ("tags.frob", 2, json!({}), json!({}), "unknown-kind"),
        ("tags.add", 2, json!({"element": "a"}), json!({}), "malformed"),
        ("tags.add", 2, json!({"element": "a", "dot": "12"}), json!({}), "malformed"),
        ("tags.add", 2, json!({"element": null, "dot": DOT}), json!({}), "malformed"),
        ("tags.remove", 2, json!({"dots": []}), json!({}), "malformed"),
        ("tags.remove", 2, json!({"dots": [DOT, 1]}), json!({}), "malformed"),
        ("tags.add", 1, json!({"element": ["a"]}), json!({}), "malformed"),
        ("tags.add", 1, json!({"element": {"blob": "00"}}), json!({}), "malformed"),
        ("tags.set", 1, json!({"elements": "a"}), json!({}), "malformed"),
        ("tags.set", 1, json!({"elements": ["a", true]}), json!({}), "malformed"),
        ("tags.add", 1, json!({"element": "a"}), json!({"epoch": "labels-v2"}), "wrong-epoch"),
        (
            "tags.add",
            1,
            json!({"element": "a"}),
            json!({"object": {"table": "projects", "key": ["P7", 1]}}),
            "malformed",
        ),
        (
            "tags.add",
            1,
            json!({"element": "a"}),
            json!({"object": {"table": "projects", "key": [7]}}),
            "malformed",
        ),
    ] {
        let one = operation(kind, version, effect, &more);
        assert_eq!(brief(&admit(&known, &one)), format!("reject {want}"), "{}", one.to_json());
    }
    for (table, kind) in [("projects", "owner.set"), ("tasks", "tags.add"), ("projects", "tags")] {
        let object = json!({"object": {"table": table, "key": ["P7"]}});
        let one = operation(kind, 1, json!({"element": "a"}), &object);
        assert_eq!(brief(&admit(&known, &one)), "buffer schema", "{table} {kind}");
    }
}

#[test]
fn keys_and_elements_are_those_that_the_table_stores() {
    let with = |key: Affinity, elements: Elements| {
        let set = tags(Mode::ReadNewWriteNew, OldWrites::Translate);
        registry(SetEntry { key: vec![key], elements, ..set })
    };
    let dot = |known: &Registry, key: Value, element: Value| {
        let object = json!({"object": {"table": "PROJECTS", "key": [key]}});
        let one = operation("tags.add", 1, json!({"element": element}), &object);
        match admit(known, &one) {
            Decision::Translate { operations, .. } => Ok(operations[0].effect["dot"].clone()),
            Decision::Reject(rejection) => Err(rejection.message),
            other => panic!("{other:?}"),
        }
    };
    let integers = with(Affinity::Integer, Elements::Format(SetFormat::Json));
    assert_eq!(dot(&integers, json!(7.0), json!("a")), dot(&integers, json!(7), json!("a")));
    assert_ne!(dot(&integers, json!(7.5), json!("a")), dot(&integers, json!(7), json!("a")));
    dot(&integers, json!(" 7 "), json!("a")).expect_err("a text that is stored as a number");
    dot(&integers, json!("seven"), json!("a")).expect("a text that stays one");
    let reals = with(Affinity::Real, Elements::Format(SetFormat::Json));
    assert_eq!(dot(&reals, json!(7.0), json!("a")), dot(&reals, json!(7), json!("a")));
    let texts = with(Affinity::Text, Elements::Format(SetFormat::Csv));
    assert_eq!(dot(&texts, json!("k"), json!(" a\t")), dot(&texts, json!("k"), json!("a")));
    for element in [json!(""), json!(" "), json!("a,b"), json!(1)] {
        dot(&texts, json!("k"), element).expect_err("no element of a text with commas");
    }
    let lines = with(Affinity::Text, Elements::Format(SetFormat::Lines));
    dot(&lines, json!("k"), json!("a,b")).expect("a line");
    dot(&lines, json!("k"), json!("a\nb")).expect_err("two lines");
    let column = with(Affinity::Text, Elements::Column(Affinity::Integer));
    assert_eq!(dot(&column, json!("k"), json!(3.0)), dot(&column, json!("k"), json!(3)));
    for (element, why) in [
        (json!({"blob": "00ff"}), "an array or an object"),
        (json!("7"), "a text that looks like one"),
        (json!("a\u{0}"), "NUL"),
    ] {
        let error = dot(&column, json!("k"), element).expect_err("no element");
        assert!(error.contains(why), "{error}");
    }
    let jsons = with(Affinity::Text, Elements::Format(SetFormat::Json));
    assert_eq!(dot(&jsons, json!("k"), json!(1.0)), dot(&jsons, json!("k"), json!(1)));
    dot(&jsons, json!("k"), json!(u64::MAX)).expect("a REAL, as the source has it");
}

#[test]
fn plain_kinds_are_applied_or_wait_for_their_version() {
    let entry = |schema_version: u32, required: &[&str]| PlainEntry {
        table: "Projects".to_owned(),
        kind: "name.set".to_owned(),
        schema_version,
        epoch: Some("names".to_owned()),
        required: required.iter().map(|field| (*field).to_owned()).collect(),
        known: vec!["note".to_owned()],
    };
    let known = Registry::new().with_plain(entry(2, &["name"])).expect("new");
    let known = known.with_plain(entry(4, &["name", "lang"])).expect("new");
    known.clone().with_plain(entry(4, &[])).expect_err("described twice");
    for (version, effect, more, want) in [
        (2, json!({"name": "a"}), json!({}), "apply only"),
        (2, json!({"name": "a", "note": "b"}), json!({"epoch": "names"}), "apply only"),
        (2, json!({"note": "b"}), json!({}), "reject malformed"),
        (2, json!({"name": "a", "lang": "c"}), json!({}), "reject unknown-field"),
        (4, json!({"name": "a", "lang": "c"}), json!({}), "apply only"),
        (3, json!({"name": "a"}), json!({}), "reject unknown-kind"),
        (5, json!({"name": "a"}), json!({}), "buffer schema"),
        (2, json!({"name": "a"}), json!({"epoch": "later"}), "buffer epoch"),
    ] {
        let one = operation("name.set", version, effect, &more);
        assert_eq!(brief(&admit(&known, &one)), want, "{}", one.to_json());
    }
    registry(tags(Mode::CompactOld, OldWrites::Reject))
        .with_set(tags(Mode::ReadNewWriteOld, OldWrites::Reject))
        .expect_err("one set by two migrations");
}

#[test]
fn lines_of_another_shape_are_named() {
    let good = json_of("tags.add", 1, &json!({"element": "a"}), &json!({}));
    Operation::parse(good.to_string().as_bytes()).expect("an operation");
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let many: Vec<String> = (0..=FIELDS_MAX).map(|i| i.to_string()).collect();
    let wide: serde_json::Map<String, Value> =
        many.iter().map(|name| (name.clone(), json!(1))).collect();
    let heavy = json!({"table": "t", "key": ["k".repeat(4000)]});
    for (key, value, problem) in [
        ("op_id", Value::Null, "\"op_id\""),
        ("op_id", json!(""), "\"op_id\""),
        ("op_id", json!(long), "\"op_id\""),
        ("op_id", json!("a\u{0}"), "\"op_id\""),
        ("kind", json!(3), "\"kind\""),
        ("schema_version", json!(0), "\"schema_version\""),
        ("schema_version", json!(1.0), "\"schema_version\""),
        ("schema_version", json!(1_u64 << 32), "\"schema_version\""),
        ("epoch", json!(""), "\"epoch\""),
        ("effect", json!([]), "\"effect\""),
        ("effect", json!({"": 1}), "field's name"),
        ("effect", Value::Object(wide), "64 fields"),
        ("object", json!("P7"), "\"object\""),
        ("object", json!({"table": "t"}), "\"key\" is missing"),
        ("object", json!({"table": "t", "key": []}), "\"key\" is empty"),
        ("object", json!({"table": "t", "key": [true]}), "something else"),
        ("object", json!({"table": "t", "key": [u64::MAX]}), "something else"),
        ("object", json!({"table": "t", "key": ["k".repeat(KEY_BYTES_MAX)]}), "longer than 4096"),
        ("object", json!({"table": "t", "key": [1], "id": 1}), "unknown member \"id\""),
        ("needs", json!([]), "\"needs\""),
        ("needs", json!({"objects": true}), "unknown member \"objects\""),
        ("needs", json!({"object": 1}), "\"needs.object\""),
        ("needs", json!({"operations": ["a"]}), "needs itself"),
        ("needs", json!({"operations": ["b", "b"]}), "twice"),
        ("needs", json!({"operations": many}), "at most 64"),
        ("optional", json!(["colour"]), "no field"),
        ("optional", json!("element"), "\"optional\""),
    ] {
        let mut changed = good.clone();
        changed[key] = value;
        let error = Operation::parse(changed.to_string().as_bytes()).expect_err(key).to_string();
        assert!(error.contains(problem), "{changed}: {error}");
    }
    let mut twice = good.clone();
    twice["element"] = json!("b");
    let error = Operation::from_json(twice).expect_err("two fields").to_string();
    assert!(error.contains("in \"effect\" and beside it"), "{error}");
    let mut both = good.clone();
    both["optional"] = json!(["element"]);
    both["semantic"] = json!(["element"]);
    let error = Operation::from_json(both).expect_err("two marks").to_string();
    assert!(error.contains("both optional and semantic"), "{error}");
    let mut large = json_of("tags.set", 1, &json!({"elements": vec!["a"; 4000]}), &json!({}));
    large["object"] = heavy;
    let error = Operation::from_json(large).expect_err("a large translation").to_string();
    assert!(error.contains("too many items"), "{error}");
    for text in ["", "[]", "7", "{", "{\"op_id\":\"a\",\"op_id\":\"b\"}", "\u{feff}{}"] {
        Operation::parse(text.as_bytes()).expect_err(text);
    }
    Operation::parse(&vec![b' '; LINE_BYTES_MAX + 1]).expect_err("a long line");
    Operation::parse(b"{\"op_id\":\"\xff\"}").expect_err("no UTF-8");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[a-c\u{e9},\n ]{0,3}".prop_map(Value::from),
        Just(json!(DOT)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// Something near an operation: often one, often slightly wrong.
fn near_operation() -> impl Strategy<Value = Value> {
    let effect = prop::collection::btree_map(
        word(&["element", "elements", "dot", "dots", "x", "y"]),
        prop_oneof![
            Just(json!("a")),
            Just(json!(DOT)),
            Just(json!([DOT])),
            Just(json!(["a", "b"])),
            any_json()
        ],
        0..4,
    );
    let marks = || prop::collection::btree_set(word(&["x", "y", "trace", "element"]), 0..2);
    (
        word(&["tags.add", "tags.set", "tags.remove", "tags.x", "other.add"]),
        1_u32..4,
        effect,
        prop::option::of(word(&["tags-v2", "tags-v3"])),
        marks(),
        marks(),
        prop::option::of(any_json()),
        prop::option::of((word(&["op_id", "object", "kind", "effect", "needs", "z"]), any_json())),
    )
        .prop_map(|(kind, version, effect, epoch, optional, semantic, trace, broken)| {
            let effect = Value::Object(effect.into_iter().collect());
            let mut value = json_of(&kind, version, &effect, &json!({}));
            value["epoch"] = json!(epoch);
            value["optional"] = json!(optional);
            value["semantic"] = json!(semantic);
            if let Some(trace) = trace {
                value["trace"] = trace;
            }
            if let Some((key, with)) = broken {
                value[key] = with;
            }
            value
        })
}

fn any_set() -> impl Strategy<Value = SetEntry> {
    (
        prop::sample::select(&Mode::ALL[..]),
        prop::sample::select(&OldWrites::ALL[..]),
        prop::sample::select(&SetFormat::ALL[..]),
        prop::sample::select(&[0_u8, 50, 100][..]),
    )
        .prop_map(|(mode, old_writes, format, cohort_percent)| SetEntry {
            elements: Elements::Format(format),
            mode: ModeRow { mode, cohort_percent },
            ..tags(mode, old_writes)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_line_panics(line in any::<Vec<u8>>()) {
        let _ = Operation::parse(&line);
    }

    #[test]
    fn nothing_near_an_operation_panics_and_what_is_one_is_read_back(
        value in near_operation(), set in any_set()
    ) {
        if let Ok(operation) = Operation::parse(value.to_string().as_bytes()) {
            let again = Operation::parse(operation.to_json().to_string().as_bytes());
            prop_assert_eq!(Ok(&operation), again.as_ref());
            let known = registry(set);
            prop_assert_eq!(admit(&known, &operation), admit(&known, &operation));
        }
    }

    /// Whatever is applied or translated: every field was known, or its writer let it be dropped,
    /// and that is said.
    #[test]
    fn no_field_is_dropped_that_its_writer_needs(value in near_operation(), set in any_set()) {
        let Ok(operation) = Operation::from_json(value) else { return Ok(()) };
        let (dropped, translated) = match admit(&registry(set), &operation) {
            Decision::Apply { dropped, .. } => (dropped, None),
            Decision::Translate { operations, dropped } => (dropped, Some(operations)),
            Decision::Buffer { missing } => {
                prop_assert!(!missing.is_empty());
                return Ok(());
            }
            Decision::Reject(rejection) => {
                prop_assert!(!rejection.message.is_empty() && !rejection.action.is_empty());
                return Ok(());
            }
        };
        let known = match (operation.kind.as_str(), operation.schema_version) {
            ("tags.add", 1) => vec!["element"],
            ("tags.set", 1) => vec!["elements"],
            ("tags.add", 2) => vec!["element", "dot"],
            ("tags.remove", 2) => vec!["dots"],
            other => panic!("{other:?} was admitted"),
        };
        let all: BTreeSet<&String> = operation.effect.keys().chain(operation.extra.keys()).collect();
        for field in all {
            let is_known =
                known.contains(&field.as_str()) && operation.effect.contains_key(field);
            prop_assert_eq!(is_known, !dropped.contains(field), "{}", field);
            prop_assert!(is_known || operation.optional.contains(field));
            prop_assert!(is_known || !operation.semantic.contains(field));
        }
        // Never half: each element is there, or the operation was refused.
        if let Some(operations) = translated {
            let elements = match operation.effect.get("elements") {
                Some(Value::Array(elements)) => elements.clone(),
                _ => vec![operation.effect["element"].clone()],
            };
            let trimmed = |value: &Value| value.as_str().map(str::trim_ascii).map(str::to_owned);
            for element in &elements {
                let there = operations.iter().any(|one| {
                    let got = &one.effect["element"];
                    got == element || element.is_number() || trimmed(got).is_some() && trimmed(got) == trimmed(element)
                });
                prop_assert!(there, "{} is not in {:?}", element, operations);
            }
            prop_assert!(operations.len() <= elements.len());
        }
    }
}
