//! Others write while a command is killed, fails and is repeated: none of their writes is lost, none
//! fails, and what is left in the end is what an undisturbed command leaves after the same writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::scope;
use std::time::Duration;

use crate::cases::Case;
use crate::common::Client;
use crate::scene::Scene;
use crate::shim::Fault;

/// Kills of one scene.
const KILLS: usize = 4;
/// Writes while a command is killed and repeated.
const WRITES: i64 = 60;

/// How long each of the clients of a storm holds the write lock; then it leaves room for one more.
const HOLD: Duration = Duration::from_millis(2);

/// A write of a client: rows of its own, users' values, other sources, deletions.
fn write(client: &Client, i: i64) {
    let id = 1000 + i;
    client.run("INSERT INTO t (id, src) VALUES (?1, 'by ' || ?1)", [id]);
    match i % 4 {
        0 => client.run("UPDATE t SET src = 'again ' || id WHERE id = ?1 - 3", [id]),
        1 => client.run("UPDATE t SET target = 'user' WHERE id = ?1 - 2", [id]),
        2 => client.run("DELETE FROM t WHERE id = ?1 - 2 AND id % 8 = 0", [id]),
        _ => client.run("UPDATE t SET src = 'of all' WHERE id = ?1 % 40", [id]),
    };
}

/// A client makes all its writes, in order; the commands meanwhile.
fn beside(place: &Path, commands: impl FnOnce()) {
    let path = place.join("t.db");
    scope(|scope| {
        let writer = scope.spawn(|| {
            let client = Client::open(&path);
            for i in 0..WRITES {
                write(&client, i);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        commands();
        writer.join().expect("no write fails");
    });
}

/// What a table holds, whoever wrote it.
fn rows(place: &Path) -> Vec<String> {
    let client = Client::open(&place.join("t.db"));
    let verdict: String = client.value("PRAGMA integrity_check", []);
    assert_eq!(verdict, "ok", "{}", place.display());
    let mut all = client.rows("SELECT * FROM t ORDER BY id", []);
    let is_set = "SELECT count(*) FROM sqlite_schema WHERE name = 'visible'";
    if client.value::<i64>(is_set, []) == 1 {
        all.extend(client.rows("SELECT * FROM visible ORDER BY 1, 2", []));
    }
    all.iter().map(|row| format!("{row:?}")).collect()
}

#[track_caller]
fn check(case: Case) {
    let scene = Scene::new(case);
    let whole = scene.copy("whole");
    let count = scene.call(&whole, None).operations.len();
    beside(&whole, || {});
    assert_eq!(scene.again(&whole), None);
    let want = rows(&whole);
    let mut killed = 0;
    for at in (1..=count).step_by(count / KILLS) {
        let place = scene.copy("copy");
        beside(&place, || {
            let ended = scene.call(&place, Some(Fault { at, action: "before" }));
            killed += usize::from(ended.code.is_none());
            assert_eq!(scene.again(&place), None, "killed at {at}");
        });
        assert_eq!(scene.again(&place), None, "killed at {at}");
        assert_eq!(rows(&place), want, "killed at {at}");
        std::fs::remove_dir_all(&place).unwrap();
    }
    assert!(killed * 2 > KILLS, "premise: killed {killed} times");
}

each_case! { check;
    run_on_a_plain_table: Plain, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
    run_from_the_middle: Plain, HalfRun, "run @m.toml --db @t.db --batch-rows-max 7";
    run_on_a_replicated_table: Replicated, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
    rollback_on_a_replicated_table: Replicated, Run,
        "rollback @m.toml --db @t.db --batch-rows-max 7";
    apply_to_a_plain_table: Plain, Deltas, "apply @deltas --db @t.db --batch-rows-max 7";
    apply_to_a_replicated_table: Replicated, Deltas, "apply @deltas --db @t.db --batch-rows-max 7";
    run_of_a_set: Set, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
}

/// The storm is over, however its command ends.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everybody takes the write lock as often as possible and holds it for a while.
#[track_caller]
fn storm(case: Case) {
    let scene = Scene::new(case);
    let (still, stormy) = (scene.copy("still"), scene.copy("stormy"));
    assert_eq!(scene.call(&still, None).code, Some(0));
    let path = stormy.join("t.db");
    let (done, taken) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let client = Client::open(&path);
                while !done.load(Ordering::Relaxed) {
                    client.run("BEGIN IMMEDIATE", []);
                    std::thread::sleep(HOLD);
                    client.run("COMMIT", []);
                    taken.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(HOLD * 2);
                }
            });
        }
        let over = Over(&done);
        let ended = scene.call(&stormy, None);
        drop(over);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    });
    assert!(taken.load(Ordering::Relaxed) > 3, "premise: {taken:?} locks were taken");
    assert_eq!(scene.compare(&stormy, &scene.dump(&still)), None);
}

mod in_a_storm_of_locks {
    use super::storm;

    each_case! { storm;
        run_on_a_plain_table: Plain, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
        run_that_publishes_records: Native, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
        run_with_deltas_of_a_replicated_table: Replicated, Rows,
            "run @m.toml --db @t.db --deltas @new --batch-rows-max 7";
        run_of_a_set_from_the_middle: Set, HalfRun,
            "run @m.toml --db @t.db --batch-rows-max 7";
        close_on_a_replicated_table: Replicated, Run, "close @m.toml --db @t.db";
        rollback_on_a_plain_table: Plain, Run,
            "rollback @m.toml --db @t.db --batch-rows-max 7";
        apply_to_a_replicated_table: Replicated, Deltas,
            "apply @deltas --db @t.db --batch-rows-max 7";
        closing_of_an_epoch: Set, Modes(2),
            "advance @m.toml --db @t.db --alone --to read-new-write-new";
        compaction: Set, Modes(3),
            "advance @m.toml --db @t.db --fleet @fleet --to compact-old --export @old.jsonl";
    }
}
