//! Programs that open the database, write and close it while a run goes on: a POSIX lock of ours
//! that got lost would let them delete the WAL that the run is writing.

use std::os::unix::fs::MetadataExt;

use crate::tool::{Folder, eventually};

#[test]
fn nothing_of_theirs_is_lost() {
    let folder = Folder::with_rows(20_000);
    let running = folder.start("run", &["--rows-per-second", "10000", "--json"]);
    eventually("the run has begun", || folder.status()["percent"].as_f64() > Some(0.0));
    if let Ok(locks) = std::fs::read_to_string("/proc/locks") {
        let inode = std::fs::metadata(folder.path("t.db")).unwrap().ino();
        let ours = |line: &&str| {
            line.contains(&format!(" READ {} ", running.id()))
                && line.contains(&format!(":{inode} "))
        };
        assert!(locks.lines().any(|line| ours(&line)), "no lock on inode {inode}:\n{locks}");
    }
    for id in 1..=10 {
        let conn = folder.conn();
        conn.execute("UPDATE t SET a = 'theirs' WHERE id = ?1", [id]).unwrap();
        conn.execute("INSERT INTO t (id, a) VALUES (?1, 'theirs')", [1_000_000 + id]).unwrap();
        drop(conn);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    running.end().expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label = 'l-theirs'"), 20);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT 'l-' || a"), 0);
}

#[test]
fn a_checkpoint_that_is_under_way_is_no_truncation() {
    let folder = Folder::with_rows(5_000);
    folder.run("run", &[]).expect(0);
    // As a checkpoint that was cut short leaves it: the header is ahead of the file, the WAL has
    // the rest.
    let (db, wal) = (folder.path("t.db"), folder.path("t.db-wal"));
    let conn = folder.conn();
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE t SET a = a || 'x';").unwrap();
    let before = std::fs::read(&db).unwrap();
    let journal = std::fs::read(&wal).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    drop(conn);
    let head = std::fs::read(&db).unwrap()[..4096].to_vec();
    std::fs::write(&db, [&head, &before[4096..]].concat()).unwrap();
    std::fs::write(&wal, journal).unwrap();
    folder.run("status", &[]).expect(0);
    folder.run("run", &[]).expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT 'l-' || a"), 0);
}
