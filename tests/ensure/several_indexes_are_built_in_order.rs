//! Several changes in one file: in order, and no further than to the first that is not proven.

use crate::scene::Scene;

const THREE: &str = "id = \"three\"
[[change]]
kind = \"index\"
name = \"one\"
table = \"users\"
columns = [\"gone\", \"email\"]
[[change]]
kind = \"index\"
name = \"two\"
table = \"users\"
columns = [\"gone\"]
unique = true
where = \"id < 100\"
[[change]]
kind = \"index\"
name = \"three\"
table = \"users\"
columns = [\"id\"]
";

#[test]
fn each_is_proven_before_the_next_begins() {
    let scene = Scene::new(THREE);
    scene.sql.run("UPDATE users SET gone = '2026-11-21' WHERE id IN (3, 4, 500)");
    let output = scene.ensure(&[]).expect_code(1);
    assert_eq!(output.json["index"], "two");
    assert_eq!(output.json["examples"][0]["key"][0], "2026-11-21");
    let names = "SELECT string_agg(c.relname || ' ' || i.indisvalid, ', ' ORDER BY c.oid)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'users'::regclass";
    assert_eq!(scene.sql.cell(names), "users_pkey true, one true");

    scene.sql.run("UPDATE users SET gone = NULL WHERE id = 3");
    let output = scene.ensure(&["--retry"]).expect_complete();
    let hows: Vec<&str> = output.json["indexes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["how"].as_str().unwrap())
        .collect();
    assert_eq!(hows, ["found", "built", "built"]);
    assert_eq!(scene.sql.cell(names), "users_pkey true, one true, two true, three true");
}
