//! The decision itself: a function of what is known and of the operation, and of nothing else.
//!
//! In this order: what cannot be judged here yet is buffered; what can never be right is rejected;
//! then the regime of the object decides between the forms. A field that is not known is dropped
//! only where its writer marked it optional.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Decision, FormOfData, Missing, Reason};
use super::operation::Operation;
use super::registry::{Found, NEW_VERSION, OLD_VERSION, PlainEntry, Regime, Registry, SetEntry};
use super::set::{self, Content, DotsFrom};
use crate::db::Datum;
use crate::migration::OldWrites;
use crate::state::Mode;

/// What is to be done with `operation` by a replica that knows `registry`. Pure: the same
/// arguments give the same decision, and nothing is remembered. What the operation `needs` is not
/// looked at: that takes a replica's data.
#[must_use]
pub fn admit(registry: &Registry, operation: &Operation) -> Decision {
    decide(registry, operation, Consent::Rules)
}

/// Who says what becomes of an operation of the old form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// The migration file.
    Rules,
    /// An operator who replays it: it is translated.
    Operator,
}

type Judged<T> = Result<T, Decision>;

pub(super) fn decide(registry: &Registry, operation: &Operation, consent: Consent) -> Decision {
    let judged = match registry.find(&operation.object.table, &operation.kind) {
        None => Err(Decision::wait_for(schema(operation))),
        Some(Found::Plain(versions)) => plain(registry, versions, operation),
        Some(Found::Set(entry, verb)) => of_set(registry, entry, verb, operation, consent),
    };
    judged.unwrap_or_else(|decision| decision)
}

/// The migration by whose rules an operation is decided, where there is one.
pub(super) fn migration<'a>(registry: &'a Registry, operation: &'a Operation) -> Option<&'a str> {
    match registry.find(&operation.object.table, &operation.kind) {
        Some(Found::Set(entry, _)) => Some(&entry.migration),
        Some(Found::Plain(_)) | None => None,
    }
}

fn schema(operation: &Operation) -> Missing {
    Missing::Schema {
        table: operation.object.table.clone(),
        kind: operation.kind.clone(),
        version: operation.schema_version,
    }
}

fn plain(
    registry: &Registry,
    versions: &BTreeMap<u32, PlainEntry>,
    operation: &Operation,
) -> Judged<Decision> {
    let Some(entry) = versions.get(&operation.schema_version) else {
        let newest = versions.keys().next_back().copied().unwrap_or_default();
        return Err(if operation.schema_version > newest {
            Decision::wait_for(schema(operation))
        } else {
            no_such_kind(operation)
        });
    };
    if let Some(missing) = unknown_epoch(registry, entry.epoch.as_deref(), operation)? {
        return Err(Decision::wait_for(missing));
    }
    let known = entry.required.iter().chain(&entry.known).map(String::as_str).collect();
    let dropped = unknown_fields(operation, &known)?;
    all_there(operation, entry.required.iter().map(String::as_str))?;
    Ok(Decision::Apply { form: FormOfData::Only, dropped })
}

fn of_set(
    registry: &Registry,
    entry: &SetEntry,
    verb: &str,
    operation: &Operation,
    consent: Consent,
) -> Judged<Decision> {
    let mut missing = BTreeSet::new();
    if operation.schema_version > NEW_VERSION {
        missing.insert(schema(operation));
    }
    missing.extend(unknown_epoch(registry, entry.epoch.as_deref(), operation)?);
    if !missing.is_empty() {
        return Err(Decision::Buffer { missing });
    }
    let fields =
        set::fields(verb, operation.schema_version).ok_or_else(|| no_such_kind(operation))?;
    let dropped = unknown_fields(operation, &fields.iter().copied().collect())?;
    all_there(operation, fields.iter().copied())?;
    let key = set::stored_key(entry, &operation.object).map_err(|why| malformed(&why))?;
    let says = set::content(entry, operation).map_err(|why| malformed(&why))?;
    let regime = entry.regime(&key);
    Ok(match says {
        Content::New => new_form(entry, regime, operation, dropped),
        Content::OldAdds(elements) => match regime {
            Regime::New => late(entry, operation, &key, &elements, dropped, consent),
            Regime::Old | Regime::Both => old_form(operation, dropped),
        },
    })
}

/// An operation of the new form: welcome as soon as the new form may be written.
fn new_form(
    entry: &SetEntry,
    regime: Regime,
    operation: &Operation,
    dropped: BTreeSet<String>,
) -> Decision {
    match (regime, &operation.epoch) {
        (Regime::Both | Regime::New, _) => Decision::Apply { form: FormOfData::New, dropped },
        (Regime::Old, Some(epoch)) => Decision::wait_for(Missing::Epoch(epoch.clone())),
        (Regime::Old, None) => Decision::wait_for(Missing::Mode {
            migration: entry.migration.clone(),
            mode: Mode::ReadNewWriteBoth.as_str().to_owned(),
        }),
    }
}

/// An operation of the old form while that is authoritative; one that names the epoch was written
/// where it is open, and is judged when it is open here.
fn old_form(operation: &Operation, dropped: BTreeSet<String>) -> Decision {
    match &operation.epoch {
        None => Decision::Apply { form: FormOfData::Old, dropped },
        Some(epoch) => Decision::wait_for(Missing::Epoch(epoch.clone())),
    }
}

/// An operation of the old form where the new one is authoritative.
fn late(
    entry: &SetEntry,
    operation: &Operation,
    key: &[Datum],
    elements: &[Datum],
    dropped: BTreeSet<String>,
    consent: Consent,
) -> Decision {
    let from = match (entry.old_writes, consent) {
        (OldWrites::Reject, Consent::Rules) => return old_write(entry),
        (OldWrites::Quarantine, Consent::Rules) => {
            let migration = entry.migration.clone();
            return Decision::wait_for(Missing::Approval { migration });
        }
        (OldWrites::Reject, Consent::Operator) => DotsFrom::Operation,
        (OldWrites::Translate, _) | (OldWrites::Quarantine, Consent::Operator) => {
            DotsFrom::Migration
        }
    };
    let operations = set::translate(entry, &operation.op_id, key, elements, from);
    Decision::Translate { operations, dropped }
}

fn old_write(entry: &SetEntry) -> Decision {
    let client = entry.minimum_client.as_deref().unwrap_or("a client that writes the new form");
    let past = match &entry.epoch {
        Some(epoch) => format!("is in epoch {epoch}"),
        None => format!("is past migration {}", entry.migration),
    };
    let action = format!("upgrade to {client} and resync");
    let (source, table) = (&entry.source, &entry.table);
    let message = format!("old {source} write rejected: {table} {past}; {action}");
    let from = format!("{action}, from `dotfill export {} --snapshot FILE`", entry.migration);
    Decision::reject(Reason::OldWrite, message, from)
}

/// What is missing where the operation names an epoch that nothing here has; one that something
/// else has is an error.
fn unknown_epoch(
    registry: &Registry,
    own: Option<&str>,
    operation: &Operation,
) -> Judged<Option<Missing>> {
    let Some(epoch) = operation.epoch.as_deref().filter(|epoch| Some(*epoch) != own) else {
        return Ok(None);
    };
    if !registry.knows_epoch(epoch) {
        return Ok(Some(Missing::Epoch(epoch.to_owned())));
    }
    Err(Decision::reject(
        Reason::WrongEpoch,
        format!("epoch {epoch} is not one of {} {}", operation.object.table, operation.kind),
        "send it with the epoch of its own set, or with none",
    ))
}

/// The fields that may be dropped. One that is not marked is refused; one that is marked semantic
/// is waited for.
fn unknown_fields(operation: &Operation, known: &BTreeSet<&str>) -> Judged<BTreeSet<String>> {
    let (kind, version) = (&operation.kind, operation.schema_version);
    let in_effect = operation.effect.keys().filter(|field| !known.contains(field.as_str()));
    let unknown: BTreeSet<&String> = in_effect.chain(operation.extra.keys()).collect();
    let marked = |field: &&String| {
        operation.optional.contains(*field) || operation.semantic.contains(*field)
    };
    if let Some(field) = unknown.iter().find(|field| !marked(field)) {
        return Err(Decision::reject(
            Reason::UnknownField,
            format!("{kind} at version {version} has no field {field:?}"),
            "leave it out, mark it \"optional\" or \"semantic\", or send a version that has it",
        ));
    }
    let missing: BTreeSet<Missing> = unknown
        .iter()
        .filter(|field| operation.semantic.contains(**field))
        .map(|field| Missing::Field { kind: kind.clone(), version, field: (*field).clone() })
        .collect();
    if missing.is_empty() {
        Ok(unknown.into_iter().cloned().collect())
    } else {
        Err(Decision::Buffer { missing })
    }
}

fn all_there<'a>(operation: &Operation, required: impl IntoIterator<Item = &'a str>) -> Judged<()> {
    match required.into_iter().find(|field| !operation.effect.contains_key(*field)) {
        None => Ok(()),
        Some(field) => Err(malformed(&format!("its effect has no field {field:?}"))),
    }
}

fn malformed(why: &str) -> Decision {
    Decision::reject(Reason::Malformed, why, "correct it at its source, and send it under a new id")
}

fn no_such_kind(operation: &Operation) -> Decision {
    let (kind, version) = (&operation.kind, operation.schema_version);
    let old_set = if version == OLD_VERSION && kind.ends_with(".remove") {
        "; an add-only set cannot remove"
    } else {
        ""
    };
    Decision::reject(
        Reason::UnknownKind,
        format!("there is no {kind} at version {version}{old_set}"),
        "send it in a form that exists at that version",
    )
}
