//! Users write while the run works; every row ends right, on both replicas.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Client, Records, Replica, merge_both_ways, migration_file};
use crate::scenario::{DERIVE, Pair, command, run};

const ROWS: i64 = 50_000;
/// Writes of the foreground at the least; it goes on as long as the run does.
const WRITES_MIN: i64 = 300;
/// Coprime with `ROWS`, so that the writes fall all over the table.
const STRIDE: i64 = 7_919;

#[test]
fn from_another_connection() {
    let (a, b) = (Replica::machines_with_owner(), Replica::machines_with_owner());
    a.insert_machines(u32::try_from(ROWS).unwrap());
    merge_both_ways(&a, &b);
    let migration = migration_file(a.folder(), DERIVE);
    let pair = Pair { a, b, migration };

    let users = run_under_writes(&pair);
    let version_of_the_users = Records::of(&pair.a);
    run(&pair.migration, &pair.a);
    version_of_the_users.assert_none_created(&pair.a);

    let mine: Vec<_> = users.iter().map(|id| (*id, format!("mine-{id}"))).collect();
    let except: Vec<_> = mine.iter().map(|(id, owner)| (*id, Some(owner.as_str()))).collect();
    pair.assert_settles(&except);
}

/// Runs on `a` while a user writes targets and sources there; the machines whose owner they set.
fn run_under_writes(pair: &Pair) -> BTreeSet<i64> {
    let done = AtomicBool::new(false);
    let path = pair.a.path();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let client = Client::open(path);
            (0..ROWS)
                .take_while(|turn| *turn < WRITES_MIN || !done.load(Ordering::Relaxed))
                .filter_map(|turn| write(&client, turn))
                .collect()
        });
        let output = command("run", &pair.migration, &pair.a);
        done.store(true, Ordering::Relaxed);
        let users = writer.join().expect("no user's write fails");
        output.expect_complete();
        users
    })
}

/// One write of the foreground, to a machine of its own; that machine, if its owner was set.
fn write(client: &Client, turn: i64) -> Option<i64> {
    let id = 1 + (turn * STRIDE) % ROWS;
    match turn % 4 {
        0 => client.run("UPDATE machines SET owner = 'mine-' || id WHERE id = ?1", [id]),
        1 => client.run("UPDATE machines SET app = 'moved-' || id WHERE id = ?1", [id]),
        2 => client.run("INSERT INTO machines(id, app) VALUES (?1, 'late')", [ROWS + 1 + turn]),
        _ => client.run("DELETE FROM machines WHERE id = ?1", [id]),
    };
    (turn % 4 == 0).then_some(id)
}

#[test]
fn between_two_runs() {
    let pair = Pair::without_column(DERIVE);
    run(&pair.migration, &pair.a);
    pair.a.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    pair.a.run("UPDATE machines SET app = 'moved' WHERE id = 2", []);
    assert_eq!(pair.a.owner_version(1), Some(1), "premise: over a clockless cell, version 1");
    assert_eq!(pair.a.owner_version(2), None, "premise: a write of the source leaves it clockless");

    let records = Records::of(&pair.a);
    let output = run(&pair.migration, &pair.a);
    assert_eq!(output.counter("rows_written"), 1, "only machine 2 is derived again");
    records.assert_none_created(&pair.a);

    // The other replica has no column yet, and a change of a column it lacks fails there.
    run(&pair.migration, &pair.b);
    pair.assert_settles(&[(1, Some("mine"))]);
}
