//! Results for programs: one JSON object.

use serde_json::{Value, json};

use crate::interference::Felt;
use crate::report::trouble;
use crate::results::{Results, Turns};
use crate::rounds::{Sample, Standing};
use crate::targets::Target;

/// Everything that was measured.
pub fn record(results: &Results, targets: &[Target]) -> Value {
    json!({
        "machine": results.machine,
        "rows": results.rows,
        "repeat": results.repeat,
        "parts": results.turns.iter().map(turns).collect::<Vec<_>>(),
        "foreground": results.foreground.iter().flatten()
            .map(|it| felt(it, results.rows)).collect::<Vec<_>>(),
        "foreground_others": results.foreground_others,
        "deltas": results.deltas.as_ref().map(crate::deltas::Deltas::record),
        "targets": targets,
    })
}

fn turns(turns: &Turns) -> Value {
    let standings: Vec<_> = turns.standings.iter().map(standing).collect();
    json!({ "title": turns.title, "others": turns.others, "contestants": standings })
}

fn standing(standing: &Standing) -> Value {
    json!({
        "id": standing.contestant.id,
        "name": standing.contestant.name,
        "trouble": trouble(&standing.fate),
        "seconds": standing.median(|sample| sample.took.seconds),
        "samples": standing.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "seconds": sample.took.seconds,
        "own_seconds": sample.took.own_seconds,
        "checkpoint_seconds": sample.took.checkpoint_seconds,
        "wal_bytes_max": sample.wal_bytes_max,
        "growth_bytes": sample.growth_bytes,
        "change_records": sample.change_records,
        "anonymous_bytes_max": sample.took.anonymous_bytes,
    })
}

fn felt(felt: &Felt, rows: u64) -> Value {
    json!({
        "id": felt.scene.id,
        "name": felt.scene.name,
        "trouble": trouble(&felt.fate),
        "samples": felt.latencies_us.len(),
        "p50_ms": felt.percentile_ms(0.5),
        "p99_ms": felt.percentile_ms(0.99),
        "p999_ms": felt.percentile_ms(0.999),
        "max_ms": felt.percentile_ms(1.0),
        "refused": felt.refused,
        "runs": felt.runs.len(),
        "rows_per_second": felt.rows_per_second(rows, |took| took.seconds),
        "own_rows_per_second": felt.rows_per_second(rows, |took| {
            took.own_seconds.unwrap_or(took.seconds)
        }),
    })
}
