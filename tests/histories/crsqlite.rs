//! Replicas with the real extension: change records are what they send, as a syncer does it, or all of
//! them again. The three that know the new version are a fleet.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dotfill::engine::{self, AckOptions, AdvanceOptions, Outcome};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;
use rusqlite::Connection;
use tempfile::TempDir;

use super::common::{Records, Replica, merge_both_ways, try_apply, versions};
use super::form::Form;
use super::model::Old;
use super::plain::begin;
use super::step::{OLD_CLIENT, REPLICAS, Stage};
use super::story::{asked, options};
use super::world::{Slot, World, memory};

const NEW_FORM: &str = "
    CREATE TABLE project_tag_adds(id TEXT NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE project_tag_removes(dot BLOB NOT NULL PRIMARY KEY);";

/// The site of a replica, the same in every run.
fn site(at: usize) -> Vec<u8> {
    vec![[0xa0, 0xa1, 0xa2, 0xa3][at]; 16]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Templates = BTreeMap<(Form, &'static str, Stage), [Connection; REPLICAS]>;

pub struct CrSqlite {
    slots: Vec<Slot>,
    /// The replicas of the present history.
    replicas: Vec<Replica>,
    templates: Templates,
    fleet: PathBuf,
    _folder: TempDir,
}

impl CrSqlite {
    pub fn new() -> Self {
        let folder = memory();
        let slots =
            (0..REPLICAS).map(|at| Slot::new(folder.path().join(format!("{at}.db")))).collect();
        let fleet = folder.path().join("fleet");
        make_fleet(&fleet);
        Self { slots, replicas: Vec::new(), templates: BTreeMap::new(), fleet, _folder: folder }
    }

    /// Begins a history: the fleet is at one stage, and everybody has the same.
    pub fn begin(&mut self, form: Form, policy: &'static str, migration: &Migration, stage: Stage) {
        self.replicas.clear();
        let make = || template(form, migration, stage);
        let templates = self.templates.entry((form, policy, stage)).or_insert_with(make);
        for (slot, template) in self.slots.iter_mut().zip(templates) {
            slot.restore(template);
            self.replicas.push(Replica::at(slot.path()));
        }
        let acks = self.fleet.join("tags-or-set");
        if acks.is_dir() {
            fs::remove_dir_all(acks).unwrap();
        }
    }
}

fn make_fleet(fleet: &Path) {
    fs::create_dir_all(fleet).unwrap();
    let one = |at| format!("[[replica]]\nid = \"{}\"\n", hex(&site(at)));
    let list: String = (0..OLD_CLIENT).map(one).collect();
    fs::write(fleet.join("fleet.toml"), list).unwrap();
}

/// Replicas that hold the same, the fleet of which is at a stage.
fn template(form: Form, migration: &Migration, stage: Stage) -> [Connection; REPLICAS] {
    let folder = memory();
    let replicas: Vec<Replica> = (0..REPLICAS)
        .map(|at| {
            let path = folder.path().join(format!("{at}.db"));
            replica(form, &path, at);
            Replica::at(&path)
        })
        .collect();
    begin(form, &replicas[0]);
    for other in &replicas[1..] {
        merge_both_ways(&replicas[0], other);
    }
    let fleet = folder.path().join("fleet");
    make_fleet(&fleet);
    reach(&replicas[..OLD_CLIENT], migration, &fleet, stage);
    let paths: Vec<PathBuf> = replicas.iter().map(|r| r.path().to_owned()).collect();
    drop(replicas);
    std::array::from_fn(|at| {
        let from = Connection::open(&paths[at]).unwrap();
        let mut copy = Connection::open_in_memory().unwrap();
        let backup = rusqlite::backup::Backup::new(&from, &mut copy).unwrap();
        backup.run_to_completion(1 << 20, std::time::Duration::ZERO, None).unwrap();
        drop(backup);
        copy
    })
}

/// Makes an empty replica with a site of its own.
fn replica(form: Form, path: &Path, at: usize) {
    let replica = Replica::at(path);
    replica.execute_batch(form.old_tables()).unwrap();
    replica.execute_batch(NEW_FORM).unwrap();
    for table in form.tables().iter().chain(&["project_tag_adds", "project_tag_removes"]) {
        replica.run("SELECT crsql_as_crr(?1)", [table]);
    }
    drop(replica);
    // The extension reads it when it is loaded.
    let conn = Connection::open(path).unwrap();
    let sql = "UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0";
    assert_eq!(conn.execute(sql, [site(at)]).unwrap(), 1);
}

/// Has a fleet reach a stage.
fn reach(replicas: &[Replica], migration: &Migration, fleet: &Path, stage: Stage) {
    if stage == Stage::Unknown {
        return;
    }
    for replica in replicas {
        let report = engine::run(replica.path(), migration, &options(), &Quiet).unwrap();
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    }
    let steps: &[(Mode, Option<u8>)] = match stage {
        Stage::Unknown | Stage::Open => &[],
        Stage::Both => &[(Mode::ReadNewWriteOld, None), (Mode::ReadNewWriteBoth, None)],
        Stage::Share => &[
            (Mode::ReadNewWriteOld, None),
            (Mode::ReadNewWriteBoth, None),
            (Mode::ReadNewWriteNew, Some(Stage::PERCENT)),
        ],
        Stage::Closed => &[
            (Mode::ReadNewWriteOld, None),
            (Mode::ReadNewWriteBoth, None),
            (Mode::ReadNewWriteNew, None),
        ],
    };
    for (to, percent) in steps {
        for replica in replicas {
            let asked = AckOptions {
                fleet: fleet.to_owned(),
                replica: None,
                oldest_client: Some("4.8.0".to_owned()),
                readiness: Readiness::default(),
            };
            engine::acknowledge(replica.path(), migration, &asked, &AtomicBool::default()).unwrap();
        }
        for replica in replicas {
            let asked: AdvanceOptions = asked(*to, Some(fleet.to_owned()), *percent);
            let report =
                engine::advance(replica.path(), migration, &asked, &options(), &Quiet).unwrap();
            assert!(report.gate, "{:#?}", report.conditions);
        }
    }
}

impl World for CrSqlite {
    type Message = Records;

    const CLOCKS: bool = true;

    fn app(&self, at: usize) -> &Connection {
        &self.replicas[at]
    }

    fn path(&self, at: usize) -> &Path {
        self.slots[at].path()
    }

    fn fleet(&self) -> Option<&Path> {
        Some(&self.fleet)
    }

    fn compaction_fleet(&self) -> Option<PathBuf> {
        Some(self.fleet.clone())
    }

    fn name(&self, _: usize) -> Option<String> {
        None
    }

    fn site(&self, at: usize) -> String {
        hex(&site(at))
    }

    fn wrote(&mut self, _: usize, _: &Old, _: &Old) {}

    fn message(&mut self, at: usize) -> Records {
        Records::of(&self.replicas[at])
    }

    fn deliver(&mut self, message: &Records, to: usize) -> rusqlite::Result<()> {
        let replica = &self.replicas[to];
        replica.execute_batch("BEGIN IMMEDIATE")?;
        for change in &message.changes {
            try_apply(replica, change)?;
        }
        let seen = versions(replica);
        for (site, version) in &message.versions {
            if *site != self::site(to) && seen.get(site).is_none_or(|seen| seen < version) {
                replica
                    .run("SELECT crsql_set_db_version(?1, ?2)", rusqlite::params![site, version]);
            }
        }
        replica.execute_batch("COMMIT")
    }
}
