//! Rows that share a key: everybody gets the same verdict, with the keys, from one build.

use std::collections::BTreeSet;

use serde_json::json;

use crate::scene::{INDEX, Scene, UNIQUE, ends};

fn with_duplicates() -> Scene {
    let scene = Scene::new(UNIQUE);
    scene.sql.run(
        "INSERT INTO users VALUES (-1, 'USER7@example'), (-2, 'user9@EXAMPLE'), (-3, 'USER9@example'),
           (-4, NULL), (-5, NULL)",
    );
    scene
}

#[test]
fn all_who_wait_get_the_same_verdict_with_example_keys() {
    let scene = with_duplicates();
    let writer = scene.writer();
    let callers = scene.callers(8, &[]);
    scene.building();
    writer.run("COMMIT");
    let mut verdicts = BTreeSet::new();
    for output in ends(callers) {
        let output = output.expect_code(1);
        assert_eq!(output.json["sqlstate"], "23505");
        let examples = json!([
            {"key": ["user9@example"], "rows": 3},
            {"key": ["user7@example"], "rows": 2},
        ]);
        assert_eq!(output.json["examples"], examples);
        output.expect_words(&["3 rows have (user9@example)", "--retry"]);
        verdicts.insert(output.json["verdict"].as_str().unwrap().to_owned());
    }
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!(scene.builds(), 1, "nobody tries again what has just failed");
    assert_eq!(scene.valid(), "", "what the build had begun is removed");
}

#[test]
fn later_callers_get_it_too_until_one_says_retry() {
    let scene = with_duplicates();
    let first = scene.ensure(&[]).expect_code(1);
    assert_eq!(first.json["earlier"], false);
    let second = scene.ensure(&[]).expect_code(1);
    assert_eq!(second.json["earlier"], true);
    assert_eq!(second.json["verdict"], first.json["verdict"]);
    assert_eq!(scene.builds(), 1);

    let again = scene.ensure(&["--retry"]).expect_code(1);
    assert_eq!(again.json["earlier"], false);
    assert_eq!(scene.builds(), 2);

    scene.sql.run("DELETE FROM users WHERE id < 0");
    scene.ensure(&[]).expect_code(1);
    scene.ensure(&["--retry"]).expect_complete();
    assert!(!scene.has_verdicts(), "the last verdict goes, and its table");
    scene.ensure(&[]).expect_complete();
}

#[test]
fn several_who_retry_at_once_build_once_more() {
    let scene = with_duplicates();
    scene.ensure(&[]).expect_code(1);
    let writer = scene.writer();
    let callers = scene.callers(4, &["--retry"]);
    scene.building();
    writer.run("COMMIT");
    for output in ends(callers) {
        assert_eq!(output.expect_code(1).json["earlier"], false);
    }
    assert_eq!(scene.builds(), 2);
}

#[test]
fn a_verdict_is_not_believed_of_another_definition_or_against_the_catalog() {
    let mut scene = with_duplicates();
    scene.ensure(&[]).expect_code(1);
    scene.migration(&UNIQUE.replace("unique = true", "unique = false"));
    scene.ensure(&[]).expect_complete();

    let scene = with_duplicates();
    scene.ensure(&[]).expect_code(1);
    scene.sql.run("DELETE FROM users WHERE id < 0");
    scene.sql.run(&format!("CREATE UNIQUE INDEX {INDEX} ON users (lower(email))"));
    scene.ensure(&[]).expect_complete();
    assert!(!scene.has_verdicts());
}

#[test]
fn a_row_that_the_expression_fails_on_is_told() {
    let migration = UNIQUE.replace("lower(email)", "(100 / (id - 5))");
    let scene = Scene::new(&migration.replace("unique = true", "unique = false"));
    let output = scene.ensure(&[]).expect_code(1);
    assert_eq!(output.json["sqlstate"], "22012");
    output.expect_words(&["division by zero", "mend the rows"]);
    assert_eq!(scene.valid(), "");
    scene.ensure(&[]).expect_code(1);
    assert_eq!(scene.builds(), 1);
}

#[test]
fn on_failure_keep_leaves_what_was_begun() {
    let scene = Scene::new(&format!("{UNIQUE}on_failure = \"keep\"\n"));
    scene.sql.run("INSERT INTO users VALUES (-1, 'USER7@example')");
    scene.ensure(&[]).expect_code(1);
    assert_eq!(scene.valid(), "f");
    scene.sql.run("DELETE FROM users WHERE id < 0");
    scene.ensure(&["--retry"]).expect_complete();
}
