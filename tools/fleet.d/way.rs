//! The ways to give the column its value: by statements through the API, from one node or from all
//! of them, and by dotfill.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::failed::{Failed, Outcome, fail};
use crate::fleet::Fleet;
use crate::node::Node;
use crate::schema::{VALUE, key};

/// Which nodes run the statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first.
    One,
    /// All at once, as services do that migrate when they start.
    All,
}

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing but the foreground.
    Idle,
    /// `UPDATE` through the API.
    Update {
        /// Where.
        from: From,
        /// Rows in each transaction; `None`: all of them in one.
        rows: Option<u64>,
    },
    /// `dotfill run` on every node, with the agents running.
    Dotfill,
    /// The same over and over, with a rollback between, as long as is measured: the foreground
    /// then has a backfill beside it all the time, which one alone is too short for.
    DotfillAlways,
}

impl Way {
    /// Every way, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::Update { from: From::One, rows: Some(200) },
        Self::Update { from: From::One, rows: Some(1000) },
        Self::Update { from: From::One, rows: None },
        Self::Update { from: From::All, rows: Some(200) },
        Self::Update { from: From::All, rows: Some(1000) },
        Self::Update { from: From::All, rows: None },
        Self::Dotfill,
        Self::DotfillAlways,
    ];

    /// Its line of the table.
    pub fn title(self) -> String {
        match self {
            Self::Idle => "nothing but the foreground".to_owned(),
            Self::Update { from, rows } => {
                let from = match from {
                    From::One => "one node",
                    From::All => "all nodes",
                };
                match rows {
                    Some(rows) => format!("UPDATE from {from}, {rows}-row tx"),
                    None => format!("UPDATE from {from}, one tx"),
                }
            }
            Self::Dotfill => "dotfill derive on all nodes".to_owned(),
            Self::DotfillAlways => "the same without a pause".to_owned(),
        }
    }

    /// Whether it gives every row its value, and ends then.
    pub fn fills(self) -> bool {
        !matches!(self, Self::Idle | Self::DotfillAlways)
    }

    /// Starts it.
    pub fn start(self, fleet: &Fleet, rows: u64) -> Working {
        let told = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let threads = match self {
            Self::Idle => Vec::new(),
            Self::Update { from, rows: per_transaction } => {
                let nodes = match from {
                    From::One => &fleet.nodes[..1],
                    From::All => &fleet.nodes[..],
                };
                let statements = statements(rows, per_transaction.unwrap_or(rows));
                let start = |node: &Node| {
                    let (api, statements) = (node.client(), statements.clone());
                    std::thread::spawn(move || update(&api, &statements))
                };
                nodes.iter().map(start).collect()
            }
            Self::Dotfill | Self::DotfillAlways => {
                let start = |node: &Node| {
                    let (job, told) = (Job::new(fleet, node), Arc::clone(&told));
                    let always = self == Self::DotfillAlways;
                    std::thread::spawn(move || job.work(always, &told))
                };
                fleet.nodes.iter().map(start).collect()
            }
        };
        Working { began, told, threads }
    }
}

/// What one client did.
struct Done {
    ended: Instant,
    times: u64,
}

/// A way under way.
pub struct Working {
    began: Instant,
    told: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome<Done>>>,
}

/// What a way came to.
#[derive(Clone, Debug, Default)]
pub struct Worked {
    /// Until the last client had ended.
    pub took: Duration,
    /// How many times every row got its value, over all clients.
    pub times: u64,
    /// What a client failed with.
    pub failed: Option<String>,
}

impl Working {
    /// Has it end after what it is doing, and waits for that.
    pub fn finish(self) -> Worked {
        self.told.store(true, Ordering::Relaxed);
        let mut worked = Worked::default();
        for thread in self.threads {
            match thread.join().unwrap_or_else(|_| fail("a client panicked")) {
                Ok(done) => {
                    worked.took = worked.took.max(done.ended - self.began);
                    worked.times += done.times;
                }
                Err(Failed(why)) => worked.failed = Some(why),
            }
        }
        worked
    }
}

/// dotfill on one node.
struct Job {
    dotfill: PathBuf,
    migration: PathBuf,
    db: PathBuf,
}

impl Job {
    fn new(fleet: &Fleet, node: &Node) -> Self {
        let (dotfill, migration) = (fleet.dotfill.clone(), fleet.migration.clone());
        Self { dotfill, migration, db: node.db() }
    }

    fn work(&self, always: bool, told: &AtomicBool) -> Outcome<Done> {
        let mut times = 0;
        loop {
            self.run("run")?;
            times += 1;
            if !always || told.load(Ordering::Relaxed) {
                return Ok(Done { ended: Instant::now(), times });
            }
            self.run("rollback")?;
            self.run("forget")?;
        }
    }

    fn run(&self, name: &str) -> Outcome<()> {
        let mut command = std::process::Command::new(&self.dotfill);
        command.arg(name).arg(&self.migration).arg("--db").arg(&self.db).arg("--json");
        let output = command.output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        fail(format!("dotfill {name}: {}: {}", output.status, said.trim()))
    }
}

/// One statement per transaction, each for the next `step` rows.
fn statements(rows: u64, step: u64) -> Vec<Value> {
    let sql = format!("UPDATE machines SET owner = {VALUE} WHERE id >= ? AND id < ?");
    let starts = (0..rows).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    starts.map(|start| json!([sql, [key(start), key(start + step)]])).collect()
}

fn update(api: &Api, statements: &[Value]) -> Outcome<Done> {
    for statement in statements {
        api.transact(std::slice::from_ref(statement))?;
    }
    Ok(Done { ended: Instant::now(), times: 1 })
}
