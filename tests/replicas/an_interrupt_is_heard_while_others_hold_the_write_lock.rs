//! An agent that applies a large version holds the write lock for seconds, at most for a minute. A
//! job that has nothing to write then neither fails nor keeps an operator waiting.

use std::time::{Duration, Instant};

use crate::common::{corrosion_tables, eventually, follow, receive_part};
use crate::scenario::{DERIVE, Pair, run};

/// Longer than the time between two heartbeats of a runner.
const HELD: Duration = Duration::from_secs(4);

/// Follows, holds the lock, interrupts; the job ends as it would without the lock.
fn interrupted_under_the_lock(pair: &Pair, until: impl FnOnce()) {
    let mut following = follow(&pair.migration, pair.a.db());
    following.wait_for("following");
    until();
    pair.a.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::sleep(HELD);
    assert!(following.is_alive());
    let asked = Instant::now();
    following.interrupt().expect_code(4);
    assert!(asked.elapsed() < Duration::from_secs(8), "heard after {:?}", asked.elapsed());
    pair.a.execute_batch("ROLLBACK").unwrap();
    run(&pair.migration, &pair.a);
}

#[test]
fn while_it_follows() {
    let pair = Pair::filled(DERIVE);
    interrupted_under_the_lock(&pair, || {});
}

#[test]
fn while_it_waits_for_an_agent() {
    let pair = Pair::with_clockless_column(DERIVE);
    pair.both().into_iter().for_each(|replica| corrosion_tables(replica));
    pair.run();
    receive_part(&pair.a, 7, 3, 2, "app");
    interrupted_under_the_lock(&pair, || {
        let paused = "SELECT count(*) FROM _dotfill_lease WHERE throttle LIKE 'corrosion: %'";
        eventually("the job pauses", || {
            pair.a.run("UPDATE machines SET app = app || '.' WHERE id = 1", []);
            pair.a.count(paused) == 1
        });
    });
}
