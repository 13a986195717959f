//! What a history happens to: replicas of one kind, each a database with the application's connection.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::Backup;
use tempfile::TempDir;

use super::form::{Form, element, object};
use super::model::Old;

/// Replicas, and how they replicate.
pub trait World {
    /// What one sends to another.
    type Message: Clone;

    /// True where cr-sqlite replicates.
    const CLOCKS: bool;

    /// The replica's application.
    fn app(&self, at: usize) -> &Connection;

    fn path(&self, at: usize) -> &Path;

    /// The folder in which the fleet meets; none where every replica says that it is alone.
    fn fleet(&self) -> Option<&Path>;

    /// The folder of the fleet that decides whether the old form may go, which lists all but the old
    /// client's replica.
    fn compaction_fleet(&self) -> Option<PathBuf>;

    /// How a replica calls itself there, where it has no id of its own.
    fn name(&self, at: usize) -> Option<String>;

    /// The part of a fresh dot's cause that is the replica's.
    fn site(&self, at: usize) -> String;

    /// The application has written the old form; `before` is what it was.
    fn wrote(&mut self, at: usize, before: &Old, after: &Old);

    /// Everything that a replica has to say.
    fn message(&mut self, at: usize) -> Self::Message;

    /// Something arrives that was sent at some time, in one transaction.
    fn deliver(&mut self, message: &Self::Message, to: usize) -> rusqlite::Result<()>;
}

/// The old form as it stands in a database.
pub fn read_old(form: Form, conn: &Connection) -> Old {
    let mut old = Old::default();
    let sql = match form {
        Form::Rows => "SELECT id, NULL FROM projects",
        Form::Json | Form::Csv | Form::Lines => "SELECT id, tags FROM projects",
    };
    let mut statement = conn.prepare_cached(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (key, text) = (row.get_ref(0).unwrap().as_str().unwrap(), row.get_ref(1).unwrap());
        let text = text.as_str_or_null().unwrap().map(|text| form.number(text));
        old.texts.insert(object(key), text);
    }
    if form == Form::Rows {
        let mut statement = conn.prepare_cached("SELECT project, tag FROM tags").unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let word = |i| row.get_ref(i).unwrap().as_str().unwrap().to_owned();
            old.rows.insert((object(&word(0)), element(&word(1))));
        }
    }
    old
}

/// A folder for databases in memory: `SQLite`'s own in-memory databases have no WAL, which dotfill
/// needs, so the files are on a file system in memory, where there is one.
pub fn memory() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir()
        && let Ok(folder) = TempDir::new_in(shared)
    {
        return folder;
    }
    TempDir::new().unwrap()
}

/// A database file that is used again and again. A connection of its own keeps it open, so that the
/// files beside it stay the same ones.
pub struct Slot {
    keeper: Connection,
    path: PathBuf,
}

impl Slot {
    pub fn new(path: PathBuf) -> Self {
        let keeper = Connection::open(&path).unwrap();
        keeper.pragma_update(None, "journal_mode", "WAL").unwrap();
        keeper.pragma_update(None, "synchronous", "OFF").unwrap();
        keeper.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        Self { keeper, path }
    }

    pub fn conn(&self) -> &Connection {
        &self.keeper
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it a copy of a database.
    pub fn restore(&mut self, from: &Connection) {
        self.keeper.flush_prepared_statement_cache();
        let backup = Backup::new(from, &mut self.keeper).unwrap();
        backup.run_to_completion(1 << 20, std::time::Duration::ZERO, None).unwrap();
    }
}
