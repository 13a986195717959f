//! A process that is killed before or after any of its commits: the next one, fed the same, ends
//! with the same decisions, and between them they have handed on every decision.
//!
//! The process that is killed is this test binary again, which finds its orders in an environment
//! variable.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use dotfill::admit::{Admission, AdmitLimits, Admitted, Operation};
use dotfill::monitor::{Monitor, Quiet};
use dotfill::state::Mode;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::kill::{self, AbortAt};
use crate::projects::{Projects, new_add, old_add, old_add_with};

const ORDERS: &str = "DOTFILL_TEST_ADMIT_KILL";

fn feed() -> Vec<Operation> {
    let needs = |op_id: &str| json!({"needs": {"operations": [op_id]}});
    vec![
        old_add("a", "urgent"),
        old_add_with("b", "late", needs("f")),
        new_add("c", json!({})),
        new_add("d", json!({"x": 1})),
        old_add_with("e", "later", needs("b")),
        new_add("f", json!({})),
        new_add("g", json!({"epoch": "tags-v3"})),
    ]
}

/// Feeds in small batches, appending what was handed on to `answers`; replays the first refusal.
fn work(db: &Path, answers: &Path, monitor: &dyn Monitor) {
    let mut admission = Admission::open(db, AdmitLimits::default(), monitor).unwrap();
    let mut out = OpenOptions::new().create(true).append(true).open(answers).unwrap();
    let mut hand_on = |admission: &mut Admission<'_>, admitted: &[Admitted]| {
        for one in admitted {
            writeln!(out, "{}", json!({"op_id": one.op_id, "decision": one.decision})).unwrap();
        }
        admission.announced(admitted).unwrap();
    };
    for batch in feed().chunks(2) {
        let admitted = admission.batch(batch).unwrap();
        hand_on(&mut admission, &admitted);
    }
    let admitted = admission.readmit_if_due().unwrap();
    hand_on(&mut admission, &admitted);
}

/// A database with buffered operations, whose epoch has opened since.
fn template() -> Projects {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let waiting = [new_add("w1", json!({})), new_add("w2", json!({"epoch": "tags-v2"}))];
    projects.admission().batch(&waiting).unwrap();
    projects.set_mode(Mode::ReadNewWriteNew);
    projects.conn().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    projects
}

/// The child's half: no test of its own.
#[test]
fn the_process_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let (point, folder) = orders.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let monitor = AbortAt::new(point.parse().unwrap());
    work(&folder.join("p.db"), &folder.join("answers"), &monitor);
}

fn killed(point: u64, folder: &Path) -> bool {
    let orders = format!("{point} {}", folder.display());
    kill::killed(module_path!(), "the_process_that_is_killed", ORDERS, &orders)
}

/// The last decision of each operation that was handed on.
fn answers(path: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(path).unwrap();
    let parse = |line| serde_json::from_str::<Value>(line).unwrap();
    let lines = text.lines().map(parse);
    lines.map(|line| (line["op_id"].to_string(), line["decision"].clone())).collect()
}

fn dump(db: &Path) -> Vec<String> {
    let conn = Connection::open(db).unwrap();
    let mut out = Vec::new();
    for sql in [
        "SELECT json_array(op_id, state, decision, operation, bytes, announced) \
         FROM _dotfill_operations ORDER BY op_id",
        "SELECT json_array(op_id, what) FROM _dotfill_missing JOIN _dotfill_operations USING (seq) \
         ORDER BY 1",
        "SELECT json_array(identity, reason, detail, status) FROM _dotfill_quarantine ORDER BY 1",
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        out.extend(rows.map(Result::unwrap));
    }
    out
}

#[test]
fn every_point() {
    let projects = template();
    let folder = |name: &str| {
        let path = projects.folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::copy(projects.db(), path.join("p.db")).unwrap();
        path
    };
    let whole = folder("whole");
    work(&whole.join("p.db"), &whole.join("answers"), &Quiet);
    let (want, said) = (dump(&whole.join("p.db")), answers(&whole.join("answers")));
    assert_eq!(said.len(), 9, "premise: every operation is answered: {said:?}");
    assert_eq!(said["\"w1\""]["decision"], "apply", "premise: what waited is released");
    for point in 1.. {
        let folder = folder(&point.to_string());
        let (db, file) = (folder.join("p.db"), folder.join("answers"));
        if !killed(point, &folder) {
            assert!(point > 12, "premise: only {point} points");
            break;
        }
        work(&db, &file, &Quiet);
        assert_eq!(dump(&db), want, "killed at point {point}");
        assert_eq!(answers(&file), said, "killed at point {point}");
    }
}
