//! Encryption as the URL asks for it, passwords that are never shown, servers that do not answer.

use crate::common::Output;
use crate::scene::{Scene, UNIQUE};
use crate::server::shared;

/// What `ensure` says with other parameters of the URL, and another host.
fn with(host: &str, query: &str) -> Output {
    let mut scene = Scene::new(UNIQUE);
    scene.url =
        format!("postgres://postgres:hunter2@{host}:{}/{}{query}", shared().port, scene.database);
    let watched = scene.status();
    assert!(!format!("{watched:?}").contains("hunter2"), "{watched:?}");
    watched
}

#[test]
fn certificates_are_checked_where_that_is_asked_for() {
    let root = format!("&sslrootcert={}", shared().certificate());
    for query in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require"] {
        with("localhost", query).expect_code(4);
    }
    with("localhost", &format!("?sslmode=verify-full{root}")).expect_code(4);
    with("localhost", &format!("?sslmode=require{root}")).expect_code(4);
    // A name that the certificate does not have; a signer that nobody knows.
    let stranger = with("127.0.0.1", &format!("?sslmode=verify-full{root}&connect_timeout=1"));
    stranger.expect_code(1).expect_words(&["certificate"]);
    with("localhost", "?sslmode=verify-full&sslrootcert=/nonexistent.pem")
        .expect_code(2)
        .expect_words(&["/nonexistent.pem"]);
}

#[test]
fn a_connection_that_wants_encryption_has_it() {
    let mut scene = Scene::new(UNIQUE);
    let writer = scene.writer();
    scene.url = scene.url.replace("sslmode=disable", "sslmode=require");
    let caller = scene.start(&[]);
    let pid = scene.building();
    assert_eq!(scene.sql.cell(&format!("SELECT ssl FROM pg_stat_ssl WHERE pid = {pid}")), "t");
    writer.run("COMMIT");
    caller.end().expect_complete();
}

#[test]
fn what_does_not_answer_or_lets_nobody_in_is_told() {
    let mut scene = Scene::new(UNIQUE);
    let url = scene.url.clone();
    scene.url = url.replace(&scene.database, "nowhere");
    scene
        .ensure(&[])
        .expect_code(1)
        .expect_words(&["database \"nowhere\" does not exist", "3D000"]);
    scene.url = url.replace("postgres@", "nobody_at_all:hunter2@");
    let stranger = scene.ensure(&[]).expect_code(1);
    stranger.expect_words(&["nobody_at_all"]);
    assert!(!format!("{stranger:?}").contains("hunter2"));
    scene.url = "postgres://u:hunter2@127.0.0.1:1/d".to_owned();
    let refused = scene.ensure(&["--timeout", "500ms"]).expect_code(1);
    refused.expect_words(&["refused", "postgres://u@127.0.0.1:1/d"]);
    assert!(!format!("{refused:?}").contains("hunter2"));
    for url in
        ["mysql://u:hunter2@h/d", "postgres://u:hunter2@h/d?x=1", "env:DOTFILL_NO_SUCH_THING"]
    {
        scene.url = url.to_owned();
        let output = scene.ensure(&[]).expect_code(2);
        assert!(!format!("{output:?}").contains("hunter2"));
    }
}
