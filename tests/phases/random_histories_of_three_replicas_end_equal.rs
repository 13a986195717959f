//! Random histories of three real replicas, one of which is late: old clients write sets, new ones add
//! and remove, objects go and come back, replicas merge, settle and advance in any order. In the end,
//! when everything has been exchanged and settled, they show the same.
//!
//! `DOTFILL_TEST_HISTORIES=N` runs so many for each policy; a failure prints seed and history.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dotfill::engine::{self, AckOptions, AdvanceOptions, HeldVerdict, RunOptions};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;
use tempfile::TempDir;

use crate::common::{Replica, merge};
use crate::plain::STEPS;
use crate::scenario::{PROJECTS, site, tags};

const NEW_FORM: &str = "
    CREATE TABLE project_tag_adds(id TEXT NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE project_tag_removes(dot BLOB NOT NULL PRIMARY KEY);";

const STEPS_OF_A_HISTORY: u64 = 70;
const SETS: [&str; 8] = [
    "NULL",
    "'[]'",
    "'[\"a\"]'",
    "'[\"b\"]'",
    "'[\"a\",\"b\"]'",
    "'[\"b\",\"c\"]'",
    "'[\"a\",\"c\",\"d\"]'",
    "'[\"d\"]'",
];

/// A small generator of numbers that are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

struct World {
    replicas: [Replica; 3],
    migration: Migration,
    fleet: TempDir,
    options: RunOptions,
    policy: &'static str,
    history: Vec<String>,
    dots: u64,
}

impl World {
    fn new(policy: &'static str) -> Self {
        let replica = || {
            Replica::with_tables(
                &format!("{PROJECTS}; {NEW_FORM}"),
                &["projects", "project_tag_adds", "project_tag_removes"],
            )
        };
        let replicas = [replica(), replica(), replica()];
        let fleet = TempDir::new().unwrap();
        // The third one is late: nobody waits for it.
        let list: String =
            replicas[..2].iter().map(|r| format!("[[replica]]\nid = \"{}\"\n", site(r))).collect();
        fs::write(fleet.path().join("fleet.toml"), list).unwrap();
        let migration = Migration::parse(&tags(policy), Path::new("m.toml")).unwrap();
        let options = RunOptions::default();
        Self { replicas, migration, fleet, options, policy, history: Vec::new(), dots: 0 }
    }

    fn mode(&self, at: usize) -> Mode {
        let name: Option<String> = self.replicas[at]
            .query_row("SELECT max(mode) FROM _dotfill_modes", [], |row| row.get(0))
            .unwrap_or_default();
        Mode::ALL
            .into_iter()
            .find(|mode| Some(mode.as_str()) == name.as_deref())
            .unwrap_or_default()
    }

    fn is_closed(&self, at: usize) -> bool {
        self.mode(at) == Mode::ReadNewWriteNew
    }

    fn say(&mut self, what: String) {
        self.history.push(what);
    }

    fn run(&mut self, at: usize) {
        self.say(format!("run {at}"));
        let db = self.replicas[at].path();
        let report = engine::run(db, &self.migration, &self.options, &Quiet);
        if let Err(error) = report {
            panic!("run {at}: {error}");
        }
    }

    fn merge(&mut self, from: usize, to: usize) -> u64 {
        let sent = merge(&self.replicas[from], &self.replicas[to]);
        self.say(format!("merge {from} -> {to}: {sent}"));
        sent
    }

    /// One step of those that the fleet takes, where its gate holds.
    fn advance(&mut self, at: usize) {
        let Some(to) = STEPS[..3].iter().copied().find(|to| *to > Ordered(self.mode(at))) else {
            return;
        };
        for replica in &self.replicas[..2] {
            let asked = AckOptions {
                fleet: self.fleet.path().to_owned(),
                replica: None,
                oldest_client: Some("4.8.0".to_owned()),
                readiness: Readiness::default(),
            };
            // One that has not begun cannot acknowledge.
            let _ = engine::acknowledge(
                replica.path(),
                &self.migration,
                &asked,
                &AtomicBool::new(false),
            );
        }
        let asked = AdvanceOptions {
            to,
            fleet: Some(self.fleet.path().to_owned()),
            alone: false,
            percent: None,
            export: None,
            no_export: false,
        };
        let db = self.replicas[at].path();
        let report = engine::advance(db, &self.migration, &asked, &self.options, &Quiet);
        let said = match report {
            Ok(report) => format!("advance {at} to {to}: {}", report.advanced),
            Err(error) => format!("advance {at} to {to}: {error}"),
        };
        self.say(said);
    }

    fn old_write(&mut self, at: usize, dice: &mut Dice) {
        let (id, set) = (dice.below(3), *dice.pick(&SETS));
        let sql = match dice.below(4) {
            0 => format!("INSERT OR REPLACE INTO projects VALUES ('P{id}', 'n', {set})"),
            _ => format!("UPDATE projects SET tags = {set} WHERE id = 'P{id}'"),
        };
        let refused = self.replicas[at].try_run(&sql, []).is_err();
        assert!(!refused || self.is_closed(at), "{sql} was refused in an open epoch");
        self.say(format!("{at}: {sql}{}", if refused { " (refused)" } else { "" }));
    }

    fn new_write(&mut self, at: usize, dice: &mut Dice) {
        let (id, element) = (dice.below(3), *dice.pick(&["a", "b", "c", "x"]));
        self.dots += 1;
        let sql = if dice.below(2) == 0 {
            format!(
                "INSERT INTO project_tag_adds VALUES ('P{id}', '{element}', x'{:032x}')",
                self.dots
            )
        } else {
            format!(
                "INSERT OR IGNORE INTO project_tag_removes SELECT dot FROM project_tag_adds
                 WHERE id = 'P{id}' AND element = '{element}'"
            )
        };
        self.replicas[at].run(&sql, []);
        self.say(format!("{at}: {sql}"));
    }

    fn object(&mut self, at: usize, dice: &mut Dice) {
        let id = dice.below(3);
        let sql = match dice.below(2) {
            0 => format!("DELETE FROM projects WHERE id = 'P{id}'"),
            _ => format!("INSERT OR IGNORE INTO projects(id, name) VALUES ('P{id}', 'again')"),
        };
        self.replicas[at].run(&sql, []);
        self.say(format!("{at}: {sql}"));
    }

    fn step(&mut self, dice: &mut Dice) {
        let at = usize::try_from(dice.below(3)).unwrap();
        let other = (at + 1 + usize::try_from(dice.below(2)).unwrap()) % 3;
        match dice.below(18) {
            0..=2 => self.old_write(at, dice),
            3..=4 if self.is_closed(at) => self.new_write(at, dice),
            5 => self.object(at, dice),
            6..=8 => {
                self.merge(at, other);
            }
            9 => self.run(at),
            _ if at < 2 => {
                if dice.below(4) > 0 {
                    self.merge(0, 1);
                    self.merge(1, 0);
                    self.run(1 - at);
                }
                self.advance(at);
            }
            _ => {}
        }
    }

    /// Exchanges and settles everything.
    fn settle(&mut self) {
        for _ in 0..8 {
            let mut sent = 0;
            for at in 0..3 {
                self.run(at);
            }
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                sent += self.merge(from, to);
            }
            if sent == 0 {
                return;
            }
        }
        panic!("the replicas keep sending records to each other");
    }

    fn shown(&self, at: usize) -> Vec<Vec<rusqlite::types::Value>> {
        self.replicas[at].rows("SELECT * FROM project_tags_visible ORDER BY id, element", [])
    }

    /// An operator decides what waits in quarantine, on each replica for itself.
    fn decide(&mut self, dice: &mut Dice) {
        for at in 0..3 {
            let waiting: Vec<i64> = {
                let mut statement = self.replicas[at]
                    .prepare("SELECT id FROM _dotfill_quarantine WHERE status = 'waiting'")
                    .unwrap();
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            };
            for id in waiting {
                let verdict = *dice.pick(&[HeldVerdict::Replay, HeldVerdict::Drop]);
                let db = self.replicas[at].path();
                let settled = engine::settle_held(db, id, verdict).unwrap();
                self.say(format!("{at}: {verdict:?} {id}: {settled:?}"));
            }
        }
    }

    fn check(&self) {
        let objects = |at: usize| self.replicas[at].rows("SELECT * FROM projects ORDER BY id", []);
        assert_eq!(objects(0), objects(1), "premise: the objects");
        assert_eq!(objects(0), objects(2), "premise: the objects");
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            assert_eq!(self.shown(a), self.shown(b), "replicas {a} and {b} differ");
        }
        for replica in &self.replicas {
            replica.assert_sound();
        }
    }
}

/// Modes in the order of the steps, for choosing the next one.
#[derive(PartialEq)]
struct Ordered(Mode);

impl PartialEq<Ordered> for Mode {
    fn eq(&self, other: &Ordered) -> bool {
        *self == other.0
    }
}

impl PartialOrd<Ordered> for Mode {
    fn partial_cmp(&self, other: &Ordered) -> Option<std::cmp::Ordering> {
        let place = |mode: Mode| Mode::ALL.into_iter().position(|m| m == mode);
        place(*self).partial_cmp(&place(other.0))
    }
}

fn histories(policy: &'static str) {
    let wanted = std::env::var("DOTFILL_TEST_HISTORIES");
    let count = wanted.map_or(6, |text| text.parse::<u64>().unwrap());
    let first = std::env::var("DOTFILL_TEST_SEED").map_or(1, |text| text.parse::<u64>().unwrap());
    let (mut closed, mut settled) = (0, 0);
    for seed in first..first + count {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new(policy);
        for id in 0..3 {
            let set = *dice.pick(&SETS);
            let sql = format!("INSERT INTO projects VALUES ('P{id}', 'n', {set})");
            world.replicas[0].run(&sql, []);
            world.say(format!("0: {sql}"));
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.merge(0, 1);
            world.merge(0, 2);
            world.run(0);
            world.run(1);
            for _ in 0..STEPS_OF_A_HISTORY {
                world.step(&mut dice);
            }
            world.settle();
            // What waits in quarantine on one replica may be shown on another until it is decided.
            if world.policy == "quarantine" || dice.below(2) == 0 {
                world.decide(&mut dice);
                world.settle();
            }
            world.check();
        }));
        closed += u64::from(world.is_closed(0) || world.is_closed(1));
        settled += world.replicas.iter().map(outcomes).sum::<i64>();
        if let Err(problem) = result {
            eprintln!("policy {policy}, seed {seed}:\n  {}", world.history.join("\n  "));
            std::panic::resume_unwind(problem);
        }
    }
    assert!(closed * 4 >= count && settled > 0, "premise: {closed} of {count}, {settled} writes");
}

/// Writes that were decided in a closed epoch.
fn outcomes(replica: &Replica) -> i64 {
    replica.count("SELECT coalesce(sum(writes), 0) FROM _dotfill_outcomes")
}

#[test]
fn under_reject() {
    histories("reject");
}

#[test]
fn under_translate() {
    histories("translate");
}

#[test]
fn under_quarantine() {
    histories("quarantine");
}
