//! The foreground: transactions of one row at a fixed rate through the API of one node, and the time
//! after which each is visible in the database of another. A transaction that could not start when
//! it was due counts its wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::{census, schema};

/// Transactions per second.
pub const RATE: u32 = 25;
/// The time between two looks at the other node.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long the last beats may take to become visible once no more are written.
const LAST_PATIENCE: Duration = Duration::from_secs(20);

/// What the foreground felt.
#[derive(Clone, Debug, Default)]
pub struct Felt {
    /// From the moment when each transaction was due until the agent had committed it, ascending.
    pub write: Vec<Duration>,
    /// From the same moment until it was visible on the other node, ascending.
    pub visible: Vec<Duration>,
    /// Transactions that were not visible when everything else had ended.
    pub lost: u64,
}

/// The value that a share of the samples does not exceed.
pub fn percentile(ascending: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied()
}

/// A foreground that runs until it is told to stop.
pub struct Foreground {
    told: Arc<AtomicBool>,
    writer: JoinHandle<Outcome<Vec<Beat>>>,
    reader: JoinHandle<Outcome<HashMap<i64, Instant>>>,
    done: Arc<AtomicBool>,
}

/// One transaction.
struct Beat {
    id: i64,
    due: Instant,
    committed: Instant,
}

impl Foreground {
    /// Writes on the first node and looks at the last.
    pub fn start(fleet: &Fleet) -> Outcome<Self> {
        let (told, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let api = fleet.nodes[0].client();
        let first = api.query("SELECT coalesce(max(id), 0) + 1 FROM beats")?;
        let Some(first) = first.and_then(|id| id.as_i64()) else {
            return fail("the agent did not say which beat is next");
        };
        let Some(last) = fleet.nodes.last() else { return fail("a fleet has nodes") };
        let db = last.db();
        let writer = std::thread::spawn({
            let told = Arc::clone(&told);
            move || write(&api, first, &told)
        });
        let reader = std::thread::spawn({
            let done = Arc::clone(&done);
            move || look(&db, first, &done)
        });
        Ok(Self { told, writer, reader, done })
    }

    /// Stops writing, waits for what is under way, and says what was felt.
    pub fn stop(self) -> Outcome<Felt> {
        self.told.store(true, Ordering::Relaxed);
        let beats = joined(self.writer)?;
        let asked = Instant::now();
        while asked.elapsed() < LAST_PATIENCE && !self.reader.is_finished() {
            let all = beats.last().is_none_or(|beat| beat.committed.elapsed() > LAST_PATIENCE / 4);
            if all {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.done.store(true, Ordering::Relaxed);
        let seen = joined(self.reader)?;
        Ok(felt(&beats, &seen))
    }
}

fn joined<T>(thread: JoinHandle<Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|_| fail("the foreground panicked"))
}

fn felt(beats: &[Beat], seen: &HashMap<i64, Instant>) -> Felt {
    let mut felt = Felt::default();
    for beat in beats {
        felt.write.push(beat.committed - beat.due);
        match seen.get(&beat.id) {
            Some(at) => felt.visible.push(at.saturating_duration_since(beat.due)),
            None => felt.lost += 1,
        }
    }
    felt.write.sort_unstable();
    felt.visible.sort_unstable();
    felt
}

fn write(api: &Api, first: i64, told: &AtomicBool) -> Outcome<Vec<Beat>> {
    let began = Instant::now();
    let mut beats = Vec::new();
    for (id, turn) in (first..).zip(0_u32..) {
        let due = began + Duration::from_secs(1) * turn / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if told.load(Ordering::Relaxed) {
            break;
        }
        api.execute(&format!("INSERT INTO beats (id) VALUES ({id})"))?;
        beats.push(Beat { id, due, committed: Instant::now() });
    }
    Ok(beats)
}

/// When each beat was first seen. Beats may arrive in any order.
fn look(db: &std::path::Path, first: i64, done: &AtomicBool) -> Outcome<HashMap<i64, Instant>> {
    let connection = census::open(db)?;
    let mut newer = connection.prepare("SELECT id FROM beats WHERE id >= ?1")?;
    // All before this one were seen.
    let mut next = first;
    let mut seen = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        let now = Instant::now();
        for id in newer.query_map([next], |row| row.get::<_, i64>(0))? {
            seen.entry(id?).or_insert(now);
        }
        while seen.contains_key(&next) {
            next += 1;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(seen.into_iter().collect())
}

/// Users' writes that go on in the background of a trial, each to a row of its own.
pub fn touch(api: &Api, row: u64, column: &str, value: &str) -> Outcome<()> {
    let sql = format!("UPDATE machines SET {column} = ? WHERE id = ?");
    api.transact(&[serde_json::json!([sql, [value, schema::key(row)]])])
}
