//! Commands as they are typed into a shell.

use std::path::Path;

/// `dotfill VERB ID --db FILE`.
pub(super) fn dotfill(verb: &str, id: &str, db: &Path) -> String {
    format!("dotfill {verb} {id} --db {}", word(&db.display().to_string()))
}

/// `dotfill apply PLACE --db FILE`.
pub(super) fn apply(place: &str, db: &Path) -> String {
    let place = if place == "-" { place.to_owned() } else { word(place) };
    format!("dotfill apply {place} --db {}", word(&db.display().to_string()))
}

/// `dotfill run ID --db FILE --deltas PLACE`.
pub(super) fn ship(id: &str, place: &str, db: &Path) -> String {
    format!("{} --deltas {}", dotfill("run", id, db), word(place))
}

/// `sqlite3 FILE 'SQL'`.
pub(super) fn sqlite(db: &Path, sql: &str) -> String {
    format!("sqlite3 {} {}", word(&db.display().to_string()), quoted(sql))
}

/// `text` as one word of a POSIX shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        assert_eq!(dotfill("run", "m", Path::new("/a/b.db")), "dotfill run m --db /a/b.db");
        assert_eq!(
            sqlite(Path::new("a b.db"), "DROP TRIGGER \"it's\""),
            "sqlite3 'a b.db' 'DROP TRIGGER \"it'\\''s\"'"
        );
    }
}
