//! The agent has more to apply than it keeps up with: the job waits, and says why.

use std::time::{Duration, Instant};

use super::scene::{agree, ensure, rest};
use crate::census;
use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::options::Options;
use crate::program;

/// How long the backlog may take to appear on the other node.
const APPEARS: Duration = Duration::from_secs(30);

/// The trial: one transaction over every row keeps the peers busy while dotfill starts there.
pub fn pauses(options: &Options) -> Outcome<String> {
    let mut fleet = Fleet::loaded(options, options.rows)?;
    fleet.add_column(&[])?;
    let api = fleet.nodes[0].client();
    let storm = std::thread::spawn(move || api.execute("UPDATE machines SET note = note || '!'"));
    let peer = &fleet.nodes[1];
    let asked = Instant::now();
    while census::backlog(&peer.db())?.buffered == 0 {
        if asked.elapsed() > APPEARS {
            return fail("one transaction over every row left no backlog on a peer");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let running = program::spawn(&fleet, peer, "run", &["--json", "--rows-per-second", "20000"])?;
    let reason = reason_shown(&fleet)?;
    let report = program::wait(running)?.expect(0)?.json()?;
    storm.join().unwrap_or_else(|_| fail("the client panicked"))?;
    let paused = report["throttled_seconds"].as_f64().unwrap_or_default();
    ensure(reason.contains("corrosion"), format!("status gave {reason:?} as the reason"))?;
    ensure(paused > 0.5, format!("the job was paused for {paused} s"))?;
    rest(&mut fleet)?;
    program::on_all(&fleet, "run", &[])?;
    agree(&fleet)?;
    let all = report["seconds"].as_f64().unwrap_or_default();
    Ok(format!("paused for {paused:.1} s of {all:.1} s; \"{reason}\""))
}

/// What `status` shows while the job waits.
fn reason_shown(fleet: &Fleet) -> Outcome<String> {
    let asked = Instant::now();
    loop {
        let status = program::run(fleet, &fleet.nodes[1], "status", &["--json"])?.json()?;
        if let Some(reason) = status[0]["throttle_reason"].as_str()
            && reason.contains("corrosion")
        {
            return Ok(reason.to_owned());
        }
        if asked.elapsed() > APPEARS {
            return fail(format!("status never showed a pause: {status}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
