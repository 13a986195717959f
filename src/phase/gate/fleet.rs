//! The conditions that the replicas of a fleet have to meet, by their acknowledgements.

use std::fmt::Write;

use super::{Condition, LocalFacts, Others};
use crate::phase::ack::Ack;
use crate::phase::fleet::RequiredReplica;
use crate::phase::mode::{Move, Step, is_closed, movement};
use crate::phase::version::Version;
use crate::state::Mode;

/// Replicas that one condition names.
const NAMED_MAX: usize = 5;

/// The conditions of a step that other replicas have to meet.
pub(super) fn conditions(step: Step, facts: &LocalFacts, others: &Others) -> Vec<Condition> {
    let acks = match others {
        Others::Fleet(acks) => acks,
        Others::Alone => return vec![alone(step, facts)],
        Others::Unsaid => {
            return vec![Condition::new(
                "fleet-acknowledged",
                false,
                "nobody says which replicas there are",
                "name the fleet's folder with --fleet DIR, or say --alone where this database has \
                 no other replica",
            )];
        }
    };
    let mut all = vec![listed(facts, acks), acknowledged(step, facts, acks)];
    all.extend([same_migration(facts, acks), same_data(step, facts, acks), ready(facts, acks)]);
    match step {
        Step::ReadNew | Step::WriteBoth => {}
        Step::WriteNew => all.push(clients(facts, acks)),
        Step::CompactOld => all.extend([clients(facts, acks), readiness(facts, acks)]),
    }
    all
}

fn alone(step: Step, facts: &LocalFacts) -> Condition {
    let needs_fleet = match step {
        Step::ReadNew | Step::WriteBoth | Step::WriteNew => facts.others_seen,
        // Five of its conditions only an acknowledgement can state.
        Step::CompactOld => true,
    };
    let evidence = if facts.others_seen {
        "another site of cr-sqlite has written here, so it is not alone"
    } else if needs_fleet {
        "removing the old form needs acknowledgements, if only its own"
    } else {
        "the operator says that there is no other replica"
    };
    Condition::new(
        "fleet-acknowledged",
        !needs_fleet,
        evidence,
        "name the fleet's folder with --fleet DIR",
    )
}

type Acks = [(RequiredReplica, Option<Ack>)];

/// A condition that each replica meets, or is named with what is wrong.
fn each(
    name: &'static str,
    acks: &Acks,
    well: &str,
    problem: impl Fn(&RequiredReplica, &Ack) -> Option<String>,
    remedy: impl Into<String>,
) -> Condition {
    let problems: Vec<String> = acks
        .iter()
        .filter_map(|(replica, ack)| {
            let problem = problem(replica, ack.as_ref()?)?;
            Some(format!("replica {replica} {problem}"))
        })
        .collect();
    named(name, acks.len(), well, problems, remedy)
}

fn named(
    name: &'static str,
    replicas: usize,
    well: &str,
    mut problems: Vec<String>,
    remedy: impl Into<String>,
) -> Condition {
    if problems.is_empty() {
        return Condition::new(name, true, format!("{replicas} of {replicas} {well}"), "");
    }
    let rest = problems.len().saturating_sub(NAMED_MAX);
    problems.truncate(NAMED_MAX);
    let mut evidence = problems.join("; ");
    if rest > 0 {
        let _ = write!(evidence, "; and {rest} more");
    }
    Condition::new(name, false, evidence, remedy)
}

fn listed(facts: &LocalFacts, acks: &Acks) -> Condition {
    let Some(replica) = &facts.replica else {
        return Condition::new(
            "listed",
            true,
            format!("{} replicas are required; a plain database has no id of its own", acks.len()),
            "",
        );
    };
    let found = acks.iter().any(|(required, _)| required.id.eq_ignore_ascii_case(replica));
    Condition::new(
        "listed",
        found,
        if found {
            format!("this replica, {replica}, is one of {} required", acks.len())
        } else {
            format!("this replica, {replica}, is not in the fleet's list")
        },
        "add it to fleet.toml, or name the right folder",
    )
}

/// The command that a replica's people run.
fn ack_command(facts: &LocalFacts, flags: &str) -> String {
    let space = if flags.is_empty() { "" } else { " " };
    format!("run `dotfill ack {} --db FILE --fleet DIR{space}{flags}` there", facts.migration)
}

fn acknowledged(step: Step, facts: &LocalFacts, acks: &Acks) -> Condition {
    let mode = step.from();
    let problems = acks.iter().filter_map(|(replica, ack)| match ack {
        None => Some(format!("replica {replica} has not acknowledged")),
        Some(ack) if is_at_least(ack.mode, mode) => None,
        Some(ack) => Some(format!("replica {replica} has acknowledged {} only", ack.mode)),
    });
    named(
        "acknowledged",
        acks.len(),
        &format!("replicas have acknowledged {mode}"),
        problems.collect(),
        format!("bring it to {mode}; {}", ack_command(facts, "")),
    )
}

/// True where `mode` is `wanted`, or comes after it.
fn is_at_least(mode: Mode, wanted: Mode) -> bool {
    match movement(mode, wanted) {
        Move::Stay | Move::Back => true,
        Move::Forward(_) | Move::TooFar { .. } => false,
    }
}

fn same_migration(facts: &LocalFacts, acks: &Acks) -> Condition {
    each(
        "same-migration",
        acks,
        "acknowledgements are of this migration file",
        |_, ack| {
            let differs = ack.migration_digest != facts.migration_digest;
            differs.then(|| "follows another migration file under that id".to_owned())
        },
        "give every replica the same file; a changed one needs an id of its own",
    )
}

fn same_data(step: Step, facts: &LocalFacts, acks: &Acks) -> Condition {
    let sources = facts.agreement.sources_digest();
    let view = facts.agreement.view_digest();
    let in_flight = acks
        .iter()
        .filter_map(|(_, ack)| ack.as_ref())
        .filter(|ack| ack.sources_digest != sources)
        .count();
    let well = match in_flight {
        0 => "replicas hold the same data".to_owned(),
        n => format!("replicas do not contradict this one; the old form of {n} is in flight"),
    };
    each(
        "same-data",
        acks,
        &well,
        |_, ack| {
            if ack.sources_digest != sources {
                let late = step == Step::WriteNew && facts.refuses_late;
                return late.then(|| {
                    "holds another old form: what is on its way would be refused".to_owned()
                });
            }
            let differs = ack.view_digest != view;
            differs.then(|| "has the same old form and shows another new one".to_owned())
        },
        format!(
            "let the replicas merge, then {}; `dotfill verify --against` finds what differs",
            ack_command(facts, "")
        ),
    )
}

fn ready(facts: &LocalFacts, acks: &Acks) -> Condition {
    each(
        "replicas-ready",
        acks,
        "replicas are proven, agree, and have nothing undecided",
        |_, ack| {
            if !ack.proven {
                Some("is not proven".to_owned())
            } else if ack.undecided > 0 {
                Some(format!("has {} old writes undecided", ack.undecided))
            } else if ack.disagreements > 0 && !is_closed(ack.mode) {
                Some(format!("has {} objects whose forms differ", ack.disagreements))
            } else {
                None
            }
        },
        format!("mend it there, then {}", ack_command(facts, "")),
    )
}

fn clients(facts: &LocalFacts, acks: &Acks) -> Condition {
    let Some(minimum) = &facts.minimum_client else {
        return Condition::new("clients", true, "the migration names no minimum_client", "");
    };
    let flag = "--oldest-client VERSION";
    each(
        "clients",
        acks,
        &format!("replicas have seen no client older than {minimum}"),
        |_, ack| match &ack.oldest_client {
            None => Some("does not say which client is its oldest".to_owned()),
            Some(oldest) => match (Version::parse(oldest), Version::parse(minimum)) {
                (Ok(oldest), Ok(minimum)) if oldest >= minimum => None,
                (Ok(oldest), Ok(minimum)) => {
                    Some(format!("still has clients at {oldest}, below {minimum}"))
                }
                (Err(problem), _) | (_, Err(problem)) => Some(format!("says {problem}")),
            },
        },
        format!("upgrade the clients there, then {}", ack_command(facts, flag)),
    )
}

fn readiness(facts: &LocalFacts, acks: &Acks) -> Condition {
    each(
        "ready-for-compaction",
        acks,
        "replicas state all five conditions",
        |_, ack| {
            let missing = ack.readiness.missing();
            (!missing.is_empty()).then(|| format!("does not state {}", missing.join(" ")))
        },
        format!("once they are true, {}, with the flags that are missing", ack_command(facts, "")),
    )
}
