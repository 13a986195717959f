//! The price of a backfill on all nodes at once, against the idle of the same run.

use std::time::Duration;

use super::scene::ensure;
use crate::census::Backlog;
use crate::failed::{Failed, Outcome, fail};
use crate::foreground::percentile;
use crate::measure::{Measured, measure};
use crate::options::Options;
use crate::storm::bytes_per_row;
use crate::way::Way;

/// How often the one backfill is measured at most: an agent loses a broadcast now and then, idle or
/// not, and sends it again 150 ms later; a few of those are the visibility's 99th percentile.
const TRIES: u32 = 3;

/// Measures idle, one backfill, and backfills over and over, and holds them to the limits.
///
/// A backfill is over before a percentile would feel much of it. Jobs that never pause share two
/// cores with every agent of the fleet here: their foreground may cost twice as much, and their
/// visibility is told and not held.
pub fn backfill(options: &Options) -> Outcome<String> {
    let idle = measure(options, Way::Idle)?;
    let mut remarks = vec![remark(&idle, &idle)];
    let mut held = fail("it was not measured");
    for _ in 0..TRIES {
        let once = measure(options, Way::Dotfill)?;
        remarks.push(remark(&idle, &once));
        held = within_limits(&idle, &once).and_then(|()| within_latencies(&idle, &once));
        if held.is_ok() {
            break;
        }
    }
    let always = measure(options, Way::DotfillAlways)?;
    remarks.push(remark(&idle, &always));
    let remarks = remarks.join("\n");
    let all = held
        .and_then(|()| within_limits(&idle, &always))
        .and_then(|()| within("foreground", 2.0 * write_limit(&idle)?, p99(&always.felt.write)?));
    match all {
        Ok(()) => Ok(remarks),
        Err(Failed(why)) => fail(format!("{why}\n{remarks}")),
    }
}

/// What is counted, and does not depend on how busy the machine is.
fn within_limits(idle: &Measured, one: &Measured) -> Outcome<()> {
    let (worked, always) = (&one.worked, one.way == Way::DotfillAlways);
    ensure(worked.failed.is_none(), format!("dotfill failed: {:?}", worked.failed))?;
    ensure(always || one.equal_after.is_some(), "the nodes never became equal")?;
    ensure(one.records == 0, format!("{} change records", one.records))?;
    if let Some(bytes) = bytes_per_row(idle, one) {
        ensure(bytes <= 1.0, format!("{bytes:.2} wire bytes per row above idle"))?;
    }
    ensure(one.backlog == Backlog::default(), format!("left behind: {:?}", one.backlog))?;
    ensure(one.felt.lost == 0, format!("{} writes never became visible", one.felt.lost))
}

fn within_latencies(idle: &Measured, one: &Measured) -> Outcome<()> {
    within("foreground", write_limit(idle)?, p99(&one.felt.write)?)?;
    within("visibility", 2.0 * p99(&idle.felt.visible)?, p99(&one.felt.visible)?)
}

/// Of the foreground's 99th percentile, in milliseconds.
fn write_limit(idle: &Measured) -> Outcome<f64> {
    Ok(2.0 * p99(&idle.felt.write)? + 5.0)
}

fn within(what: &str, limit: f64, found: f64) -> Outcome<()> {
    ensure(found <= limit, format!("{what} p99 {found:.1} ms, limit {limit:.1} ms"))
}

/// In milliseconds.
fn p99(ascending: &[Duration]) -> Outcome<f64> {
    match percentile(ascending, 99) {
        Some(time) => Ok(time.as_secs_f64() * 1e3),
        None => fail("the foreground felt nothing at all"),
    }
}

fn remark(idle: &Measured, one: &Measured) -> String {
    let ms = |time: Option<Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let bytes = bytes_per_row(idle, one).map_or("-".to_owned(), |bytes| format!("{bytes:.2}"));
    format!(
        "{}: {} records, {bytes} wire bytes/row, foreground p99 {:.1} ms, visibility p99 {:.1} ms, \
         {} times in {:.0} s, backlog at most {} changes and {} gaps",
        one.way.title(),
        one.records,
        ms(percentile(&one.felt.write, 99)),
        ms(percentile(&one.felt.visible, 99)),
        one.worked.times,
        one.window.as_secs_f64(),
        one.backlog_max.buffered,
        one.backlog_max.gaps,
    )
}
