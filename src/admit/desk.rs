//! What is done with operations within one transaction: looked up, decided, remembered, refused,
//! released. Does not begin or commit.
//!
//! # Invariants
//! An operation, its decision, its row in quarantine and what it releases are written together. A
//! decision for good never changes, unless an operator replays or drops the row in quarantine that
//! it left.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::admission::{AdmitLimits, Admitted};
use super::decide::{Consent, decide, migration};
use super::decision::{Decision, Missing, Reason, Rejection};
use super::error::AdmitError;
use super::operation::{Object, Operation};
use super::registry::Registry;
use super::store::{self, New, State};
use crate::db::quote::ident;
use crate::db::{DbError, Doing, Table};
use crate::state::{QuarantineSource, Refusal};

/// Decides within one transaction.
pub(super) struct Desk<'a> {
    pub(super) conn: &'a Connection,
    pub(super) registry: &'a Registry,
    pub(super) limits: AdmitLimits,
    /// The statement that looks for a row, by table; `None` where there is no such table.
    pub(super) tables: BTreeMap<String, Option<(String, usize)>>,
    pub(super) out: Vec<Admitted>,
}

impl Desk<'_> {
    /// Decides an operation that was fed.
    pub(super) fn feed(&mut self, operation: &Operation) -> Result<(), AdmitError> {
        let fingerprint = operation.fingerprint();
        let decision = match store::find(self.conn, &operation.op_id)? {
            Some(known) if known.fingerprint == fingerprint => known.decision,
            Some(_) => self.reused(operation, fingerprint)?,
            None => return self.first_time(operation, fingerprint),
        };
        self.say(operation, decision, None);
        Ok(())
    }

    fn say(&mut self, operation: &Operation, decision: Value, readmitted: Option<i64>) {
        self.out.push(Admitted { op_id: operation.op_id.clone(), decision, readmitted });
    }

    fn reused(&self, operation: &Operation, print: [u8; 16]) -> Result<Value, AdmitError> {
        let decision = Decision::reject(
            Reason::OpIdReused,
            format!("another operation has the id {:?}", operation.op_id),
            "send it under an id of its own",
        );
        self.refuse(operation, print, &decision)?;
        Ok(decision.to_json())
    }

    fn first_time(&mut self, operation: &Operation, print: [u8; 16]) -> Result<(), AdmitError> {
        let decision = self.decide(operation, Consent::Rules)?;
        let state = state_of(&decision);
        if state == State::Buffered && self.is_full(operation)? {
            self.say(operation, self.full().to_json(), None);
            return Ok(());
        }
        let json = decision.to_json();
        let new = New {
            operation,
            fingerprint: print,
            migration: migration(self.registry, operation),
            state,
            decision: &json,
        };
        let seq = store::insert(self.conn, &new)?;
        self.aftermath(seq, operation, print, &decision)?;
        self.say(operation, json, None);
        self.release(operation, state)
    }

    /// Quarantine and what is waited for.
    fn aftermath(
        &self,
        seq: i64,
        operation: &Operation,
        print: [u8; 16],
        decision: &Decision,
    ) -> Result<(), AdmitError> {
        let nothing = BTreeSet::new();
        match (state_of(decision), decision) {
            (State::Buffered, Decision::Buffer { missing }) => {
                store::set_missing(self.conn, seq, missing)?;
            }
            (State::Held, _) | (_, Decision::Reject(_)) => {
                store::set_missing(self.conn, seq, &nothing)?;
                self.refuse(operation, print, decision)?;
            }
            _ => store::set_missing(self.conn, seq, &nothing)?,
        }
        Ok(())
    }

    /// Puts an operation into quarantine.
    pub(super) fn refuse(
        &self,
        operation: &Operation,
        print: [u8; 16],
        decision: &Decision,
    ) -> Result<i64, AdmitError> {
        let (reason, message, action) = match decision {
            Decision::Reject(Rejection { reason, message, action }) => {
                (reason.as_str(), message.as_str(), action.as_str())
            }
            _ => (
                Reason::OldWrite.as_str(),
                "a write of the old form is held until an operator decides",
                "`dotfill quarantine replay` translates it, `dotfill quarantine drop` gives it up",
            ),
        };
        let detail = json!({"operation": operation, "message": message, "action": action});
        let refusal = Refusal {
            migration: migration(self.registry, operation),
            change_n: None,
            source: QuarantineSource::Operation,
            identity: &identity(&operation.op_id, print),
            object: &operation.object.to_json(),
            reason,
            detail: &detail,
        };
        Ok(refusal.insert(self.conn)?)
    }

    fn is_full(&self, operation: &Operation) -> Result<bool, AdmitError> {
        let (operations, bytes) = store::load(self.conn)?;
        let more = operation.weight() as u64;
        Ok(operations >= self.limits.buffered_operations_max
            || bytes + more > self.limits.buffered_bytes_max)
    }

    fn full(&self) -> Decision {
        let AdmitLimits { buffered_operations_max, buffered_bytes_max, .. } = self.limits;
        Decision::reject(
            Reason::BufferFull,
            format!(
                "it has to wait, and {buffered_operations_max} operations or \
                 {buffered_bytes_max} bytes wait already; it was not decided"
            ),
            "send it again when what the others wait for has arrived",
        )
    }

    /// Decides the buffered operations `due` again, oldest first, and whatever that releases.
    pub(super) fn decide_again(&mut self, mut due: BTreeSet<i64>) -> Result<(), AdmitError> {
        while let Some(seq) = due.pop_first() {
            let Some(operation) = store::text(self.conn, seq)? else {
                continue;
            };
            let decision = self.decide(&operation, Consent::Rules)?;
            self.settle(seq, &operation, &decision)?;
            if state_of(&decision) == State::Decided {
                due.extend(self.waiters(&operation)?);
            }
        }
        Ok(())
    }

    /// Changes what was decided of an operation that was buffered or held.
    pub(super) fn settle(
        &mut self,
        seq: i64,
        operation: &Operation,
        decision: &Decision,
    ) -> Result<(), AdmitError> {
        let (json, state) = (decision.to_json(), state_of(decision));
        let by = migration(self.registry, operation);
        store::update(self.conn, seq, state, by, &json)?;
        self.aftermath(seq, operation, operation.fingerprint(), decision)?;
        if state != State::Buffered {
            self.say(operation, json, Some(seq));
        }
        Ok(())
    }

    fn waiters(&self, operation: &Operation) -> Result<Vec<i64>, AdmitError> {
        let missing = Missing::Operation(operation.op_id.clone());
        Ok(store::waiting_for(self.conn, &missing)?)
    }

    /// Decides again what waited for an operation that is decided now.
    pub(super) fn release(
        &mut self,
        operation: &Operation,
        state: State,
    ) -> Result<(), AdmitError> {
        if state != State::Decided {
            return Ok(());
        }
        let due = self.waiters(operation)?.into_iter().collect();
        self.decide_again(due)
    }

    /// What the registry says, and where that is to admit it, what it needs.
    pub(super) fn decide(
        &mut self,
        operation: &Operation,
        consent: Consent,
    ) -> Result<Decision, AdmitError> {
        let decision = decide(self.registry, operation, consent);
        match decision {
            Decision::Apply { .. } | Decision::Translate { .. } => {
                Ok(self.needs(operation)?.unwrap_or(decision))
            }
            Decision::Buffer { .. } | Decision::Reject(_) => Ok(decision),
        }
    }

    /// What an operation needs and is not there; `None` where all is.
    fn needs(&mut self, operation: &Operation) -> Result<Option<Decision>, AdmitError> {
        let mut missing = BTreeSet::new();
        for op_id in &operation.needs.operations {
            let known = store::find(self.conn, op_id)?;
            match known.filter(|known| known.state == State::Decided) {
                Some(known) if known.decision["decision"] == "reject" => {
                    return Ok(Some(Decision::reject(
                        Reason::NeededRejected,
                        format!("operation {op_id:?}, which it needs, was rejected"),
                        "replay that one first, or send this one without the need",
                    )));
                }
                Some(_) => {}
                None => {
                    missing.insert(Missing::Operation(op_id.clone()));
                }
            }
        }
        if operation.needs.object && !self.is_here(&operation.object)? {
            missing.insert(Missing::object(&operation.object));
        }
        Ok((!missing.is_empty()).then_some(Decision::Buffer { missing }))
    }

    /// True where the object's row exists.
    fn is_here(&mut self, object: &Object) -> Result<bool, AdmitError> {
        if !self.tables.contains_key(&object.table) {
            let sql = existence(self.conn, &object.table)?;
            self.tables.insert(object.table.clone(), sql);
        }
        let Some(Some((sql, columns))) = self.tables.get(&object.table) else {
            return Ok(false);
        };
        if *columns != object.key.len() {
            return Ok(false);
        }
        let found = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(&object.key)))
            .doing("look for the object")?;
        Ok(found)
    }
}

/// The statement that looks for a row by key, and how many columns that has.
fn existence(conn: &Connection, table: &str) -> Result<Option<(String, usize)>, DbError> {
    let table = match Table::read(conn, table) {
        Err(DbError::Unusable { .. }) => return Ok(None),
        table => table?,
    };
    let terms: Vec<String> =
        table.key.iter().map(|column| format!("{} IS ?", ident(&column.name))).collect();
    let sql = format!("SELECT 1 FROM {} WHERE {}", ident(&table.name), terms.join(" AND "));
    Ok(Some((sql, terms.len())))
}

/// Whether a decision is for good.
pub(super) fn state_of(decision: &Decision) -> State {
    match decision {
        Decision::Buffer { missing } => {
            let approval = |one: &Missing| matches!(one, Missing::Approval { .. });
            if missing.iter().any(approval) { State::Held } else { State::Buffered }
        }
        Decision::Apply { .. } | Decision::Translate { .. } | Decision::Reject(_) => State::Decided,
    }
}

/// What makes an operation in quarantine the same one.
pub(super) fn identity(op_id: &str, fingerprint: [u8; 16]) -> String {
    let print: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{op_id}:{print}")
}
