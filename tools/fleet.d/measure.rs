//! One way to give the column its value, measured on a fleet of its own.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::census::{self, Backlog};
use crate::failed::{Outcome, fail};
use crate::fleet::{Fleet, INTERRUPTED};
use crate::foreground::{Felt, Foreground};
use crate::node::Node;
use crate::options::Options;
use crate::way::{Way, Worked};

/// How long the foreground runs before anything else, so that every connection is warm.
const SETTLE: Duration = Duration::from_secs(5);
/// How long is measured at least.
const WINDOW: Duration = Duration::from_secs(30);

/// What a way cost.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which way.
    pub way: Way,
    /// Rows of the table.
    pub rows: u64,
    /// How long was measured.
    pub window: Duration,
    /// Until every row of every node had its value; `None` where that did not happen.
    pub equal_after: Option<Duration>,
    /// What the way itself came to.
    pub worked: Worked,
    /// Change records that the agents' clients made in the table.
    pub records: u64,
    /// Bytes that all nodes sent, headers included; `None` where they were not counted.
    pub bytes: Option<u64>,
    /// What the foreground felt.
    pub felt: Felt,
    /// What was left unapplied at the end, over all nodes.
    pub backlog: Backlog,
    /// The largest backlog that any look found, over all nodes.
    pub backlog_max: Backlog,
}

/// Measures one way.
pub fn measure(options: &Options, way: Way) -> Outcome<Measured> {
    let mut fleet = Fleet::loaded(options, options.rows)?;
    fleet.add_column(&[])?;
    let foreground = Foreground::start(&fleet)?;
    std::thread::sleep(SETTLE);
    let (records, bytes) = (fleet.records()?, fleet.bytes_sent()?);
    let began = Instant::now();
    let working = way.start(&fleet, options.rows);
    let watched = watch(&mut fleet, way, began, options.patience())?;
    // A backfill that is done over and over ends after the one under way.
    let worked = working.finish();
    let window = began.elapsed();
    let bytes_after = fleet.bytes_sent()?;
    let felt = foreground.stop()?;
    let measured = Measured {
        way,
        rows: options.rows,
        window,
        equal_after: watched.equal_after,
        worked,
        records: fleet.records()?.iter().sum::<u64>() - records.iter().sum::<u64>(),
        bytes: bytes_after.zip(bytes).map(|(after, before)| after - before),
        felt,
        backlog: backlog(&fleet)?,
        backlog_max: watched.backlog_max,
    };
    fleet.stop()?;
    Ok(measured)
}

struct Watched {
    equal_after: Option<Duration>,
    backlog_max: Backlog,
}

/// Looks at the nodes until all rows have their value, and the window is over.
fn watch(fleet: &mut Fleet, way: Way, began: Instant, patience: Duration) -> Outcome<Watched> {
    let mut watched = Watched { equal_after: None, backlog_max: Backlog::default() };
    loop {
        fleet.nodes.iter_mut().try_for_each(Node::check)?;
        let backlog = backlog(fleet)?;
        if backlog.buffered + backlog.gaps
            >= watched.backlog_max.buffered + watched.backlog_max.gaps
        {
            watched.backlog_max = backlog;
        }
        if watched.equal_after.is_none() && way.fills() && all_filled(fleet)? {
            watched.equal_after = Some(began.elapsed());
        }
        let over = watched.equal_after.is_some() || !way.fills();
        if INTERRUPTED.load(Ordering::Relaxed) {
            return fail("interrupted");
        }
        if (over && began.elapsed() >= WINDOW) || began.elapsed() >= patience {
            return Ok(watched);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn all_filled(fleet: &Fleet) -> Outcome<bool> {
    for node in &fleet.nodes {
        if census::unfilled(&node.db())? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn backlog(fleet: &Fleet) -> Outcome<Backlog> {
    let each = fleet.nodes.iter().map(|node| census::backlog(&node.db()));
    each.into_iter().try_fold(Backlog::default(), |total, one| Ok(total.plus(one?)))
}
