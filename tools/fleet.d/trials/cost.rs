//! The price of a backfill on all nodes at once, against the idle of the same run.

use super::scene::ensure;
use crate::census::Backlog;
use crate::failed::Outcome;
use crate::foreground::percentile;
use crate::measure::{Measured, measure};
use crate::options::Options;
use crate::storm::bytes_per_row;
use crate::way::Way;

/// Measures idle, one backfill, and backfills over and over, and holds them to the limits.
pub fn backfill(options: &Options) -> Outcome<String> {
    let idle = measure(options, Way::Idle)?;
    let once = measure(options, Way::Dotfill)?;
    let always = measure(options, Way::DotfillAlways)?;
    let mut remarks = vec![remark(&idle, &idle)];
    for measured in [&once, &always] {
        remarks.push(remark(&idle, measured));
    }
    let remarks = remarks.join("\n");
    for measured in [&once, &always] {
        if let Err(why) = within_limits(&idle, measured) {
            return crate::failed::fail(format!("{}\n{remarks}", why.0));
        }
    }
    Ok(remarks)
}

fn within_limits(idle: &Measured, one: &Measured) -> Outcome<()> {
    ensure(one.worked.failed.is_none(), format!("dotfill failed: {:?}", one.worked.failed))?;
    ensure(
        one.way == Way::DotfillAlways || one.equal_after.is_some(),
        "the nodes never became equal",
    )?;
    ensure(one.records == 0, format!("{} change records", one.records))?;
    if let Some(bytes) = bytes_per_row(idle, one) {
        ensure(bytes <= 1.0, format!("{bytes:.2} wire bytes per row above idle"))?;
    }
    ensure(one.backlog == Backlog::default(), format!("left behind: {:?}", one.backlog))?;
    ensure(one.felt.lost == 0, format!("{} writes never became visible", one.felt.lost))?;
    let p99 = |measured: &Measured, visible: bool| {
        let felt = &measured.felt;
        percentile(if visible { &felt.visible } else { &felt.write }, 99)
            .map(|time| time.as_secs_f64() * 1e3)
    };
    let (write, write_idle) = (p99(one, false), p99(idle, false));
    let (visible, visible_idle) = (p99(one, true), p99(idle, true));
    let (Some(write), Some(write_idle)) = (write, write_idle) else {
        return crate::failed::fail("the foreground wrote nothing");
    };
    let (Some(visible), Some(visible_idle)) = (visible, visible_idle) else {
        return crate::failed::fail("nothing of the foreground was seen");
    };
    let limit = 2.0 * write_idle + 5.0;
    ensure(write <= limit, format!("foreground p99 {write:.1} ms, limit {limit:.1} ms"))?;
    let limit = 2.0 * visible_idle;
    ensure(visible <= limit, format!("visibility p99 {visible:.1} ms, limit {limit:.1} ms"))
}

fn remark(idle: &Measured, one: &Measured) -> String {
    let ms = |time: Option<std::time::Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
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
