//! The name is there and means something else: refused, with what differs; and what only is spelled
//! another way is the same.

use crate::scene::{INDEX, Scene, UNIQUE};

/// The exit code of `ensure` where `ddl` has been there first.
fn beside(ddl: &str, code: i32, words: &[&str]) {
    let scene = Scene::new(UNIQUE);
    scene.sql.run(ddl);
    let oid = "SELECT oid FROM pg_class WHERE relname = 'users_email'";
    let before = scene.sql.cell(oid);
    let output = scene.ensure(&[]).expect_code(code);
    output.expect_words(words);
    assert_eq!(scene.sql.cell(oid), before, "nothing was touched");
    assert_eq!(scene.builds(), 0);
}

#[test]
fn what_differs_is_shown() {
    let index = |what: &str| format!("CREATE UNIQUE INDEX {INDEX} ON users {what}");
    let refused = |ddl: &str, words: &[&str]| beside(ddl, 2, words);
    refused(
        &index("(email)"),
        &["wanted (lower(email)), found (email)", "DROP INDEX CONCURRENTLY"],
    );
    refused(&index("(lower(email) DESC)"), &["found (lower(email) DESC)"]);
    refused(&index("(lower(email) COLLATE \"POSIX\")"), &["another collation"]);
    refused(&index("(lower(email) text_pattern_ops)"), &["another operator class"]);
    refused(&index("(lower(email), id)"), &["found (lower(email), id)"]);
    refused(&index("(lower(email)) INCLUDE (id)"), &["included: wanted nothing, found (id)"]);
    refused(&index("(lower(email)) NULLS NOT DISTINCT"), &["found unique, NULLs not distinct"]);
    refused(
        &index("(lower(email)) WHERE gone IS NULL"),
        &["condition: wanted none, found (gone IS NULL)"],
    );
    refused(
        &format!("CREATE INDEX {INDEX} ON users (lower(email))"),
        &[
            "wanted unique, found not unique",
            "CREATE INDEX users_email ON public.users USING btree",
        ],
    );
}

#[test]
fn what_is_no_index_of_the_table_is_named() {
    let name = format!("CREATE TABLE {INDEX} (id int)");
    beside(&name, 2, &["a table of the schema has this name"]);
    let other = format!("CREATE TABLE others (email text); CREATE INDEX {INDEX} ON others (email)");
    beside(&other, 2, &["another table of the schema has an index of this name"]);
}

#[test]
fn another_spelling_and_what_is_the_operators_is_the_same() {
    for ddl in [
        "CREATE UNIQUE INDEX users_email ON public.users USING btree ((lower( users.email )))",
        "CREATE UNIQUE INDEX users_email ON users (lower(email) ASC) WITH (fillfactor = 70)",
    ] {
        beside(ddl, 0, &["found"]);
    }
    let scene = Scene::new(
        "id = \"m\"\n[[change]]\nkind = \"index\"\nname = \"users_email\"\ntable = \"public.users\"\n\
         columns = [\"email\", \"id\"]\nwhere = \"gone is null and id  >  7 -- young ones\"\n",
    );
    scene
        .sql
        .run("CREATE INDEX users_email ON users (email, id) WHERE (gone IS NULL) AND ((id > 7))");
    assert_eq!(scene.ensure(&[]).expect_complete().json["indexes"][0]["how"], "found");
}
