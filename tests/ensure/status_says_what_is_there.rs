//! `status --url`: what an index is now, and who is at it. Nothing is written.

use crate::scene::{Scene, UNIQUE, ends};

#[test]
fn each_state_has_its_word_and_exit_code() {
    let scene = Scene::new(UNIQUE);
    let phase = |code: i32| {
        let output = scene.status().expect_code(code);
        let seen = &output.json[0];
        (seen["phase"].as_str().unwrap().to_owned(), seen["indexes"][0].clone())
    };
    assert_eq!(phase(4).0, "missing");

    let writer = scene.writer();
    let callers = scene.callers(1, &[]);
    let pid = scene.building();
    let (word, index) = phase(5);
    assert_eq!(word, "building");
    assert!(index["builder"].as_str().unwrap().starts_with(&format!("pid {pid} (dotfill")));
    assert_eq!(index["progress"]["phase"], "waiting for writers before build");
    assert!(index["progress"]["waits"].as_str().unwrap().contains("idle in transaction"));
    writer.run("COMMIT");
    ends(callers);
    assert_eq!(phase(0).0, "proven");

    scene.sql.run("DROP INDEX users_email; CREATE INDEX users_email ON users (id)");
    let (word, index) = phase(4);
    assert_eq!(word, "different");
    assert!(index["reason"].as_str().unwrap().contains("found (id)"));

    scene.sql.run("DROP INDEX users_email; INSERT INTO users VALUES (-1, 'USER7@example')");
    let left = "CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (lower(email))";
    assert!(scene.sql.try_run(left).is_err());
    assert_eq!(phase(4).0, "invalid");

    scene.ensure(&[]).expect_code(1);
    let (word, index) = phase(4);
    assert_eq!(word, "failed");
    assert_eq!(index["examples"][0]["key"][0], "user7@example");
}
