//! What trials have in common: a fleet with the column, waiting for what is under way, and looking
//! whether all nodes hold the same.

use std::time::Duration;

use crate::census;
use crate::failed::{Failed, Outcome, fail};
use crate::fleet::Fleet;
use crate::options::Options;
use crate::program;

/// Rows of the trials that measure nothing.
pub const ROWS: u64 = 20_000;
/// How long replication may take to come to rest.
pub const REST_PATIENCE: Duration = Duration::from_mins(2);

/// A loaded fleet whose schema has the column on every node.
pub fn fleet(options: &Options) -> Outcome<Fleet> {
    let fleet = Fleet::loaded(options, ROWS)?;
    fleet.add_column(&[])?;
    Ok(fleet)
}

/// Fails with `sentence` unless `condition` holds.
pub fn ensure(condition: bool, sentence: impl Into<String>) -> Outcome<()> {
    if condition { Ok(()) } else { fail(sentence) }
}

/// Waits until every node holds the same replicated facts and has nothing left to apply.
pub fn rest(fleet: &mut Fleet) -> Outcome<Duration> {
    let rested = fleet.wait_for(REST_PATIENCE, "replication to come to rest", |fleet| {
        let mut facts = Vec::new();
        for node in &fleet.nodes {
            if !census::backlog(&node.db())?.is_empty() {
                return Ok(false);
            }
            facts.push(census::replicated(&node.db())?);
        }
        Ok(facts.windows(2).all(|pair| pair[0] == pair[1]))
    });
    match rested {
        Err(Failed(why)) => fail(format!("{why}\n{}", unrest(fleet)?)),
        rested => rested,
    }
}

/// What keeps replication from its rest, a line for each node.
fn unrest(fleet: &Fleet) -> Outcome<String> {
    let first = census::facts(&fleet.nodes[0].db())?;
    let mut lines = Vec::new();
    for node in &fleet.nodes {
        let facts = census::facts(&node.db())?;
        let differing = first.symmetric_difference(&facts);
        let examples: Vec<_> = differing.clone().take(4).cloned().collect();
        lines.push(format!(
            "{}: {:?}, {} facts, {} differ from the first node's: {examples:?}",
            node.name(),
            census::backlog(&node.db())?,
            facts.len(),
            differing.count()
        ));
    }
    Ok(lines.join("\n"))
}

/// Runs dotfill on every node at once, to its end, and says how many rows it wrote.
pub fn drain(fleet: &Fleet) -> Outcome<u64> {
    let reports = program::on_all(fleet, "run", &[])?;
    Ok(reports.iter().filter_map(|report| report["rows_written"].as_u64()).sum())
}

/// Fails unless all nodes hold the same rows, every cell without a clock row is the derived value,
/// and dotfill's own proof says so on each.
pub fn agree(fleet: &Fleet) -> Outcome<()> {
    let mut all = Vec::new();
    for node in &fleet.nodes {
        all.push((node, census::contents(&node.db())?));
        let wrong = census::wrong(&node.db())?;
        ensure(wrong == 0, format!("{}: {wrong} cells of ours hold something else", node.name()))?;
        program::run(fleet, node, "verify", &["--json"])?.expect(0)?;
    }
    for pair in all.windows(2) {
        let names = format!("{} and {}", pair[0].0.name(), pair[1].0.name());
        ensure(pair[0].1 == pair[1].1, format!("{names} hold different rows"))?;
    }
    Ok(())
}

/// Fails unless each row holds the value on each node.
pub fn owners(fleet: &Fleet, wanted: &[(u64, String)]) -> Outcome<()> {
    for node in &fleet.nodes {
        for (row, value) in wanted {
            let key = crate::schema::key(*row);
            let found = census::owner(&node.db(), &key)?;
            let want = Some(format!("'{value}'"));
            let name = node.name();
            ensure(found == want, format!("{name}: {key} has {found:?}, not {want:?}"))?;
        }
    }
    Ok(())
}

/// Clock rows of the filled column on each node.
pub fn owner_clocks(fleet: &Fleet) -> Outcome<Vec<u64>> {
    fleet.nodes.iter().map(|node| census::owner_clocks(&node.db())).collect()
}

/// Fails where the agents' clients or dotfill have caused change records in the migrated table.
pub fn no_records(fleet: &Fleet, before: &[u64]) -> Outcome<()> {
    let after = fleet.records()?;
    ensure(after == before, format!("change records went from {before:?} to {after:?}"))
}

/// Numbers that are the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}
