//! Replicas of a table of projects whose tags become an observed-remove set, and the fleet's folder.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::common::{Output, Replica, dotfill, extension, migration_file};

/// The table of most scenarios.
pub const PROJECTS: &str =
    "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT, tags TEXT)";

/// The refusal of a closed epoch.
pub const REFUSAL: &str =
    "old tags write rejected: projects is in epoch tags-v2; upgrade to 4.8.0 and resync";

/// The migration file, with a policy for old writes.
pub fn tags(old_writes: &str) -> String {
    format!(
        "id = \"tags-or-set\"\nepoch = \"tags-v2\"\nminimum_client = \"4.8.0\"\n\n[[change]]\n\
         kind = \"or_set\"\ntable = \"projects\"\nsource = \"tags\"\nformat = \"json\"\n\
         adds = \"project_tag_adds\"\nremoves = \"project_tag_removes\"\n\
         view = \"project_tags_visible\"\nold_writes = \"{old_writes}\"\n"
    )
}

/// A replica with the table `projects`.
pub fn projects() -> Replica {
    Replica::with_tables(PROJECTS, &["projects"])
}

/// A migration, and the folder in which its fleet meets.
pub struct Scene {
    pub migration: String,
    pub fleet: String,
    folder: TempDir,
}

impl Scene {
    /// The scene of a migration file whose fleet requires these replicas.
    pub fn new(toml: &str, required: &[&Replica]) -> Self {
        let folder = TempDir::new().unwrap();
        let migration = migration_file(folder.path(), toml);
        let fleet = folder.path().join("fleet");
        fs::create_dir(&fleet).unwrap();
        let list: String =
            required.iter().map(|r| format!("[[replica]]\nid = \"{}\"\n", site(r))).collect();
        fs::write(fleet.join("fleet.toml"), list).unwrap();
        let fleet = fleet.into_os_string().into_string().unwrap();
        Self { migration, fleet, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `dotfill COMMAND MIGRATION --db DB --json ..`.
    pub fn command(&self, name: &str, replica: &Replica, more: &[&str]) -> Output {
        let mut args = vec![name, &self.migration, "--db", replica.db(), "--json"];
        args.extend(more);
        dotfill(&args)
    }

    /// Fills and proves, with the extension, which makes the tables where they are absent.
    #[track_caller]
    pub fn run(&self, replica: &Replica) -> Output {
        let extension = extension().display().to_string();
        self.command("run", replica, &["--crsqlite", &extension]).expect_complete()
    }

    #[track_caller]
    pub fn ack(&self, replica: &Replica) {
        self.command("ack", replica, &["--fleet", &self.fleet, "--oldest-client", "4.8.0"])
            .expect_code(0);
    }

    pub fn advance(&self, replica: &Replica, to: &str, more: &[&str]) -> Output {
        let mut args = vec!["--to", to, "--fleet", &self.fleet];
        args.extend(more);
        self.command("advance", replica, &args)
    }

    /// Takes all replicas from where they are to the next mode.
    #[track_caller]
    pub fn advance_all(&self, replicas: &[&Replica], to: &str) {
        for replica in replicas {
            self.ack(replica);
        }
        for replica in replicas {
            let output = self.advance(replica, to, &[]).expect_code(0);
            assert_eq!(output.json["mode"], to, "{}", output.json);
        }
    }

    /// Fills all replicas and closes their epoch.
    #[track_caller]
    pub fn close_epoch(&self, replicas: &[&Replica]) {
        for replica in replicas {
            self.run(replica);
        }
        for mode in ["read-new-write-old", "read-new-write-both", "read-new-write-new"] {
            self.advance_all(replicas, mode);
        }
    }

    /// What is in quarantine, as its command lists it: reason and detail.
    #[allow(clippy::unused_self, reason = "reads like the other commands")]
    pub fn quarantine(&self, replica: &Replica) -> Vec<(String, serde_json::Value)> {
        let args = ["quarantine", "list", "--all", "--db", replica.db(), "--json"];
        let listed = dotfill(&args).expect_code(0).json;
        let rows = listed["rows"].as_array().unwrap();
        assert_eq!(listed["rows_total"], rows.len(), "{listed}");
        let reason = |row: &serde_json::Value| row["reason"].as_str().unwrap().to_owned();
        rows.iter().map(|row| (reason(row), row["detail"].clone())).collect()
    }
}

/// The replica's site id, in hexadecimal digits.
pub fn site(replica: &Replica) -> String {
    replica.site_id().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the view shows of one project, in order.
pub fn shown(replica: &Replica, id: &str) -> Vec<String> {
    let mut statement = replica
        .prepare("SELECT element FROM project_tags_visible WHERE id = ?1 ORDER BY element")
        .unwrap();
    statement.query_map([id], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// A new client removes a tag: all dots that it sees.
pub fn remove(replica: &Replica, id: &str, tag: &str) {
    replica.run(
        "INSERT INTO project_tag_removes(dot) SELECT dot FROM project_tag_adds
         WHERE id = ?1 AND element = ?2",
        [id, tag],
    );
}

/// A new client adds a tag, with a dot of its own.
pub fn add(replica: &Replica, id: &str, tag: &str) {
    replica.run(
        "INSERT INTO project_tag_adds(id, element, dot) VALUES (?1, ?2, randomblob(16))",
        [id, tag],
    );
}
