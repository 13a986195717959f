//! The built-in signal of a Corrosion database: `run` and the drains of `run --follow` wait while
//! the agent is behind, say why, and go on when it has caught up.

use serde_json::Value;

use crate::common::{
    Replica, catch_up, corrosion_tables, dotfill, eventually, follow, migration_file, miss,
    receive_part, start,
};
use crate::scenario::{DERIVE, Pair, run};

const ROWS: u32 = 600;
const BEHIND: &str = "corrosion: 3 buffered changes of 1 version, 1 gap";

fn of_corrosion(pair: Pair) -> Pair {
    pair.both().into_iter().for_each(|replica| corrosion_tables(replica));
    pair
}

fn fall_behind(replica: &Replica) {
    receive_part(replica, 7, 3, 9, "app");
    miss(replica, 3, 4);
}

/// Why the runner pauses, as `status` shows it.
fn throttle_reason(replica: &Replica) -> Option<String> {
    let status = dotfill(&["status", "--db", replica.db(), "--json"]);
    match &status.json[0]["throttle_reason"] {
        Value::String(reason) => Some(reason.clone()),
        _ => None,
    }
}

/// A node of an agent, with the column, and the migration's file.
fn node() -> (Replica, String) {
    let node = Replica::machines();
    node.insert_machines(ROWS);
    node.alter("machines", "ALTER TABLE machines ADD COLUMN owner TEXT");
    corrosion_tables(&node);
    let migration = migration_file(node.folder(), DERIVE);
    (node, migration)
}

/// Runs a command on a node whose agent is behind, so slowly that a second passes before all is
/// done; it pauses, changes no row meanwhile, and goes on when the agent has caught up.
#[track_caller]
fn assert_waits(name: &str, migration: &str, node: &Replica) {
    fall_behind(node);
    let slow = ["--rows-per-second", "200", "--batch-rows-max", "10"];
    let args = [name, migration, "--db", node.db(), "--json"];
    let job = start(&[&args[..], &slow[..]].concat());
    eventually("the job pauses", || throttle_reason(node).as_deref() == Some(BEHIND));
    let before = node.machines_rows();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(node.machines_rows(), before, "a paused {name} writes no row");
    catch_up(node);
    let report = job.end().expect_complete();
    assert!(report.stderr.contains(BEHIND), "{}", report.stderr);
    assert_ne!(node.machines_rows(), before, "premise: {name} paused before it was done");
}

#[test]
fn run_waits() {
    let (node, migration) = node();
    assert_waits("run", &migration, &node);
}

#[test]
fn close_waits() {
    let (node, migration) = node();
    run(&migration, &node);
    node.run("UPDATE machines SET app = 'moved'", []);
    assert_waits("close", &migration, &node);
}

#[test]
fn rollback_waits() {
    let (node, migration) = node();
    run(&migration, &node);
    assert_waits("rollback", &migration, &node);
}

#[test]
fn drains_wait() {
    let pair = of_corrosion(Pair::with_clockless_column(DERIVE));
    pair.run();
    fall_behind(&pair.a);
    let mut following = follow(&pair.migration, pair.a.db());
    let mut n = 0;
    eventually("the drains pause", || {
        n += 1;
        pair.a.run("UPDATE machines SET app = 'app-' || ?1 WHERE id = 1", [n]);
        throttle_reason(&pair.a).as_deref() == Some(BEHIND)
    });
    assert!(following.is_alive());
    pair.a.run("UPDATE machines SET app = 'last' WHERE id = 1", []);
    assert_ne!(pair.a.owner(1).as_deref(), Some("o-last"));
    catch_up(&pair.a);
    eventually("machine 1 is derived", || pair.a.owner(1).as_deref() == Some("o-last"));
    following.interrupt().expect_code(4);
}
