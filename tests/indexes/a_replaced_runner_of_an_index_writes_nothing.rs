//! A runner that has lost its lease does not build: the fence is in the build's own transaction.

use dotfill::engine;
use rusqlite::Connection;

use crate::scene::job;
use crate::steal::steal_everywhere;

fn prepare(db: &std::path::Path) {
    let conn = Connection::open(db).unwrap();
    conn.execute_batch(
        "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT);
         WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 50)
         INSERT INTO t SELECT i, 'a' || i FROM i;",
    )
    .unwrap();
}

#[test]
fn run() {
    steal_everywhere(5, &prepare, &|db, monitor| {
        let mut job = job(db.to_str().unwrap(), "columns = ['a']\nunique = true");
        job.options.close = true;
        job.options.no_wait = true;
        job.try_run(monitor).map(drop)
    });
}

#[test]
fn rollback() {
    let prepare = |db: &std::path::Path| {
        prepare(db);
        job(db.to_str().unwrap(), "columns = ['a']").run();
    };
    steal_everywhere(3, &prepare, &|db, monitor| {
        let job = job(db.to_str().unwrap(), "columns = ['a']");
        engine::rollback(&job.db, &job.migration, &job.options, monitor).map(drop)
    });
}
