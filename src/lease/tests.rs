//! The lease, with a clock that does not move by itself.

use super::*;
use std::cell::Cell;

fn database() -> Connection {
    let conn = Connection::open_in_memory().expect("memory");
    crate::state::create(&conn).expect("tables");
    conn
}

fn taken(attempt: Attempt) -> Lease {
    match attempt {
        Attempt::Taken(lease) => lease,
        Attempt::Held(holder) => panic!("held by {holder:?}"),
    }
}

const PERIOD: Duration = Duration::from_secs(10);

#[test]
fn a_free_lease_is_taken_and_its_token_grows() {
    let mut conn = database();
    let no_sleep = |_| panic!("a free lease needs no waiting");
    let first = taken(Lease::acquire(&mut conn, "m", PERIOD, &no_sleep).expect("sql"));
    first.release(&conn).expect("sql");
    let second = taken(Lease::acquire(&mut conn, "m", PERIOD, &no_sleep).expect("sql"));
    assert!(second.token > first.token);
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Replaced);
    assert_eq!(second.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn a_holder_whose_heartbeat_stands_still_is_replaced_after_one_period() {
    let mut conn = database();
    let first = taken(Lease::acquire(&mut conn, "m", PERIOD, &|_| {}).expect("sql"));
    let slept = Cell::new(Duration::ZERO);
    let sleep = |d| slept.set(slept.get() + d);
    let second = taken(Lease::acquire(&mut conn, "m", PERIOD, &sleep).expect("sql"));
    assert_eq!(slept.get(), PERIOD);
    assert_eq!(first.check(&conn, None).expect("sql"), Fence::Replaced);
    assert_eq!(second.check(&conn, None).expect("sql"), Fence::Ours);
}

#[test]
fn a_dead_process_of_this_host_is_replaced_at_once() {
    let mut conn = database();
    taken(Lease::acquire(&mut conn, "m", PERIOD, &|_| {}).expect("sql"));
    conn.execute("UPDATE _dotfill_lease SET pid = 2147483646", []).expect("sql");
    taken(Lease::acquire(&mut conn, "m", PERIOD, &|_| panic!("no waiting")).expect("sql"));
}

#[test]
fn a_stop_request_reaches_the_holder_once() {
    let mut conn = database();
    assert!(!request_stop(&conn, "m").expect("sql"));
    let lease = taken(Lease::acquire(&mut conn, "m", PERIOD, &|_| {}).expect("sql"));
    assert!(request_stop(&conn, "m").expect("sql"));
    assert_eq!(lease.check(&conn, None).expect("sql"), Fence::StopRequested);
    lease.release(&conn).expect("sql");
    let next = taken(Lease::acquire(&mut conn, "m", PERIOD, &|_| {}).expect("sql"));
    assert_eq!(next.check(&conn, None).expect("sql"), Fence::Ours);
}
