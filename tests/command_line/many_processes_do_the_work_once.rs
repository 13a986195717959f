//! Many processes begin one migration at once, and runners are killed: every process that survives
//! exits 0 after the proof, and each row is written once.
//!
//! `DOTFILL_PROCESSES=32 DOTFILL_ROWS=1000000 DOTFILL_KILLS=5 DOTFILL_RATE=0` makes it as large as it
//! is meant to be; `DOTFILL_RATE` is the rate limit in rows per second, and 0 is none.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::tool::{Folder, Running};

const LEASE_SECONDS: u64 = 2;

/// A number from the environment.
fn number(name: &str, usual: u32) -> u32 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is no number")),
        Err(_) => usual,
    }
}

/// Kills whoever has the lease, once it has been seen at work for `rows` rows more; its number.
fn kill_runner(folder: &Folder, rows: u64) -> Option<i64> {
    let written = || folder.status()["rows_written"].as_u64().unwrap_or(0);
    let began = Instant::now();
    let before = written();
    loop {
        assert!(began.elapsed() < Duration::from_mins(1), "nobody works");
        let status = folder.status();
        if status["phase"] == "open" {
            return None;
        }
        match status["pid"].as_i64() {
            Some(pid) if written() >= before + rows => {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                kill_process(pid, Signal::KILL).unwrap();
                return Some(i64::from(pid.as_raw_nonzero().get()));
            }
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn runners_are_killed_and_every_other_one_succeeds() {
    let processes = number("DOTFILL_PROCESSES", 10);
    let rows = number("DOTFILL_ROWS", 20_000);
    let kills = number("DOTFILL_KILLS", 2);
    let lease = LEASE_SECONDS.to_string();
    // So that there is time to be killed in; all of it counts as the time of a run.
    let rate = number("DOTFILL_RATE", rows / 4).to_string();
    let mut flags = vec!["--lease-seconds", &lease, "--json"];
    if rate != "0" {
        flags.extend(["--rows-per-second", &rate]);
    }
    let alone = Folder::with_rows(rows);
    let began = Instant::now();
    alone.run("run", &flags).expect(0);
    let undisturbed = began.elapsed();

    let folder = Folder::with_rows(rows);
    let began = Instant::now();
    let running: Vec<Running> = (0..processes).map(|_| folder.start("run", &flags)).collect();
    let killed: Vec<i64> =
        (0..kills).map_while(|_| kill_runner(&folder, u64::from(rows / (kills + 2)))).collect();
    assert_eq!(killed.len(), kills as usize, "premise: the run was too short");
    let mut digests = Vec::new();
    let mut alive = 0;
    for process in running {
        if killed.contains(&i64::from(process.id())) {
            process.end();
            continue;
        }
        let report = process.end().expect(0).json();
        assert_eq!(report["outcome"], "complete", "{report}");
        alive += 1;
        digests.push(report["digest"].as_str().unwrap().to_owned());
    }
    let took = began.elapsed();
    assert_eq!(alive, processes - kills);
    digests.dedup();
    assert_eq!(digests.len(), 1);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT 'l-' || a"), 0);
    let sum = "SELECT sum(detail ->> '$.rows_written') FROM _dotfill_events WHERE kind = 'lease'";
    assert_eq!(folder.number(sum), i64::from(rows));
    let tokens = "SELECT count(*) - count(DISTINCT detail ->> '$.token') FROM _dotfill_events
        WHERE kind = 'lease'";
    assert_eq!(folder.number(tokens), 0);
    let most = undisturbed + Duration::from_secs(LEASE_SECONDS) * 5 + Duration::from_secs(5);
    assert!(took <= most, "{took:?}, and alone {undisturbed:?}");
}
