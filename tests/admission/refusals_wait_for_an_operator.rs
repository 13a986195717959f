//! What was refused or is held is listed, exported, replayed and dropped by `dotfill quarantine`.

use dotfill::state::Mode;
use dotfill::transform::dot::DotDeriver;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use crate::projects::{Answers, Projects, brief, json_of, lines, new_add, old_add, old_add_with};

fn quarantine(projects: &Projects, args: &[&str]) -> Answers {
    let db = projects.db();
    let mut all = vec!["quarantine", args[0], "--db", &db];
    all.extend(&args[1..]);
    projects.call(&all, "")
}

fn briefs(answers: &Answers) -> Vec<String> {
    answers.lines().iter().map(brief).collect()
}

/// The dot of `element` in P7.
fn migration_dot(element: &[u8]) -> String {
    let mut deriver = DotDeriver::new("tags-to-or-set", "projects", "tags");
    deriver.dot(&[ValueRef::Text(b"P7")], ValueRef::Text(element)).to_string()
}

#[test]
fn a_refused_write_is_listed_with_what_to_do() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    let fed = projects.admit(&lines(&[old_add("a", "urgent")])).expect(0);
    assert_eq!(fed.brief(), ["1 a reject old-write"]);
    fed.says(&["1 rejected", "dotfill quarantine list --db"]);
    let list = quarantine(&projects, &["list"]).expect(0).stdout;
    for word in [
        "tags-to-or-set",
        "operation, old-write (waiting)",
        "upgrade to 4.8.0 and resync",
        "{\"key\":[\"P7\"],\"table\":\"projects\"}",
    ] {
        assert!(list.contains(word), "no {word:?} in {list}");
    }
    let json: Value =
        serde_json::from_str(&quarantine(&projects, &["list", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(json["rows_total"], 1);
    assert_eq!(json["rows"][0]["detail"]["operation"], old_add("a", "urgent").to_json());
    let export = quarantine(&projects, &["export"]).expect(0).lines();
    assert_eq!(json!(export), json["rows"]);
    let other = quarantine(&projects, &["list", "another"]).expect(0).stdout;
    assert!(other.contains("nothing is in quarantine"), "{other}");
}

#[test]
fn a_refused_write_is_replayed_with_a_dot_of_its_own() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    projects.admit(&lines(&[old_add("a", "urgent")])).expect(0);
    let replayed = quarantine(&projects, &["replay", "1"]).expect(0).says(&["1 replayed"]);
    assert_eq!(briefs(&replayed), ["a translate 1"]);
    let dot = replayed.lines()[0]["operations"][0]["effect"]["dot"].clone();
    assert_ne!(dot, json!(migration_dot(b"urgent")), "that one was given up");
    // The decision is another one now, and stays.
    assert_eq!(
        projects.admit(&lines(&[old_add("a", "urgent")])).expect(0).brief(),
        ["1 a translate 1"]
    );
    quarantine(&projects, &["replay", "1"]).expect(1).says(&["row 1", "replayed before"]);
    quarantine(&projects, &["replay", "77"]).expect(1).says(&["row 77", "no such row"]);
    let all = quarantine(&projects, &["export", "--all"]).expect(0).lines();
    assert_eq!(all[0]["status"], "replayed");
    assert_eq!(quarantine(&projects, &["export"]).expect(0).stdout, "");
    // Replayed on another replica, it is the same add.
    let other = Projects::new(Mode::ReadNewWriteNew, "reject");
    let two = [old_add("x", "vip"), old_add("a", "urgent")];
    other.admit(&lines(&two)).expect(0);
    let there = quarantine(&other, &["replay", "2"]).expect(0).lines();
    assert_eq!(there[0]["operations"][0]["effect"]["dot"], dot);
}

#[test]
fn a_held_write_is_replayed_with_its_migration_dot_or_given_up() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "quarantine");
    let more = json!({"needs": {"operations": ["a"]}});
    let needs_b = json!({"needs": {"operations": ["b"]}});
    let fed = [
        old_add("a", "urgent"),
        old_add("b", "vip"),
        new_add("after-a", more),
        new_add("after-b", needs_b),
    ];
    let want = [
        "1 a buffer approval",
        "2 b buffer approval",
        "3 after-a buffer operation",
        "4 after-b buffer operation",
    ];
    assert_eq!(projects.admit(&lines(&fed)).expect(0).brief(), want);
    assert_eq!(projects.admit(&lines(&fed)).expect(0).brief(), want, "no rule releases it");
    let replayed = quarantine(&projects, &["replay", "1"]).expect(0);
    assert_eq!(briefs(&replayed), ["a translate 1", "after-a apply new"]);
    let dot = &replayed.lines()[0]["operations"][0]["effect"]["dot"];
    assert_eq!(*dot, json!(migration_dot(b"urgent")));
    let dropped = quarantine(&projects, &["drop", "2"]).expect(0).says(&["1 dropped"]);
    assert_eq!(briefs(&dropped), ["b reject dropped", "after-b reject needed-rejected"]);
    let want = [
        "1 a translate 1",
        "2 b reject dropped",
        "3 after-a apply new",
        "4 after-b reject needed-rejected",
    ];
    assert_eq!(projects.admit(&lines(&fed)).expect(0).brief(), want);
}

#[test]
fn what_is_wrong_in_itself_is_refused_again() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    let frob = json_of("a", "tags.frob", 2, json!({}), json!({})).to_string() + "\n";
    let two = lines(&[old_add("b", "x"), old_add("b", "y")]);
    projects.admit(&(frob + &two)).expect(0);
    let again = quarantine(&projects, &["replay", "1"]).expect(1).says(&["refused again"]);
    assert_eq!(briefs(&again), ["a reject unknown-kind"]);
    quarantine(&projects, &["replay", "3"]).expect(1).says(&["belongs to another operation"]);
    let rest = quarantine(&projects, &["replay", "--all"]).expect(1).says(&["1 replayed; 2 not"]);
    assert_eq!(briefs(&rest), ["a reject unknown-kind", "b translate 1"]);
    quarantine(&projects, &["drop", "--all"]).expect(0).says(&["2 dropped"]);
    assert_eq!(quarantine(&projects, &["export"]).expect(0).stdout, "");
    quarantine(&projects, &["drop"]).expect(2);
    quarantine(&projects, &["drop", "1", "--all"]).expect(2);
}

#[test]
fn what_is_undecided_keeps_a_migration_from_being_forgotten() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    let waits = old_add_with("w", "x", json!({"epoch": "tags-v3"}));
    projects.admit(&lines(&[old_add("a", "urgent"), waits])).expect(0);
    let close = "UPDATE _dotfill_migrations SET phase = 'closed'";
    projects.conn().execute(close, []).unwrap();
    let db = projects.db();
    let forget = || projects.call(&["forget", "tags-to-or-set", "--db", &db], "");
    forget().expect(2).says(&["wait in quarantine: 1", "dotfill quarantine drop --all"]);
    quarantine(&projects, &["drop", "--all"]).expect(0);
    forget().expect(2).says(&["buffered operations wait: 1", "dotfill quarantine drop --buffered"]);
    let list = quarantine(&projects, &["list"]).expect(0).stdout;
    assert!(list.contains("buffered operations: 1"), "{list}");
    let dropped = quarantine(&projects, &["drop", "--buffered"]).expect(0).says(&["1 dropped"]);
    assert_eq!(briefs(&dropped), ["w reject dropped"]);
    forget().expect(0);
    let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_dotfill%' ESCAPE '\\'";
    assert_eq!(projects.number(left), 0);
}

#[test]
fn a_database_without_a_quarantine_has_nothing_in_it() {
    let projects = Projects::new(Mode::ReadNewWriteNew, "reject");
    projects.conn().execute_batch("CREATE TABLE other (id INTEGER PRIMARY KEY)").unwrap();
    let list = quarantine(&projects, &["list"]).expect(0).stdout;
    assert!(list.contains("nothing is in quarantine"), "{list}");
    let bare = projects.arg("bare.db");
    rusqlite::Connection::open(&bare).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let list = projects.call(&["quarantine", "list", "--db", &bare], "").expect(0).stdout;
    assert!(list.contains("nothing is in quarantine"), "{list}");
}
