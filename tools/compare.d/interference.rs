//! What other writers feel while a contestant works: the foreground of `writer` and the job run
//! against the same database, on fresh copies, again and again until there are enough samples.
//! Only transactions that were due while the job ran count.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::check::{Verdict, check};
use crate::contestant::{CHEAP, Column, Contestant, Job, Transactions, dotfill};
use crate::failed::{Failed, Outcome, fail};
use crate::fixture::{self, Layout};
use crate::options::Options;
use crate::rounds::Fate;
use crate::sqlite;
use crate::work::{Mark, Took, work};
use crate::writer::{Note, READY, now_us};

const SETTLE: Duration = Duration::from_millis(300);
const QUIET_AFTER: Duration = Duration::from_millis(500);
const RUNS_MAX: u32 = 500;

/// What the foreground does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreground {
    /// It writes all the time.
    Writes,
    /// It stops half a second after the job began.
    FallsQuiet,
}

/// A job, or none, with the foreground beside it.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// For the JSON and for the targets.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// What it starts from.
    pub layout: Layout,
    /// What runs beside the foreground.
    pub job: Option<Job>,
    /// How long the foreground writes.
    pub foreground: Foreground,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Felt {
    /// Which scene.
    pub scene: Scene,
    /// Latencies in microseconds, ascending.
    pub latencies_us: Vec<u64>,
    /// Transactions refused as busy after 5 s (their latency is among the others).
    pub refused: u64,
    /// The job's runs.
    pub runs: Vec<Took>,
    /// How it went.
    pub fate: Fate,
}

impl Felt {
    /// The latency that this share of the transactions did not exceed, in milliseconds.
    pub fn percentile_ms(&self, share: f64) -> Option<f64> {
        let last = self.latencies_us.len().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is a length"
        )]
        let rank = (share * self.latencies_us.len() as f64).ceil() as usize;
        Some(self.latencies_us[rank.saturating_sub(1).min(last)] as f64 / 1000.0)
    }

    /// Rows of the job per second meanwhile, by a clock of the runs.
    pub fn rows_per_second(&self, rows: u64, clock: impl Fn(&Took) -> f64) -> Option<f64> {
        let seconds: f64 = self.runs.iter().map(clock).sum();
        (!self.runs.is_empty()).then(|| rows as f64 * self.runs.len() as f64 / seconds)
    }
}

const fn scene(id: &'static str, name: &'static str, layout: Layout, job: Option<Job>) -> Scene {
    Scene { id, name, layout, job, foreground: Foreground::Writes }
}

const THERE: Layout = Layout::ReplicatedWithColumn;

/// All scenes, plain ones first.
pub const SCENES: [Scene; 9] = [
    scene("plain_idle", "plain: nothing else runs", Layout::Plain, None),
    scene(
        "plain_update",
        "plain: UPDATE, one statement",
        Layout::Plain,
        Some(Job::Update(Transactions::One, Column::Added)),
    ),
    scene(
        "plain_update_10k",
        "plain: UPDATE, 10k-row transactions",
        Layout::Plain,
        Some(Job::Update(Transactions::TenThousandRows, Column::Added)),
    ),
    scene("plain_derive", "plain: dotfill derive", Layout::Plain, Some(dotfill("derive"))),
    Scene {
        id: "plain_derive_quiet",
        name: "plain: dotfill derive, quiet after 0.5 s",
        layout: Layout::Plain,
        job: Some(dotfill("derive")),
        foreground: Foreground::FallsQuiet,
    },
    scene("crsqlite_idle", "cr-sqlite: nothing else runs", THERE, None),
    scene(
        "crsqlite_update_10k",
        "cr-sqlite: own UPDATE, 10k-row tx",
        THERE,
        Some(Job::Update(Transactions::TenThousandRows, Column::There)),
    ),
    scene("crsqlite_derive", "cr-sqlite: dotfill derive", THERE, Some(dotfill("derive"))),
    scene("crsqlite_native", "cr-sqlite: dotfill native", THERE, Some(dotfill("native"))),
];

/// Plays one scene until there are enough samples.
pub fn interfere(scene: Scene, options: &Options) -> Felt {
    eprintln!("foreground: {}", scene.name);
    let mut felt =
        Felt { scene, latencies_us: Vec::new(), refused: 0, runs: Vec::new(), fate: Fate::Right };
    match play(&mut felt, options) {
        Ok(Verdict::Right) => {}
        Ok(Verdict::Wrong(what)) => felt.fate = Fate::Wrong(what),
        Err(Failed(why)) => felt.fate = Fate::Failed(why),
    }
    felt.latencies_us.sort_unstable();
    felt
}

fn play(felt: &mut Felt, options: &Options) -> Outcome<Verdict> {
    let fixture = fixture::fixture(felt.scene.layout, options)?;
    let db = options.work.join("foreground.db");
    let mut collected = 0.0;
    for run in 0..RUNS_MAX {
        if enough(felt.scene, run, collected, options) {
            break;
        }
        fixture::copy(&fixture, &db)?;
        let verdict = play_once(felt, &db, &fixture, options, &mut collected);
        sqlite::remove(&db)?;
        if let Verdict::Wrong(what) = verdict? {
            return Ok(Verdict::Wrong(what));
        }
    }
    Ok(Verdict::Right)
}

fn enough(scene: Scene, runs: u32, collected_seconds: f64, options: &Options) -> bool {
    match scene.foreground {
        Foreground::Writes => collected_seconds >= options.foreground_seconds as f64,
        Foreground::FallsQuiet => runs >= options.repeat,
    }
}

fn play_once(
    felt: &mut Felt,
    db: &Path,
    fixture: &Path,
    options: &Options,
    collected_seconds: &mut f64,
) -> Outcome<Verdict> {
    let other = Other::start(felt.scene.layout, db, options)?;
    let (span, notes, verdict) = match felt.scene.job {
        None => idle(other, options)?,
        Some(job) => beside(felt, job, other, db, fixture, options)?,
    };
    *collected_seconds += (span.end - span.start) as f64 / 1e6;
    for note in notes.iter().filter(|note| span.contains(&note.due_us)) {
        felt.latencies_us.push(note.latency_us);
        felt.refused += u64::from(!note.done);
    }
    Ok(verdict)
}

/// When the job ran, what the foreground noted, and what the data says.
type Played = (Range<u64>, Vec<Note>, Verdict);

fn idle(other: Other, options: &Options) -> Outcome<Played> {
    let begun = now_us()?;
    std::thread::sleep(Duration::from_secs(options.foreground_seconds));
    Ok((begun..now_us()?, other.finish()?, Verdict::Right))
}

/// The foreground is told to stop the moment the job has ended: what comes after (emptying the
/// WAL, checking the data) is nobody's interference.
fn beside(
    felt: &mut Felt,
    job: Job,
    mut other: Other,
    db: &Path,
    fixture: &Path,
    options: &Options,
) -> Outcome<Played> {
    let Scene { id, name, layout, foreground, .. } = felt.scene;
    let contestant = Contestant { id, name, layout, value: CHEAP, job };
    let mut span = 0..0;
    let took = work(&contestant, db, options, &mut |mark| match mark {
        Mark::Begun => {
            span.start = now_us().unwrap_or(0);
            if foreground == Foreground::FallsQuiet {
                other.stop_in(QUIET_AFTER);
            }
        }
        Mark::Ended => {
            span.end = now_us().unwrap_or(0);
            other.read_all();
        }
    })?;
    let notes = other.finish()?;
    felt.runs.push(took);
    let (verdict, _) = check(&contestant, db, fixture, options.rows, true)?;
    Ok((span, notes, verdict))
}

/// The foreground's process, seen from here.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    noted: String,
}

impl Other {
    /// Starts it and lets it write for a moment.
    fn start(layout: Layout, db: &Path, options: &Options) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("foreground").arg("--db").arg(db).args(["--rows", &options.rows.to_string()]);
        if let Some(extension) = layout.extension(options)? {
            command.arg("--crsqlite").arg(extension);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(|| Failed("no output to read".into()))?;
        let mut other = Self { child, input, output: BufReader::new(output), noted: String::new() };
        let mut line = String::new();
        other.output.read_line(&mut line)?;
        if line.trim() != READY {
            return fail("the foreground did not start");
        }
        std::thread::sleep(SETTLE);
        Ok(other)
    }

    /// Tells it to stop, later.
    fn stop_in(&mut self, delay: Duration) {
        let input = self.input.take();
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            drop(input);
        });
    }

    /// Tells it to stop and reads to its end; `finish` reports what went wrong here.
    fn read_all(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.output.read_to_string(&mut self.noted) {
            self.noted = format!("reading from the foreground: {error}");
        }
    }

    /// What it noted.
    fn finish(mut self) -> Outcome<Vec<Note>> {
        self.read_all();
        if !self.child.wait()?.success() {
            return fail("the foreground failed; its complaint is above");
        }
        let parse = |line: &str| Note::parse(line).ok_or_else(|| Failed(line.into()));
        self.noted.lines().map(parse).collect()
    }
}

impl Drop for Other {
    /// After an error the process may still run; it stops by itself when its input ends.
    fn drop(&mut self) {
        drop(self.input.take());
    }
}
