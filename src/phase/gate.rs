//! The conditions of a step, each with its evidence and what helps where it fails. Pure: what is
//! true of the database and of the fleet is read elsewhere.

mod fleet;

use std::fmt::Write;

use serde::Serialize;

use super::ack::Ack;
use super::agreement::Agreement;
use super::fleet::RequiredReplica;
use super::mode::Step;
use crate::state::Phase;

/// One condition of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// A word for it.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was found.
    pub evidence: String,
    /// What helps, where it does not hold.
    pub remedy: Option<String>,
}

impl Condition {
    fn new(
        name: &'static str,
        holds: bool,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = (!holds).then(|| remedy.into());
        Self { name, holds, evidence: evidence.into(), remedy }
    }
}

/// What is true of this database.
#[derive(Clone, Debug)]
pub struct LocalFacts {
    /// The migration.
    pub migration: String,
    /// Its digest, as hexadecimal digits.
    pub migration_digest: String,
    /// The oldest client that may write once the epoch is closed.
    pub minimum_client: Option<String>,
    /// The database, as the operator named it; for remedies.
    pub db: String,
    /// How this replica is called, where that is known.
    pub replica: Option<String>,
    /// True where the tables are replicated by cr-sqlite and another site has written here.
    pub others_seen: bool,
    /// True where an old write that is on its way when the epoch is closed would not be shown: under
    /// `reject` and `quarantine`.
    pub refuses_late: bool,
    /// Where the backfill stands.
    pub phase: Phase,
    /// Objects that wait to be derived again, and values whose row has not arrived.
    pub waiting: u64,
    /// Old-format writes that dotfill has not looked at.
    pub pending: u64,
    /// Refusals that wait for an operator.
    pub quarantined: u64,
    /// Objects that the validator knows to disagree, and examples.
    pub open: Vec<String>,
    /// How many there are.
    pub open_count: u64,
    /// The comparison over all objects.
    pub agreement: Agreement,
}

/// Who else has to agree.
#[derive(Clone, Debug)]
pub enum Others {
    /// Nothing was said.
    Unsaid,
    /// The operator says that there is no other replica.
    Alone,
    /// The replicas of a fleet, each with its acknowledgement, where there is one.
    Fleet(Vec<(RequiredReplica, Option<Ack>)>),
}

/// Evaluates every condition of a step.
#[must_use]
pub fn evaluate(step: Step, facts: &LocalFacts, others: &Others) -> Vec<Condition> {
    let mut all = vec![proven(facts), nothing_waiting(facts)];
    match step {
        Step::ReadNew | Step::WriteBoth => all.push(views_agree(facts)),
        Step::WriteNew => all.extend([views_agree(facts), no_open(facts), nothing_pending(facts)]),
        Step::CompactOld => all.push(nothing_pending(facts)),
    }
    all.extend(fleet::conditions(step, facts, others));
    all
}

/// True where every condition holds.
#[must_use]
pub fn holds(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| condition.holds)
}

fn command(facts: &LocalFacts, command: &str) -> String {
    format!("`dotfill {command} {} --db {}`", facts.migration, facts.db)
}

fn proven(facts: &LocalFacts) -> Condition {
    let holds = match facts.phase {
        Phase::Open => true,
        Phase::Filling
        | Phase::Closed
        | Phase::Applying
        | Phase::Applied
        | Phase::RollingBack
        | Phase::RolledBack
        | Phase::Failed => false,
    };
    let remedy = match facts.phase {
        Phase::Closed => {
            "a closed migration is no longer followed: `dotfill forget` it, and run it \
             again without --close"
                .to_owned()
        }
        _ => format!("{} fills and proves it", command(facts, "run")),
    };
    let evidence = if holds {
        format!("proven over {} objects", facts.agreement.objects)
    } else {
        format!("it is {}", facts.phase)
    };
    Condition::new("backfill-proven", holds, evidence, remedy)
}

fn nothing_waiting(facts: &LocalFacts) -> Condition {
    Condition::new(
        "nothing-noted",
        facts.waiting == 0,
        format!("{} objects wait to be derived again", facts.waiting),
        format!("{} drains them", command(facts, "run")),
    )
}

fn views_agree(facts: &LocalFacts) -> Condition {
    let found = &facts.agreement;
    let mut evidence = match found.disagreements {
        0 => format!("old and new view are equal over {} objects", found.objects),
        n => format!("{n} of {} objects differ", found.objects),
    };
    if found.flaws > 0 {
        let _ = write!(evidence, ", {} flawed elements left out", found.flaws);
    }
    for example in &found.examples {
        let _ = write!(evidence, "; {example}");
    }
    Condition::new(
        "views-agree",
        found.disagreements == 0,
        evidence,
        format!(
            "{} drains what is noted; what still differs was written to one form only: write it to \
             the other one too",
            command(facts, "run")
        ),
    )
}

fn no_open(facts: &LocalFacts) -> Condition {
    let mut evidence = format!("{} disagreements are open", facts.open_count);
    for example in &facts.open {
        let _ = write!(evidence, "; {example}");
    }
    Condition::new(
        "validator-clean",
        facts.open_count == 0,
        evidence,
        "write what one form lacks to it too; an object that agrees again is no longer listed",
    )
}

fn nothing_pending(facts: &LocalFacts) -> Condition {
    let (pending, quarantined) = (facts.pending, facts.quarantined);
    let remedy = if pending > 0 {
        format!("{} decides what is pending", command(facts, "run"))
    } else {
        format!("`dotfill quarantine list --db {}` shows them; replay or drop each", facts.db)
    };
    Condition::new(
        "nothing-undecided",
        pending + quarantined == 0,
        format!("{pending} old writes pending, {quarantined} in quarantine"),
        remedy,
    )
}

#[cfg(test)]
mod tests;
