//! The lease, with a clock that does not move by itself.

use super::*;
use crate::throttle::{Clock, Moment, SimulatedClock};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tempfile::TempDir;

const PERIOD: Duration = Duration::from_secs(10);
const CLAIM: Claim<'_> = Claim { migration: "m", lease: PERIOD, expired: None };

fn database() -> Connection {
    let conn = Connection::open_in_memory().expect("memory");
    state::create(&conn).expect("tables");
    conn
}

fn attempt(conn: &mut Connection, clock: &dyn Clock) -> Attempt {
    let never = AtomicBool::new(false);
    acquire::<DbError>(conn, CLAIM, clock, &never, &state::create).expect("an attempt")
}

fn taken(attempt: Attempt) -> Lease {
    match attempt {
        Attempt::Taken(lease) => lease,
        Attempt::Held(holder) => panic!("held by {holder:?}"),
    }
}

fn take_it(conn: &mut Connection) -> Lease {
    taken(attempt(conn, &SimulatedClock::new(0)))
}

#[test]
fn a_free_lease_is_taken_at_once_and_its_token_grows() {
    let mut conn = Connection::open_in_memory().expect("memory");
    let clock = SimulatedClock::new(0);
    let first = taken(attempt(&mut conn, &clock));
    first.release(&conn).expect("sql");
    let second = taken(attempt(&mut conn, &clock));
    assert_eq!(clock.now().monotonic, Duration::ZERO);
    assert_eq!(second.token, first.token + 1);
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Replaced);
    assert_eq!(second.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn a_row_that_was_forgotten_gives_no_token_twice() {
    let mut conn = database();
    let tokens: std::collections::BTreeSet<i64> = (0..50)
        .map(|_| {
            conn.execute("DELETE FROM _dotfill_lease", []).expect("sql");
            take_it(&mut conn).token
        })
        .collect();
    assert_eq!(tokens.len(), 50);
}

#[test]
fn a_holder_whose_heartbeat_stands_still_is_replaced_after_one_period() {
    let mut conn = database();
    let first = take_it(&mut conn);
    let clock = SimulatedClock::new(0);
    let second = taken(attempt(&mut conn, &clock));
    assert_eq!(clock.now().monotonic, PERIOD);
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Replaced);
    assert!(!first.beat(&conn).expect("sql"));
    assert_eq!(second.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn the_period_of_the_holder_counts_where_it_is_longer() {
    let mut conn = database();
    take_it(&mut conn);
    conn.execute("UPDATE _dotfill_runner SET lease_ms = 60000", []).expect("sql");
    let clock = SimulatedClock::new(0);
    taken(attempt(&mut conn, &clock));
    assert_eq!(clock.now().monotonic, Duration::from_mins(1));
}

/// A clock during whose n-th sleep somebody else has a turn.
struct Turn<'a> {
    clock: SimulatedClock,
    left: AtomicU32,
    act: &'a (dyn Fn() + Sync),
}

impl Clock for Turn<'_> {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn sleep(&self, wait: Duration) {
        self.clock.advance(wait);
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            (self.act)();
        }
    }
}

/// Two connections to one database.
fn two(folder: &TempDir) -> (Connection, Mutex<Connection>) {
    let open = || Connection::open(folder.path().join("t.db")).expect("a database");
    let conn = open();
    conn.execute_batch("PRAGMA journal_mode = WAL").expect("WAL");
    state::create(&conn).expect("tables");
    (conn, Mutex::new(open()))
}

#[test]
fn a_holder_that_beats_at_the_last_moment_keeps_it() {
    let folder = TempDir::new().expect("a folder");
    let (mut conn, other) = two(&folder);
    let first = take_it(&mut conn);
    let act = || assert!(first.beat(&other.lock()).expect("sql"));
    let clock = Turn { clock: SimulatedClock::new(0), left: AtomicU32::new(39), act: &act };
    let Attempt::Held(holder) = attempt(&mut conn, &clock) else { panic!("taken") };
    assert_eq!(holder.token, first.token);
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn a_holder_that_beats_after_the_last_look_keeps_it() {
    let mut conn = database();
    let first = take_it(&mut conn);
    let seen = Holder::read(&conn, "m").expect("sql").expect("a row");
    assert!(first.beat(&conn).expect("sql"));
    let late = Claim { expired: Some((seen.token, seen.heartbeat)), ..CLAIM };
    let never = AtomicBool::new(false);
    let attempt = take::<DbError>(&mut conn, late, &never, &|_| Ok(())).expect("sql");
    assert!(matches!(attempt, Attempt::Held(_)), "{attempt:?}");
}

#[test]
fn a_holder_that_gives_it_back_is_followed_at_once() {
    let folder = TempDir::new().expect("a folder");
    let (mut conn, other) = two(&folder);
    let first = take_it(&mut conn);
    let act = || first.release(&other.lock()).expect("sql");
    let clock = Turn { clock: SimulatedClock::new(0), left: AtomicU32::new(2), act: &act };
    let second = taken(attempt(&mut conn, &clock));
    assert_eq!(second.token, first.token + 1);
    assert!(clock.now().monotonic < PERIOD / 10);
}

#[test]
fn a_signal_ends_the_waiting() {
    let mut conn = database();
    take_it(&mut conn);
    let cancel = AtomicBool::new(true);
    let clock = SimulatedClock::new(0);
    let error = acquire::<DbError>(&mut conn, CLAIM, &clock, &cancel, &|_| Ok(()));
    assert!(matches!(error, Err(DbError::Interrupted { .. })), "{error:?}");
}

#[test]
fn a_lock_that_was_held_meanwhile_gives_the_holder_another_period() {
    let folder = TempDir::new().expect("a folder");
    let (mut conn, other) = two(&folder);
    conn.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let first = take_it(&mut conn);
    let seen = Holder::read(&conn, "m").expect("sql").expect("a row");
    let late = Claim { expired: Some((seen.token, seen.heartbeat)), ..CLAIM };
    let never = AtomicBool::new(false);
    let held = std::thread::scope(|scope| {
        let third = other.lock();
        third.execute_batch("BEGIN IMMEDIATE").expect("a lock");
        let waiting = scope.spawn(|| take::<DbError>(&mut conn, late, &never, &|_| Ok(())));
        std::thread::sleep(Duration::from_millis(200));
        third.execute_batch("ROLLBACK").expect("an end");
        waiting.join().expect("a thread").expect("sql")
    });
    assert!(matches!(held, Attempt::Held(_)), "{held:?}");
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn a_dead_process_of_this_place_is_replaced_at_once() {
    let mut conn = database();
    take_it(&mut conn);
    conn.execute("UPDATE _dotfill_lease SET pid = 2147483646", []).expect("sql");
    let clock = SimulatedClock::new(0);
    taken(attempt(&mut conn, &clock));
    assert_eq!(clock.now().monotonic, Duration::ZERO);
}

#[test]
fn a_stop_request_reaches_the_holder_and_those_who_wait() {
    let mut conn = database();
    assert!(!request_stop(&conn, "m").expect("sql"));
    let lease = take_it(&mut conn);
    assert!(request_stop(&conn, "m").expect("sql"));
    assert_eq!(lease.check(&conn, None).expect("sql"), Fence::StopRequested);
    lease.release(&conn).expect("sql");
    let free = Holder::read(&conn, "m").expect("sql").expect("a row");
    assert!(free.is_free() && free.stop);
    assert_eq!(take_it(&mut conn).check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn what_was_written_is_recorded_once_for_each_token() {
    let mut conn = database();
    let rows = |conn: &Connection, written: i64| {
        conn.execute(
            "INSERT OR REPLACE INTO _dotfill_changes (n, migration, position, table_name, \
             column_name, delivery, phase, column_added, seeded, filled, rows_written) \
             VALUES (1, 'm', 0, 't', 'c', 'derive', 'filling', 1, 1, 0, ?1)",
            [written],
        )
        .expect("a change");
    };
    let first = take_it(&mut conn);
    rows(&conn, 40);
    // Stands still: replaced without a word of its own.
    let second = take_it(&mut conn);
    rows(&conn, 100);
    second.release(&conn).expect("sql");
    first.release(&conn).expect("sql");
    take_it(&mut conn).release(&conn).expect("sql");
    let told: Vec<(i64, i64)> = state::events(&conn, "m", 10)
        .expect("events")
        .iter()
        .map(|(_, kind, detail)| {
            assert_eq!(kind, ROWS_EVENT);
            let detail: serde_json::Value = serde_json::from_str(detail).expect("JSON");
            let number = |key: &str| detail[key].as_i64().expect("a number");
            (number("token"), number("rows_written"))
        })
        .collect();
    assert_eq!(told, [(first.token, 40), (second.token, 60)]);
}
