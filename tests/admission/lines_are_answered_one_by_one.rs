//! `dotfill admit` as a user would try it: a file, a pipe, lines that are wrong, files that are
//! something else, databases that cannot answer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use dotfill::admit::LINE_BYTES_MAX;
use dotfill::state::Mode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::projects::{Projects, json_of, lines, new_add, old_add};

#[test]
fn a_file_and_the_same_file_again() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let many: Vec<_> =
        (0..3000).map(|i| old_add(&format!("o{i}"), &format!("t{}", i % 7))).collect();
    let first =
        projects.admit(&lines(&many)).expect(0).says(&["3,000 operations", "3,000 translated"]);
    let answers = first.lines();
    assert_eq!(answers.len(), 3000);
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!((&answer["line"], &answer["op_id"]), (&json!(i + 1), &json!(format!("o{i}"))));
    }
    let dots: std::collections::BTreeSet<String> =
        answers.iter().map(|one| one["operations"][0]["effect"]["dot"].to_string()).collect();
    assert_eq!(dots.len(), 7);
    assert_eq!(projects.admit(&lines(&many)).expect(0).stdout, first.stdout);
    // In parts, and from standard input.
    let db = projects.db();
    let piped = projects.call(&["admit", "--db", &db, "--ops", "-"], &lines(&many));
    assert_eq!(piped.expect(0).stdout, first.stdout);
}

#[test]
fn a_pipe_is_answered_at_once_and_a_signal_ends_it() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dotfill"))
        .args(["admit", "--db", &projects.db(), "--ops", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut output = BufReader::new(output).lines();
    for i in 0..3 {
        input.write_all(lines(&[old_add(&i.to_string(), "x")]).as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["line"], i + 1);
    }
    // It waits for input now, and the pipe stays open.
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    drop(input);
}

#[test]
fn a_line_that_is_no_operation_is_named_and_the_rest_decided() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let good = |op_id: &str| lines(&[old_add(op_id, "x")]);
    let twice = good("c").replace("{\"effect\"", "{\"op_id\":\"d\",\"effect\"");
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let text = format!(
        "{}\n  \nnot json\n{twice}{long}\n\n{}",
        good("a").trim_end(),
        good("b").trim_end()
    );
    let got = projects.admit(&text).expect(1).says(&["3 lines that are no operation"]);
    let answers = got.lines();
    let errors: Vec<(u64, &str)> = answers
        .iter()
        .filter_map(|one| Some((one["line"].as_u64()?, one["error"].as_str()?)))
        .collect();
    assert_eq!(errors.iter().map(|one| one.0).collect::<Vec<_>>(), [3, 4, 5]);
    for ((_, error), word) in errors.iter().zip(["expected", "given twice", "longer than 1 MiB"]) {
        assert!(error.contains(word), "{error}");
    }
    let brief = got.brief();
    assert_eq!((brief[0].as_str(), brief[4].as_str()), ("1 a translate 1", "7 b translate 1"));
    assert_eq!(projects.admit(&text).expect(1).stdout, got.stdout);
}

#[test]
fn input_that_is_something_else_is_refused_and_nothing_written() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let db = projects.db();
    projects.conn().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let before = fs::read(&db).unwrap();
    let good = lines(&[old_add("a", "x")]);
    for text in ["op_id,kind\n", "\n\n[1]\n", "\u{0}\u{1}", &format!("{{}}\n{good}")] {
        let got = projects.admit(text).expect(2).says(&["no operation", "nothing was decided"]);
        assert_eq!(got.stdout, "");
    }
    let nowhere = projects.arg("nowhere");
    let folder = projects.arg("");
    for ops in [&nowhere, &folder] {
        let got = projects.call(&["admit", "--db", &db, "--ops", ops], "");
        got.expect(2).says(&[ops.as_str(), "--ops"]);
    }
    projects
        .call(&["admit", "--db", &nowhere, "--ops", "-"], &good)
        .expect(2)
        .says(&["no such file"]);
    assert_eq!(fs::read(&db).unwrap(), before);
    let empty = projects.admit("").expect(0).says(&["0 operations"]);
    assert_eq!(empty.stdout, "");
}

#[test]
fn a_database_that_knows_no_set_is_refused() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    let bare = projects.arg("bare.db");
    rusqlite::Connection::open(&bare).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let good = lines(&[old_add("a", "x")]);
    let got = projects.call(&["admit", "--db", &bare, "--ops", "-", "--json"], &good).expect(2);
    assert_eq!(got.stdout, "");
    got.says(&["knows no migration of sets", "dotfill run MIGRATION"]);
    projects.conn().execute_batch("DROP TABLE projects").unwrap();
    projects.admit(&good).expect(2).says(&["tags-to-or-set", "projects", "put the table back"]);
}

#[test]
fn an_older_state_is_brought_up_to_date_and_a_newer_one_refused() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
    // As version 2 left it.
    projects
        .conn()
        .execute_batch(
            "DROP TABLE _dotfill_sets; DROP TABLE _dotfill_outcomes; DROP TABLE _dotfill_modes;
             DROP TABLE _dotfill_quarantine; DROP TABLE _dotfill_operations;
             DROP TABLE _dotfill_missing; DROP TABLE _dotfill_shipped; DROP TABLE _dotfill_runner;
             DROP TABLE _dotfill_indexes;
             UPDATE _dotfill_meta SET value = 2 WHERE key = 'schema_version';",
        )
        .unwrap();
    let two = lines(&[old_add("a", "x"), new_add("b", json!({}))]);
    let got = projects.admit(&two).expect(0);
    assert_eq!(got.brief(), ["1 a apply old", "2 b buffer mode"], "nobody has moved it on");
    assert_eq!(projects.number("SELECT value FROM _dotfill_meta WHERE key = 'schema_version'"), 3);
    let newer = "UPDATE _dotfill_meta SET value = 4 WHERE key = 'schema_version'";
    projects.conn().execute(newer, []).unwrap();
    let got = projects.admit(&two).expect(2).says(&["version 4", "use the dotfill release"]);
    assert_eq!(got.stdout, "");
}

#[test]
fn what_another_process_released_is_answered_too() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    assert_eq!(
        projects.admit(&lines(&[new_add("a", json!({}))])).expect(0).brief(),
        ["1 a buffer mode"]
    );
    projects.set_mode(Mode::ReadNewWriteNew);
    let got = projects.admit(&lines(&[old_add("b", "x")])).expect(0);
    let answers = got.lines();
    assert_eq!((&answers[0]["op_id"], &answers[0]["readmitted"]), (&json!("a"), &json!(true)));
    assert_eq!(got.brief()[1], "1 b translate 1");
    let more = projects.admit("").expect(0);
    assert_eq!(more.stdout, "", "it was handed on");
}

#[test]
fn what_was_decided_again_and_not_printed_is_printed_by_the_next_one() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    projects.admit(&lines(&[new_add("a", json!({}))])).expect(0);
    projects.set_mode(Mode::ReadNewWriteNew);
    // Decided, and nobody told: the process ended before it could.
    drop(projects.admission().readmit().unwrap());
    let got = projects.admit("").expect(0).lines();
    assert_eq!((&got[0]["op_id"], &got[0]["decision"]), (&json!("a"), &json!("apply")));
    assert_eq!(projects.admit("").expect(0).stdout, "");
}

#[test]
fn the_sum_is_json_on_standard_error() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    let wide = json_of("c", "tags.add", 3, json!({}), json!({})).to_string();
    let text = lines(&[old_add("a", "x"), new_add("b", json!({}))]) + &wide + "\nnothing";
    fs::write(projects.arg("ops"), text).unwrap();
    let (db, ops) = (projects.db(), projects.arg("ops"));
    let got = projects.call(&["admit", "--db", &db, "--ops", &ops, "--json"], "").expect(1);
    let sum: Value = serde_json::from_str(&got.stderr).unwrap();
    for (key, want) in [
        ("operations", 3),
        ("applied", 1),
        ("rejected", 1),
        ("buffered", 1),
        ("waiting", 1),
        ("bad_lines", 1),
        ("translated", 0),
    ] {
        assert_eq!(sum[key], want, "{key} in {sum}");
    }
}
