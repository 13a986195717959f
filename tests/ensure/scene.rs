//! A database with a table, and what happens to its index.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::common::{Output, Running, dotfill, eventually, start};
use crate::server::{Server, shared};
use crate::sql::Sql;

/// The index of most tests.
pub const INDEX: &str = "users_email";

/// The migration of most tests.
pub const UNIQUE: &str = "id = \"users-email\"\n[[change]]\nkind = \"index\"\nname = \"users_email\"\n\
                          table = \"users\"\nexpressions = [\"lower(email)\"]\nunique = true\n";

/// A database of a test's own.
pub struct Scene {
    pub url: String,
    pub database: String,
    pub sql: Sql,
    folder: Arc<tempfile::TempDir>,
    file: String,
}

impl Scene {
    /// A database with 2000 users, on the server that tests share.
    pub fn new(migration: &str) -> Self {
        Self::on(shared(), migration)
    }

    /// The same on another server.
    pub fn on(server: &Server, migration: &str) -> Self {
        let (url, database) = server.database();
        let sql = Sql::open(&url);
        sql.run(
            "CREATE TABLE users (id int PRIMARY KEY, email text, gone date);
             INSERT INTO users SELECT g, 'User' || g || '@example' FROM generate_series(1, 2000) g",
        );
        let folder = tempfile::tempdir().unwrap();
        let file = crate::common::migration_file(folder.path(), migration);
        Self { url, database, sql, folder: Arc::new(folder), file }
    }

    /// Another migration file of this scene.
    pub fn migration(&mut self, text: &str) {
        self.file = crate::common::migration_file(self.folder.path(), text);
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["ensure", self.file.as_str(), "--url", self.url.as_str(), "--json"];
        args.extend(more);
        args
    }

    /// Runs `dotfill ensure` to its end.
    pub fn ensure(&self, more: &[&str]) -> Output {
        self.checked(dotfill(&self.args(more)))
    }

    /// Starts `dotfill ensure`.
    pub fn start(&self, more: &[&str]) -> Running {
        start(&self.args(more))
    }

    /// Runs `dotfill status`.
    pub fn status(&self) -> Output {
        dotfill(&["status", self.file.as_str(), "--url", self.url.as_str(), "--json"])
    }

    /// Starts `n` callers. Each looks, at the moment when it ends with exit code 0, whether the
    /// index is valid.
    pub fn callers(&self, n: usize, more: &[&str]) -> Vec<JoinHandle<Output>> {
        (0..n)
            .map(|_| {
                let (running, url) = (self.start(more), self.url.clone());
                // Connected before, so that the look is but one question.
                let sql = Sql::open(&url);
                std::thread::spawn(move || {
                    let output = running.end();
                    look(&sql, &output, SystemTime::now());
                    output
                })
            })
            .collect()
    }

    fn checked(&self, output: Output) -> Output {
        look(&self.sql, &output, SystemTime::now());
        output
    }

    /// A transaction that has written into the table, and stays open: a build waits for it.
    pub fn writer(&self) -> Sql {
        let writer = Sql::open(&self.url);
        writer.run("BEGIN; UPDATE users SET gone = NULL WHERE id = 1");
        writer
    }

    /// Waits until a build has begun, and waits for a [`Scene::writer`]; the number of its process.
    pub fn building(&self) -> String {
        let mut pid = String::new();
        eventually("a build waits for the writer", || {
            pid = self.sql.cell(
                "SELECT pid FROM pg_stat_progress_create_index
                 WHERE relid = 'users'::regclass AND phase LIKE 'waiting%'",
            );
            !pid.is_empty()
        });
        pid
    }

    /// Whether the index is there and valid; empty where it is not there.
    pub fn valid(&self) -> String {
        self.sql.cell(VALID)
    }

    /// How many builds the server was asked for.
    pub fn builds(&self) -> usize {
        shared().statements(&self.database, "INDEX CONCURRENTLY \"users_email\" ON")
    }

    /// Whether there is a table of verdicts.
    pub fn has_verdicts(&self) -> bool {
        self.sql.cell("SELECT to_regclass('_dotfill_ensure') IS NOT NULL") == "t"
    }
}

/// Whether the index of most tests is valid.
pub const VALID: &str = "SELECT i.indisvalid AND i.indisready AND i.indislive
  FROM pg_index i WHERE i.indexrelid = to_regclass('users_email')";

/// When the row that says valid was committed, in seconds since 1970.
const VALID_SINCE: &str = "SELECT extract(epoch FROM pg_xact_commit_timestamp(i.xmin))
  FROM pg_index i WHERE i.indexrelid = to_regclass('users_email') AND i.indisvalid";

/// Exit code 0 is only right while the index is valid: it is so now, and has been since before the
/// process ended.
fn look(sql: &Sql, output: &Output, ended: SystemTime) {
    if output.code != 0 {
        return;
    }
    let name = output.json["indexes"][0]["index"].as_str().unwrap_or_default();
    if name != INDEX {
        return;
    }
    assert_eq!(sql.cell(VALID), "t", "exit 0 without a valid index: {}", output.json);
    let since: f64 = sql.cell(VALID_SINCE).parse().unwrap();
    let ended = ended.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(Duration::from_secs_f64(since) <= ended, "valid {since}, exit 0 at {ended:?}");
}

/// What callers left behind.
pub fn ends(callers: Vec<JoinHandle<Output>>) -> Vec<Output> {
    callers.into_iter().map(|caller| caller.join().expect("the caller's look")).collect()
}
