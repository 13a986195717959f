//! What the server, or the file, does not allow is refused before anything is built.

use crate::scene::{Scene, UNIQUE};
use crate::sql::Sql;

/// What `ensure` says to a migration: exit code 2, these words, and no build.
fn refused(migration: &str, ddl: &str, words: &[&str]) {
    let scene = Scene::new(migration);
    scene.sql.run(ddl);
    scene.ensure(&[]).expect_code(2).expect_words(words);
    assert_eq!(scene.builds(), 0);
    assert_eq!(scene.valid(), "");
}

#[test]
fn what_the_definition_names_must_be_there() {
    let of = |from: &str, to: &str| UNIQUE.replace(from, to);
    refused(&of("\"users\"", "\"Users\""), "", &["no table", "public.users", "with their case"]);
    refused(&of("\"users\"", "\"other.users\""), "", &["no table", "other.users"]);
    refused(&of("lower(email)", "lower(mail)"), "", &["column", "mail", "does not exist", "42703"]);
    refused(&of("lower(email)", "lower(email"), "", &["syntax error", "42601"]);
    refused(&of("lower(email)", "email || now()"), "", &["IMMUTABLE", "42P17"]);
    refused(&of("lower(email)", "1), (2"), "", &["more than one"]);
    refused(&of("lower(email)", "1)); DROP TABLE users; --"), "", &["syntax error"]);
    refused(&of("users_email", &"x".repeat(64)), "", &["64 bytes", "63"]);
    refused(
        &of("users\"\n", "people\"\n"),
        "CREATE VIEW people AS SELECT * FROM users",
        &["a view"],
    );
    refused(
        &of("\"users\"", "\"parts\""),
        "CREATE TABLE parts (id int, email text) PARTITION BY RANGE (id)",
        &["partitioned", "ATTACH PARTITION"],
    );
}

#[test]
fn a_partitioned_table_is_proven_where_its_index_is_valid() {
    let scene = Scene::new(&UNIQUE.replace("\"users\"", "\"parts\"").replace("unique = true", ""));
    scene.sql.run(
        "CREATE TABLE parts (id int, email text) PARTITION BY RANGE (id);
         CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         CREATE INDEX users_email ON parts (lower(email))",
    );
    scene.ensure(&[]).expect_complete();
}

#[test]
fn other_kinds_belong_to_sqlite() {
    let migration = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"users\"\n\
                     column = \"region\"\ntype = \"TEXT\"\n";
    refused(migration, "", &["its kind is not", "dotfill run MIGRATION --db FILE"]);
}

#[test]
fn a_role_that_may_not_is_told_what_it_lacks() {
    let scene = Scene::new(UNIQUE);
    let (role, database) = (format!("role_{}", scene.database), &scene.database);
    scene.sql.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON users TO {role};
         REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
    ));
    let mut as_role = Scene::new(UNIQUE);
    as_role.url = scene.url.replace("postgres@", &format!("{role}@"));
    let without = as_role.ensure(&[]).expect_code(2);
    without.expect_words(&["GRANT TEMPORARY ON DATABASE", "42501"]);
    scene.sql.run(&format!("GRANT TEMPORARY ON DATABASE {database} TO {role}"));
    as_role.ensure(&[]).expect_code(2).expect_words(&["must be owner of table users"]);
    assert_eq!(Sql::open(&scene.url).cell("SELECT to_regclass('users_email')"), "NULL");
}
