//! Timeouts that an operator has set for the application's short statements; builds that somebody
//! cancels.

use std::time::Duration;

use crate::scene::{Scene, UNIQUE, ends};

#[test]
fn timeouts_of_the_role_and_the_database_are_not_ours() {
    let scene = Scene::new(UNIQUE);
    let database = &scene.database;
    // The test's own sessions are there before, and are not meant.
    let writer = scene.writer();
    scene.sql.run(&format!(
        "ALTER DATABASE {database} SET lock_timeout = '20ms';
         ALTER DATABASE {database} SET statement_timeout = '50ms';
         ALTER DATABASE {database} SET idle_session_timeout = '100ms';
         ALTER DATABASE {database} SET default_transaction_read_only = on"
    ));
    let running: Vec<_> = (0..3).map(|_| scene.start(&[])).collect();
    scene.building();
    std::thread::sleep(Duration::from_millis(300));
    writer.run("COMMIT");
    for caller in running {
        caller.end().expect_complete();
        assert_eq!(scene.valid(), "t");
    }
    assert_eq!(scene.builds(), 1, "no attempt was lost to a timeout");
}

#[test]
fn a_build_that_is_cancelled_is_tried_again() {
    let scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    let callers = scene.callers(2, &[]);
    let pid = scene.building();
    scene.sql.run(&format!("SELECT pg_cancel_backend({pid})"));
    writer.run("COMMIT");
    let outputs = ends(callers);
    let mut attempts = 0;
    for output in outputs {
        attempts += output.expect_complete().json["indexes"][0]["attempts"].as_u64().unwrap();
    }
    assert_eq!((attempts, scene.builds()), (2, 2));
}

#[test]
fn attempts_are_bounded_and_whoever_waits_gets_the_verdict() {
    let scene = Scene::new(UNIQUE);
    // The server itself ends every build in this database.
    scene.sql.run(
        "CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
           $$ BEGIN RAISE query_canceled USING MESSAGE = 'no builds today'; END $$",
    );
    let mut scene = scene;
    scene.migration(&UNIQUE.replace("lower(email)", "slow(email)"));
    let writer = scene.writer();
    let callers = scene.callers(3, &[]);
    scene.building();
    writer.run("COMMIT");
    for output in ends(callers) {
        let output = output.expect_code(1);
        assert_eq!(output.json["cause"], "effort");
        output.expect_words(&["3 attempts failed", "no builds today", "repeat the command"]);
    }
    assert_eq!(scene.builds(), 3, "three attempts of one caller, none of the others");
    assert_eq!(scene.valid(), "");

    scene.sql.run(
        "CREATE OR REPLACE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql AS
           'SELECT lower($1)'",
    );
    scene.ensure(&[]).expect_complete();
    assert!(!scene.has_verdicts());
}
