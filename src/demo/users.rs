//! Users who write while the migration is open: their values win on both replicas, and a changed
//! source is derived again on both.

use super::backfill::run;
use super::replica::Replica;
use super::{DemoError, Stage};
use crate::engine::RunReport;

/// One write, and what both replicas must hold in the end.
struct Write {
    /// Index of the replica that it happens on.
    on: usize,
    id: u64,
    set: &'static str,
    owner: &'static str,
    promise: &'static str,
}

/// Rows 1, 2 and 3; a smaller table has as many of these as rows.
const WRITES: [Write; 3] = [
    Write {
        on: 0,
        id: 1,
        set: "owner = 'ann'",
        owner: "ann",
        promise: "what a user wrote on a.db stands on both replicas",
    },
    Write {
        on: 1,
        id: 2,
        set: "owner = 'bob'",
        owner: "bob",
        promise: "what a user wrote on b.db stands on both replicas",
    },
    Write {
        on: 1,
        id: 3,
        set: "app = 'moved'",
        owner: "o-moved",
        promise: "a source changed on b.db was derived again on both replicas",
    },
];

/// Writes as users, merges both ways, runs again on both, and looks.
pub(super) fn write_and_drain(stage: &mut Stage<'_>) -> Result<Vec<RunReport>, DemoError> {
    let replicas = stage.replicas();
    let writes: Vec<&Write> = WRITES.iter().filter(|write| write.id <= stage.made.rows).collect();
    for write in &writes {
        let sql = format!("UPDATE machines SET {} WHERE id = {}", write.set, write.id);
        let (here, there) = (&replicas[write.on], &replicas[1 - write.on]);
        let changes = here.write(&sql)?;
        match stage.options.crsqlite {
            Some(_) => there.merge(&changes)?,
            // Plain databases replicate nothing: the application writes to both.
            None => there.write(&sql).map(|_| ())?,
        }
    }
    let before = clock_rows(&replicas)?;
    let mut drains = Vec::new();
    for replica in &replicas {
        drains.push(run(stage, replica)?);
    }
    let unchanged = clock_rows(&replicas)? == before;
    for write in &writes {
        let mut held = true;
        for replica in &replicas {
            held &= replica.owner(write.id)?.as_deref() == Some(write.owner);
        }
        stage.check(write.promise, held);
    }
    stage.check("deriving again wrote no change record either", unchanged);
    let (a, b) = (&drains[0].digest, &drains[1].digest);
    stage.check("both replicas were proven again and have the same digest", a.is_some() && a == b);
    Ok(drains)
}

fn clock_rows(replicas: &[Replica]) -> Result<Vec<u64>, DemoError> {
    Ok(replicas.iter().map(Replica::clock_rows).collect::<Result<_, _>>()?)
}
