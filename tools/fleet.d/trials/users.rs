//! What users do through the API while dotfill works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::scene::{ROWS, Random, agree, drain, ensure, fleet, no_records, owner_clocks, rest};
use crate::api::Api;
use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::foreground::touch;
use crate::options::Options;
use crate::program;
use crate::schema::{insert, key};

/// Slow enough that users have seconds in which to write.
pub const SLOWLY: [&str; 2] = ["--rows-per-second", "6000"];

/// Users give rows an owner on every node before, during and after the backfill.
pub fn owners_of(fleet: &Fleet, from: u64, word: &str) -> Outcome<Vec<(u64, String)>> {
    let mut wanted = Vec::new();
    for node in &fleet.nodes {
        for row in (from + node.number as u64..from + 300).step_by(fleet.nodes.len() * 10) {
            let value = format!("{word}-{}-{row}", node.name());
            touch(&node.api, row, "owner", &value)?;
            wanted.push((row, value));
        }
    }
    Ok(wanted)
}

/// The trial.
pub fn owners(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    let mut wanted = owners_of(&fleet, 0, "before")?;
    let running = program::start_all(&fleet, &fleet.nodes, "run", &SLOWLY)?;
    // Rows that the walk has passed, and rows that it has not reached.
    for from in [1_000, 10_000, 19_000] {
        std::thread::sleep(Duration::from_millis(300));
        wanted.extend(owners_of(&fleet, from, "during")?);
    }
    program::end_all(running)?;
    wanted.extend(owners_of(&fleet, 5_000, "after")?);
    rest(&mut fleet)?;
    let before = fleet.records()?;
    drain(&fleet)?;
    super::scene::owners(&fleet, &wanted)?;
    agree(&fleet)?;
    no_records(&fleet, &before)?;
    let clocks = owner_clocks(&fleet)?;
    let count = wanted.len() as u64;
    let exact = clocks.iter().all(|one| *one == count);
    ensure(exact, format!("{count} cells were written by users, and clock rows are {clocks:?}"))?;
    Ok(format!("{count} writes on {} nodes", fleet.nodes.len()))
}

/// Users who insert rows, change sources and delete rows on one node, until they are told to stop.
pub struct Crowd {
    told: Arc<AtomicBool>,
    users: Vec<JoinHandle<Outcome<u64>>>,
}

impl Crowd {
    /// One user per node, each with rows of its own to insert.
    pub fn start(fleet: &Fleet, seed: u64) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let start = |node: &crate::node::Node| {
            let (api, told) = (node.client(), Arc::clone(&told));
            let own = ROWS + seed * 1_000_000 + 100_000 * node.number as u64;
            std::thread::spawn(move || write(&api, own, &told))
        };
        let users = fleet.nodes.iter().map(start).collect();
        Self { told, users }
    }

    /// Ends them; how many transactions they made.
    pub fn stop(self) -> Outcome<u64> {
        self.told.store(true, Ordering::Relaxed);
        let ended = self
            .users
            .into_iter()
            .map(|user| user.join().unwrap_or_else(|_| fail("a user panicked")));
        ended.sum()
    }
}

fn write(api: &Api, own: u64, told: &AtomicBool) -> Outcome<u64> {
    let mut random = Random(own);
    let mut done = 0;
    while !told.load(Ordering::Relaxed) && done < 3000 {
        let row = random.below(ROWS);
        match random.below(5) {
            0 | 1 => api.transact(&[insert(own + done)])?,
            2 | 3 => touch(api, row, "app", &format!("moved-{done}"))?,
            _ => {
                api.transact(&[json!(["DELETE FROM machines WHERE id = ?", [key(row)]])])?;
            }
        }
        done += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(done)
}

/// The trial.
pub fn sources(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    let crowd = Crowd::start(&fleet, 1);
    program::on_all(&fleet, "run", &SLOWLY)?;
    let during = crowd.stop()?;
    let crowd = Crowd::start(&fleet, 2);
    std::thread::sleep(Duration::from_secs(3));
    let after = crowd.stop()?;
    rest(&mut fleet)?;
    let before = fleet.records()?;
    let drained = drain(&fleet)?;
    agree(&fleet)?;
    program::on_all(&fleet, "close", &[])?;
    agree(&fleet)?;
    no_records(&fleet, &before)?;
    Ok(format!(
        "{during} transactions during the backfill, {after} while open, {drained} cells drained"
    ))
}

/// The trial: the schema gets one more column while the migration is open.
pub fn reload(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    drain(&fleet)?;
    fleet.add_column(&["tier TEXT"])?;
    let crowd = Crowd::start(&fleet, 3);
    std::thread::sleep(Duration::from_secs(3));
    let made = crowd.stop()?;
    rest(&mut fleet)?;
    let drained = drain(&fleet)?;
    ensure(drained > 0, "nothing was noted after the reload")?;
    agree(&fleet)?;
    Ok(format!("{made} transactions after the reload, {drained} cells drained"))
}
