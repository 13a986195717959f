//! Agents that restart, links that break, and dotfill killed.

use std::time::Duration;

use super::scene::{
    ROWS, Random, agree, drain, ensure, fleet, no_records, owner_clocks, owners, rest,
};
use super::users::{Crowd, SLOWLY, owners_of};
use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::node::Node;
use crate::options::Options;
use crate::program;

/// How long nodes are watched after a restart.
const WATCHED: Duration = Duration::from_secs(20);

/// How long nodes stay apart after the backfill; long enough to be taken for dead.
const APART: Duration = Duration::from_secs(15);

/// The trial: one agent is restarted and one is killed during the backfill, all are restarted after.
pub fn restart(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    let before = bytes_of_restart(&mut fleet)?;
    let running = program::start_all(&fleet, &fleet.nodes, "run", &SLOWLY)?;
    std::thread::sleep(Duration::from_millis(500));
    fleet.nodes[1].stop()?;
    fleet.nodes[2].kill()?;
    std::thread::sleep(Duration::from_millis(500));
    fleet.nodes[1].start()?;
    fleet.nodes[2].start()?;
    program::end_all(running)?;
    fleet.wait_until_joined()?;
    let after = bytes_of_restart(&mut fleet)?;
    rest(&mut fleet)?;
    let records = fleet.records()?;
    ensure(records.iter().all(|one| *one == 0), format!("change records: {records:?}"))?;
    let clocks = owner_clocks(&fleet)?;
    ensure(clocks.iter().all(|one| *one == 0), format!("clock rows: {clocks:?}"))?;
    drain(&fleet)?;
    agree(&fleet)?;
    let Some((before, after)) = before.zip(after) else {
        return Ok("bytes were not counted: that needs root".to_owned());
    };
    let above = (after as f64 - before as f64) / ROWS as f64;
    ensure(above <= 1.0, format!("{above:.2} wire bytes per row more than before the backfill"))?;
    Ok(format!("a restart of all agents sends {before} bytes before and {after} after"))
}

/// Restarts every agent; the bytes that all sent until a while later.
fn bytes_of_restart(fleet: &mut Fleet) -> Outcome<Option<u64>> {
    fleet.stop()?;
    let before = fleet.bytes_sent()?;
    fleet.nodes.iter_mut().try_for_each(Node::start)?;
    fleet.wait_until_joined()?;
    std::thread::sleep(WATCHED);
    Ok(fleet.bytes_sent()?.zip(before).map(|(after, before)| after - before))
}

/// The trial: the last node is cut off during the backfill, and users write on both sides.
pub fn partition(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    if !fleet.network.is_real() {
        return fail("a link can only be cut as root, between network namespaces");
    }
    let last = fleet.nodes.len() - 1;
    let running = program::start_all(&fleet, &fleet.nodes, "run", &SLOWLY)?;
    fleet.network.set_link(last, false)?;
    let crowd = Crowd::start(&fleet, 4);
    program::end_all(running)?;
    let wanted = owners_of(&fleet, ROWS - 700, "apart")?;
    std::thread::sleep(APART);
    let made = crowd.stop()?;
    fleet.network.set_link(last, true)?;
    let healed = rest(&mut fleet)?;
    let before = fleet.records()?;
    let drained = drain(&fleet)?;
    agree(&fleet)?;
    no_records(&fleet, &before)?;
    let survived = wanted.iter().filter(|(row, value)| {
        let one = [(*row, value.clone())];
        owners(&fleet, &one).is_ok()
    });
    let survived = survived.count();
    ensure(survived * 10 > wanted.len() * 8, format!("{survived} of {} owners", wanted.len()))?;
    Ok(format!(
        "{made} transactions while apart, {:.0} s until replication had healed, {drained} cells \
         drained; {survived} of {} owners stand, the rest of those rows was deleted",
        healed.as_secs_f64(),
        wanted.len()
    ))
}

/// The trial: dotfill is killed again and again on one node while the others finish.
pub fn kill(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    let (victim, others) = fleet.nodes.split_last().map_or_else(|| fail("no node"), Ok)?;
    let others = program::start_all(&fleet, others, "run", &[])?;
    let mut random = Random(options.rows);
    let (mut killed, mut before) = (0, 0);
    for _ in 0..12 {
        let arguments = ["--json", "--rows-per-second", "6000", "--batch-rows-max", "200"];
        let mut child = program::spawn(&fleet, victim, "run", &arguments)?;
        std::thread::sleep(Duration::from_millis(40 + random.below(250)));
        if child.try_wait()?.is_none() {
            killed += 1;
        }
        child.kill()?;
        child.wait()?;
        let filled = ROWS - crate::census::unfilled(&victim.db())?;
        ensure(filled >= before, format!("{filled} rows are filled, {before} were"))?;
        before = filled;
    }
    program::end_all(others)?;
    program::run(&fleet, victim, "run", &["--json"])?.expect(0)?;
    rest(&mut fleet)?;
    agree(&fleet)?;
    let records = fleet.records()?;
    ensure(records.iter().all(|one| *one == 0), format!("change records: {records:?}"))?;
    ensure(
        killed >= 6,
        format!("only {killed} of 12 runs were still running when they were killed"),
    )?;
    Ok(format!("killed {killed} times; {before} rows were filled before the last start"))
}
