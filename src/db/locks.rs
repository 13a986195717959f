//! Who else has this database open, and who keeps its WAL from being reset.
//!
//! In WAL mode `SQLite` takes advisory locks on bytes of the `-shm` file (`SQLite`'s file
//! "wal.c" and the document "WAL-mode File Format" give the numbers): byte 120 is the write lock,
//! bytes 123 to 127 are the read marks, and byte 128 is held, shared, by every open connection.
//! `F_GETLK` tells which process holds a conflicting lock. Locks of our own process never
//! conflict with us, so an application that uses the library in its own process is not seen here.

use std::fs::File;
use std::path::Path;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::beside;
use super::held::{self, Use};

const WRITE_BYTE: u64 = 120;
const READ_BYTES: std::ops::Range<u64> = 123..128;
const OPEN_BYTE: u64 = 128;

/// Looks at the locks of one database.
///
/// The descriptor is held as `db::held` says: never closed, and one for all jobs of a process.
#[derive(Debug)]
pub struct LockWatch {
    shm: Option<&'static File>,
}

impl LockWatch {
    /// Watches the locks of `db`. Where there is no `-shm` file (not in WAL mode, nobody has it
    /// open) nothing is ever reported.
    #[must_use]
    pub fn new(db: &Path) -> Self {
        let shm = held::open(&beside(db, "-shm"), Use::Locks).ok();
        Self { shm }
    }

    /// The process id of somebody else who has the database open, if there is one.
    #[must_use]
    pub fn neighbour(&self) -> Option<i32> {
        self.holder(OPEN_BYTE)
    }

    /// The process that is in a write transaction right now, other than ours.
    #[must_use]
    pub fn writer(&self) -> Option<i32> {
        self.holder(WRITE_BYTE)
    }

    /// The processes, other than ours, that hold a read mark and so keep the WAL from being reset.
    #[must_use]
    pub fn readers(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = READ_BYTES.filter_map(|byte| self.holder(byte)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    fn holder(&self, byte: u64) -> Option<i32> {
        let ask = Flock {
            start: byte,
            length: 1,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        let found = fcntl_getlk(self.shm?, &ask).ok()??;
        found.pid.map(|pid| pid.as_raw_nonzero().get())
    }
}
