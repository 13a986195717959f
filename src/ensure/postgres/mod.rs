//! `PostgreSQL`: an index is built by `CREATE INDEX CONCURRENTLY`, which lets everybody write
//! meanwhile.
//!
//! # One builds
//! The build lock is an advisory lock of the session that builds, named after schema and index (two
//! migrations that want one index are one build). Nobody ever waits in a statement for it: such a
//! statement holds a snapshot, a concurrent build waits for every snapshot older than itself, and
//! the two would wait for each other. Callers ask again a few times a second instead, in
//! transactions that last no longer than the question.
//!
//! The lock is held by the session that runs the build, so that they end together: where our
//! process dies, the server goes on building and the lock stays taken until it is done, and whoever
//! comes next attaches. A process that is stopped between two statements is idle, and the server
//! ends its session, and with it the lock, after 30 s (`PostgreSQL` 14 and later).
//!
//! The lock only decides *who* builds. Should two build at once all the same (a proxy that shares
//! sessions among clients makes session locks meaningless), the server refuses the second one the
//! name, and that one looks again.
//!
//! # What is removed
//! An index that is INVALID, has the wanted definition, and that nobody can be building: no other
//! session holds the lock on the table that every build holds from its beginning to its end. Such
//! an index cannot become valid by itself, and its name keeps others from building it.

mod catalog;
mod sessions;
mod table;
mod work;

use crate::ensure::Fault;
use crate::ensure::backend::{Backend, Depth, Stop, Trouble, Watch, Work};
use crate::ensure::decide::{BuildLock, IndexState, Seen, There};
use crate::ensure::definition::{Definition, differences};
use crate::ensure::link::settings::{self, Purpose};
use crate::ensure::link::{Link, Session, cell};
use crate::ensure::verdict::{Example, Verdict};
use crate::ensure::verdicts;
use crate::ensure::wanted::Wanted;

use table::{Table, refused};
pub use work::examples;

/// One index on one `PostgreSQL`.
pub struct Postgres<'a> {
    link: &'a Link,
    wanted: &'a Wanted,
    known: Option<Known>,
}

/// What a connection knows.
struct Known {
    session: Session,
    pid: i32,
    table: Table,
    /// What is wanted, in the server's words; learnt at the first look.
    definition: Option<Definition>,
}

impl<'a> Postgres<'a> {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(link: &'a Link, wanted: &'a Wanted) -> Self {
        Self { link, wanted, known: None }
    }

    fn known(&mut self) -> Result<&mut Known, Fault> {
        self.known.as_mut().ok_or_else(|| Fault::local("ask the server", "not connected"))
    }
}

impl Backend for Postgres<'_> {
    fn connect(&mut self) -> Result<(), Trouble> {
        self.known = None;
        let session = self.link.open()?;
        settings::apply(&session, Purpose::Look)?;
        let row =
            session.row("ask who we are", "SELECT pg_backend_pid(), pg_is_in_recovery()", &[])?;
        if cell::<bool>(&row, 1)? {
            let problem = "the server is a standby, which can build nothing; connect to the primary \
                           (target_session_attrs=read-write finds it among several hosts)";
            return Err(refused(self.wanted, problem.to_owned()));
        }
        let table = Table::find(&session, self.wanted)?;
        self.known = Some(Known { pid: cell(&row, 0)?, session, table, definition: None });
        Ok(())
    }

    fn look(&mut self, depth: Depth) -> Result<Seen, Trouble> {
        let wanted = self.wanted;
        let known = self.known()?;
        if depth == Depth::Whole || known.definition.is_none() {
            known.table = Table::find(&known.session, wanted)?;
            known.definition = Some(catalog::wanted(&known.session, &known.table, wanted)?);
        }
        known.look(wanted)
    }

    fn lock(&mut self) -> Result<bool, Fault> {
        let wanted = self.wanted;
        let known = self.known()?;
        let key = lock_key(&known.table.schema, &wanted.name);
        let row =
            known.session.row("take the build lock", "SELECT pg_try_advisory_lock($1)", &[&key])?;
        let taken = cell(&row, 0)?;
        if taken {
            settings::apply(&known.session, Purpose::Build)?;
        }
        Ok(taken)
    }

    fn work(&mut self, work: Work, watch: Watch<'_>) -> Result<(), Stop> {
        let (link, wanted) = (self.link, self.wanted);
        let known = self.known()?;
        let schema_and_index = format!(
            "{}.{}",
            crate::db::quote::ident(&known.table.schema),
            crate::db::quote::ident(&wanted.name)
        );
        let sql = match work {
            Work::Build => wanted.create("CONCURRENTLY ", &known.table.quoted()),
            Work::Remove => format!("DROP INDEX CONCURRENTLY IF EXISTS {schema_and_index}"),
        };
        work::run(link, &known.session, known.pid, wanted, (work, sql), watch)
    }

    fn examples(&mut self, watch: Watch<'_>) -> Vec<Example> {
        let wanted = self.wanted;
        // Without examples the server's own words still name one key.
        self.known().map_or_else(
            |_| Vec::new(),
            |known| examples(&known.session, wanted, &known.table.quoted(), watch),
        )
    }

    fn settle(&mut self, verdict: Option<&Verdict>) -> Result<(), Fault> {
        let index = &self.wanted.name;
        let known = self.known()?;
        let (session, schema) = (&known.session, &known.table.schema);
        settings::set(session, "lock_timeout", "2s")?;
        let settled = match verdict {
            Some(verdict) => verdicts::write(session, schema, index, verdict),
            None => verdicts::remove(session, schema, index)
                .and_then(|()| verdicts::remove_table(session, schema)),
        };
        settings::set(session, "lock_timeout", "0").and(settled)
    }
}

impl Known {
    fn look(&self, wanted: &Wanted) -> Result<Seen, Trouble> {
        let (session, table) = (&self.session, &self.table);
        let entry = catalog::entry(session, table.schema_oid, &wanted.name)?;
        let oid = entry.as_ref().map_or(0, |entry| entry.oid);
        let there = match entry {
            None if table.is_partitioned() => There::Other(partitioned(table)),
            None => There::Nothing,
            Some(entry) if entry.table == table.oid && table.is_partitioned() && !entry.whole => {
                There::Other(partitioned(table))
            }
            Some(entry) if entry.table == table.oid => self.state(&entry)?,
            Some(entry) if entry.table != 0 => {
                There::Other("another table of the schema has an index of this name".to_owned())
            }
            Some(entry) => There::Other(format!("{} of the schema has this name", entry.kind)),
        };
        let is_whole = matches!(&there, There::Index(index) if index.whole);
        let builder = if is_whole { None } else { sessions::builder(session, table.oid, oid)? };
        let holder = sessions::holder(session, lock_key(&table.schema, &wanted.name))?;
        let lock = match holder {
            None => BuildLock::Free,
            Some(pid) if pid == self.pid => BuildLock::Ours,
            Some(pid) => BuildLock::Theirs(sessions::brief(session, pid)?),
        };
        let at_it = builder.as_ref().map(|(pid, _)| *pid).or(holder.filter(|pid| *pid != self.pid));
        let progress = match at_it.filter(|_| !is_whole) {
            Some(pid) => sessions::progress(session, &wanted.name, pid)?,
            None => None,
        };
        Ok(Seen {
            there,
            builder: builder.map(|(_, builder)| builder),
            lock,
            verdict: verdicts::read(session, &table.schema, &wanted.name)?,
            progress,
        })
    }

    fn state(&self, entry: &catalog::Entry) -> Result<There, Fault> {
        let Some(found) = catalog::definition(&self.session, entry.oid)? else {
            return Ok(There::Nothing);
        };
        let wanted = self.definition.clone().unwrap_or_default();
        Ok(There::Index(IndexState {
            whole: entry.whole,
            differences: differences(&wanted, &found),
            statement: found.statement,
            wanted: wanted.statement,
        }))
    }
}

fn partitioned(table: &Table) -> String {
    format!(
        "{} is partitioned, and PostgreSQL cannot build an index on all parts without locking \
         writers out; write one change for each partition, then CREATE INDEX .. ON ONLY the table \
         and ALTER INDEX .. ATTACH PARTITION; what is there and valid then, this proves",
        table.quoted()
    )
}

/// The advisory lock under which an index is built: the first eight bytes, as a little-endian
/// number, of the BLAKE3 of `dotfill ensure index v1`, and of schema and index, each after its
/// length as a little-endian number of eight bytes.
#[must_use]
fn lock_key(schema: &str, index: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dotfill ensure index v1");
    for field in [schema, index] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_named_as_it_is_specified() {
        // Computed by another implementation of BLAKE3.
        assert_eq!(lock_key("public", "users_email"), -8_957_466_406_534_516_493);
        assert_ne!(lock_key("public", "users_email"), lock_key("publicu", "sers_email"));
    }
}
