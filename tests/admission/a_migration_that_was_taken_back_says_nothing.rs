//! A migration that has failed or was rolled back does not stand in the way of another one of its set.

use dotfill::migration::Migration;
use dotfill::state::{MigrationRow, Mode, Phase};

use crate::projects::{Projects, lines, migration, old_add};

#[test]
fn another_one_of_the_same_set_decides() {
    for (phase, code, decision) in [
        (Phase::Failed, 0, "1 a translate 1"),
        (Phase::RolledBack, 0, "1 a translate 1"),
        (Phase::Open, 2, ""),
    ] {
        let projects = Projects::new(Mode::ReadNewWriteNew, "translate");
        let text = migration("reject").replace("tags-to-or-set", "a-first-try");
        let first = Migration::parse(&text, "m.toml".as_ref()).unwrap();
        let (conn, id) = (projects.conn(), first.id.as_str());
        MigrationRow::insert(&conn, id, &first.digest, &text, phase).unwrap();
        let answers = projects.admit(&lines(&[old_add("a", "x")])).expect(code);
        if code == 0 {
            assert_eq!(answers.brief(), [decision], "{phase}");
        } else {
            answers.says(&["described twice"]);
        }
    }
}
