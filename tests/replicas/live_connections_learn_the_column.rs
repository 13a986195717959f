//! Applications that are connected, with statements prepared and open, while the column appears.

use rusqlite::Connection;

use crate::common::{Client, Records, Replica, merge_both_ways, migration_file};
use crate::scenario::{DERIVE, Pair, run};

/// What an application does that was prepared before the column was there: the schema changes
/// under its statements, in another process, by `change`.
fn application_across(replica: &Replica, change: impl FnOnce()) {
    let client = replica.connect();
    let mut insert = client.prepare("INSERT INTO machines(id, app) VALUES (?1, ?2)").unwrap();
    let mut update = client.prepare("UPDATE machines SET app = ?2 WHERE id = ?1").unwrap();
    insert.execute((101, "early")).unwrap();
    update.execute((2, "early")).unwrap();
    let mut reader = client.prepare("SELECT id FROM machines").unwrap();
    let mut open = reader.query([]).unwrap();
    assert!(open.next().unwrap().is_some(), "a statement is open, and a snapshot with it");

    change();

    assert!(open.next().unwrap().is_some(), "the open statement goes on");
    drop(open);
    insert.execute((102, "late")).unwrap();
    update.execute((3, "late")).unwrap();
    drop((insert, update, reader));
    uses_the_column(&client);
}

fn uses_the_column(client: &Client) {
    client.run("UPDATE machines SET owner = 'mine' WHERE id = 4", []);
    client.run("INSERT INTO machines(id, app, owner) VALUES (103, 'x', 'theirs')", []);
}

/// The changes of `application_across` are all on record, the new column's included.
fn assert_recorded(replica: &Replica) {
    for (id, column, version) in [
        (2, "app", 2),
        (3, "app", 2),
        (101, "app", 1),
        (102, "app", 1),
        (102, "owner", 1),
        (4, "owner", 1),
        (103, "owner", 1),
    ] {
        let clock = replica.clock("machines", id, column);
        assert_eq!(clock.map(|c| (c.col_version, c.site)), Some((version, 0)), "{id}.{column}");
    }
    let owners = Records::of(replica).of_column("owner").count();
    assert_eq!(owners, 3, "102 (NULL), 4 and 103");
}

#[test]
fn when_dotfill_adds_it() {
    let (a, b) = (Replica::machines(), Replica::machines());
    a.insert_machines(20);
    merge_both_ways(&a, &b);
    let migration = migration_file(a.folder(), DERIVE);
    application_across(&a, || drop(run(&migration, &a)));
    assert_recorded(&a);
    run(&migration, &b);
    let pair = Pair { a, b, migration };
    pair.assert_settles(&[(4, Some("mine")), (103, Some("theirs"))]);
}

/// The premise, without dotfill: an ALTER and re-created triggers, by a connection that has no
/// extension, are enough for connections that have it.
#[test]
fn premise_new_triggers_are_enough() {
    let twin = Replica::machines_with_owner();
    let trigger: String =
        twin.value("SELECT sql FROM sqlite_master WHERE name = ?1", ["machines__crsql_utrig"]);
    let replica = Replica::machines();
    replica.insert_machines(20);
    application_across(&replica, || {
        let mut other = Connection::open(replica.path()).unwrap();
        let transaction = other.transaction().unwrap();
        transaction.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT").unwrap();
        transaction.execute_batch("DROP TRIGGER machines__crsql_utrig").unwrap();
        transaction.execute_batch(&trigger).unwrap();
        transaction.commit().unwrap();
    });
    assert_recorded(&replica);
}

/// A limit of cr-sqlite 0.17, whoever adds the column, its own alter included: a connection that has
/// read `crsql_changes` and committed nothing since believes in its old columns for one more
/// transaction. An UPDATE fails there, once; an INSERT leaves the new column out of the records.
/// A commit of anything on that connection is the remedy.
fn stale_connection(heal: bool) -> (Replica, Client) {
    let replica = Replica::machines();
    replica.insert_machines(5);
    let client = replica.connect();
    client.rows("SELECT * FROM crsql_changes", []);
    replica.alter("machines", "ALTER TABLE machines ADD COLUMN owner TEXT");
    if heal {
        client.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
    }
    (replica, client)
}

#[test]
fn premise_an_update_on_a_stale_connection_fails_once() {
    let (replica, client) = stale_connection(false);
    let update = "UPDATE machines SET owner = 'mine' WHERE id = 1";
    let error = client.try_run(update, []).unwrap_err();
    assert_eq!(error.to_string(), "expected 7 values, got 9");
    client.run(update, []);
    assert_eq!(replica.owner_version(1), Some(1));
}

#[test]
fn premise_an_insert_on_a_stale_connection_is_recorded_but_for_the_column() {
    let (replica, client) = stale_connection(false);
    client.run("INSERT INTO machines(id, app, owner) VALUES (101, 'x', 'mine')", []);
    assert_eq!(replica.owner_clock(101), None);
    client.run("INSERT INTO machines(id, app, owner) VALUES (102, 'x', 'mine')", []);
    assert_eq!(replica.owner_version(102), Some(1));
}

#[test]
fn premise_a_commit_makes_a_stale_connection_look_again() {
    let (replica, client) = stale_connection(true);
    client.run("UPDATE machines SET owner = 'mine' WHERE id = 1", []);
    client.run("INSERT INTO machines(id, app, owner) VALUES (101, 'x', 'mine')", []);
    assert_eq!((replica.owner_version(1), replica.owner_version(101)), (Some(1), Some(1)));
}
