//! Where the files are that `SQLite` keeps beside a database.

use std::path::{Path, PathBuf};

/// The file with this suffix (`-wal`, `-shm`, `-journal`) that belongs to a database: beside the
/// database itself, where `db` is a symbolic link to it.
#[must_use]
pub fn beside(db: &Path, suffix: &str) -> PathBuf {
    // What cannot be resolved is opened by its own name, and fails there.
    let mut name = std::fs::canonicalize(db).unwrap_or_else(|_| db.to_owned()).into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wal_of_a_link_is_that_of_the_database() {
        let (there, here) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let db = there.path().canonicalize().expect("a folder").join("a.db");
        let link = here.path().join("link.db");
        std::os::unix::fs::symlink(&db, &link).expect("a link");
        let conn = rusqlite::Connection::open(&link).expect("a database");
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").expect("a table");
        for path in [&db, &link] {
            assert!(std::fs::metadata(beside(path, "-wal")).expect("a WAL").len() > 0);
        }
        assert!(!here.path().join("link.db-wal").exists(), "premise: SQLite follows the link");
        assert_eq!(beside(Path::new("/none/such.db"), "-shm"), Path::new("/none/such.db-shm"));
    }
}
