//! What dotfill has to reach, and whether it does, computed from the results and nothing else.
//! Times are those of the whole process, its proof included; what dotfill says of itself is shown
//! beside them.

use serde::Serialize;

use crate::interference::Felt;
use crate::results::Results;
use crate::rounds::{Fate, Sample, Standing};
use crate::work::Took;

const MIB: f64 = 1024.0 * 1024.0;
const QUIET_SPEEDUP_MIN: f64 = 1.25;

/// One target and what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What is asked for.
    pub text: String,
    /// What was measured, or why nothing was.
    pub measured: String,
    /// The verdict.
    pub state: State,
}

/// Whether a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// It is.
    #[serde(rename = "met")]
    Met,
    /// It is not, or a contestant that it needs failed.
    #[serde(rename = "not met")]
    NotMet,
    /// Its part was not asked for.
    #[serde(rename = "not run")]
    NotRun,
}

impl State {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotRun => "not run",
        }
    }
}

/// All targets that this program can judge.
pub fn targets(results: &Results) -> Vec<Target> {
    let faster = |text: &str, mine: &str, theirs: &str, least: f64| {
        speed(results, text, mine, theirs, least)
    };
    let mut targets = vec![
        faster("derive, plain", "plain_derive", "plain_update", 1.05),
        wal(results),
        faster("derive, cr-sqlite, adds the column", "crsqlite_derive", "crsqlite_update", 5.0),
        faster("  stretch", "crsqlite_derive", "crsqlite_update", 6.0),
        faster(
            "derive, cr-sqlite, column there",
            "crsqlite_derive_there",
            "crsqlite_update_there",
            3.0,
        ),
        faster("  stretch", "crsqlite_derive_there", "crsqlite_update_there", 4.0),
        faster(
            "derive against begin_alter/commit_alter + UPDATE",
            "crsqlite_derive",
            "crsqlite_alter_update",
            10.0,
        ),
        faster("native, 10k records/tx", "crsqlite_native_10k", "crsqlite_update_there", 1.8),
        faster("derive, expensive transform", "expensive_derive", "expensive_update", 1.6),
    ];
    targets.extend(polite(results, "plain", "plain_derive", 5.0, 0.4e6));
    targets.extend(polite(results, "cr-sqlite", "crsqlite_derive", 10.0, 0.15e6));
    targets.push(quiet(results));
    targets.push(memory(results));
    match &results.deltas {
        Some(deltas) => targets.extend(deltas.targets()),
        None => targets.push(not_run("deltas: bytes per row, speed, repair")),
    }
    targets
}

/// A target that was judged.
pub fn target(text: impl Into<String>, measured: impl Into<String>, met: bool) -> Target {
    let state = if met { State::Met } else { State::NotMet };
    Target { text: text.into(), measured: measured.into(), state }
}

fn not_run(text: impl Into<String>) -> Target {
    Target { text: text.into(), measured: "part not asked for".into(), state: State::NotRun }
}

/// Who left nothing to judge; why is in the table above.
fn blame(name: &str, fate: &Fate) -> Option<String> {
    match fate {
        Fate::Right => None,
        Fate::Failed(_) => Some(format!("failed: {name}")),
        Fate::Wrong(_) => Some(format!("WRONG DATA: {name}")),
    }
}

fn speed(results: &Results, text: &str, mine: &str, theirs: &str, least: f64) -> Target {
    let text = format!("{text}: >= {least}x");
    let (Some(mine), Some(theirs)) = (results.standing(mine), results.standing(theirs)) else {
        return not_run(text);
    };
    let blamed = [mine, theirs].into_iter().find_map(|s| blame(s.contestant.name, &s.fate));
    if let Some(why) = blamed {
        return target(text, why, false);
    }
    let Some(ratio) = mine.times_faster_than(theirs, |sample| sample.took.seconds) else {
        return target(text, "no samples", false);
    };
    let own = mine.times_faster_than(theirs, own_seconds).unwrap_or(ratio);
    let measured = format!("{ratio:.2}x ({own:.2}x by its own clock)");
    target(text, measured, ratio >= least)
}

fn own_seconds(sample: &Sample) -> f64 {
    sample.took.own_seconds.unwrap_or(sample.took.seconds)
}

fn wal(results: &Results) -> Target {
    let text = "derive, plain: WAL <= 64 MiB";
    let (Some(mine), Some(theirs)) =
        (results.standing("plain_derive"), results.standing("plain_update"))
    else {
        return not_run(text);
    };
    if let Some(why) = blame(mine.contestant.name, &mine.fate) {
        return target(text, why, false);
    }
    let peak = |standing: &Standing| {
        standing.samples.iter().map(|sample| sample.wal_bytes_max).max().unwrap_or(0) as f64 / MIB
    };
    let measured =
        format!("{:.1} MiB (UPDATE, one statement: {:.1} MiB)", peak(mine), peak(theirs));
    target(text, measured, peak(mine) <= 64.0)
}

fn polite(results: &Results, layout: &str, id: &str, p99_ms: f64, rate: f64) -> [Target; 2] {
    let texts = [
        format!("foreground, {layout}: p99 <= {p99_ms} ms at >= {:.2} M rows/s", rate / 1e6),
        format!("foreground, {layout}: p99.9 <= 25 ms"),
    ];
    let Some(felt) = results.felt(id) else {
        return texts.map(not_run);
    };
    if let Some(why) = blame(felt.scene.name, &felt.fate) {
        return texts.map(|text| target(text, why.clone(), false));
    }
    let [first, second] = texts;
    let p99 = felt.percentile_ms(0.99).unwrap_or(f64::INFINITY);
    let p999 = felt.percentile_ms(0.999).unwrap_or(f64::INFINITY);
    let seen = rate_of(felt, results.rows);
    let own = felt.rows_per_second(results.rows, own_or_all).unwrap_or(0.0);
    let measured =
        format!("{p99:.2} ms at {:.2} M rows/s ({:.2} by its own clock)", seen / 1e6, own / 1e6);
    [
        target(first, measured, p99 <= p99_ms && seen >= rate),
        target(second, format!("{p999:.2} ms"), p999 <= 25.0),
    ]
}

fn own_or_all(took: &Took) -> f64 {
    took.own_seconds.unwrap_or(took.seconds)
}

fn rate_of(felt: &Felt, rows: u64) -> f64 {
    felt.rows_per_second(rows, |took| took.seconds).unwrap_or(0.0)
}

fn quiet(results: &Results) -> Target {
    let text =
        format!("foreground goes quiet: the job speeds up (>= {QUIET_SPEEDUP_MIN}x overall)");
    let (Some(busy), Some(quiet)) =
        (results.felt("plain_derive"), results.felt("plain_derive_quiet"))
    else {
        return not_run(text);
    };
    let blamed = [busy, quiet].into_iter().find_map(|felt| blame(felt.scene.name, &felt.fate));
    if let Some(why) = blamed {
        return target(text, why, false);
    }
    let (slow, fast) = (rate_of(busy, results.rows), rate_of(quiet, results.rows));
    let measured = format!("{:.2} -> {:.2} M rows/s", slow / 1e6, fast / 1e6);
    target(text, measured, fast >= QUIET_SPEEDUP_MIN * slow)
}

fn memory(results: &Results) -> Target {
    let text = "peak anonymous memory: <= 96 MiB, at 1 M and at 5 M rows alike";
    let dotfills: Vec<_> = results
        .turns
        .iter()
        .flat_map(|turns| &turns.standings)
        .filter(|standing| standing.contestant.is_dotfill())
        .collect();
    if dotfills.is_empty() {
        return not_run(text);
    }
    let largest = dotfills
        .iter()
        .flat_map(|standing| standing.samples.iter().map(move |sample| (sample, standing)))
        .filter_map(|(sample, standing)| Some((sample.took.anonymous_bytes?, standing)))
        .max_by_key(|(bytes, _)| *bytes);
    match largest {
        None => target(text, "no dotfill contestant finished", false),
        Some((bytes, standing)) => {
            let mib = bytes as f64 / MIB;
            let name = standing.contestant.name;
            let measured = format!("{mib:.1} MiB at {} rows ({name})", results.rows);
            target(text, measured, mib <= 96.0)
        }
    }
}
