//! What the policy makes of one write that has arrived: how its elements stand, what becomes of the new
//! ones, and what is listed in quarantine.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{MALFORMED, NEW_ELEMENT, NOTHING_NEW, Note, REMOVED_ELEMENT, Settled, Settler};
use crate::db::{Datum, DbError, to_json};
use crate::layout::or_set::OldForm;
use crate::migration::OldWrites;
use crate::phase::compare::encoded;
use crate::phase::outcome::{self, Outcome};
use crate::phase::publish::Publishing;
use crate::state::{QuarantineSource, Refusal};
use crate::transform::dot::Dot;
use crate::transform::or_set::{Elements, Flaw};

/// How the elements of one write stand.
#[derive(Default)]
pub(super) struct Sorted {
    known: Vec<Datum>,
    removed: Vec<Datum>,
    fresh: Vec<(Datum, Dot)>,
    flaws: Vec<Flaw>,
}

impl Settler<'_> {
    /// The elements of a note, by how they stand.
    pub(super) fn sort(&self, conn: &Connection, note: &Note) -> Result<Sorted, DbError> {
        let elements = match (&self.set.target.old, note.kind) {
            (OldForm::Column { format, .. }, _) => Elements::of_text(note.source.as_ref(), *format),
            // A merge makes a row first and its element afterwards.
            (OldForm::Rows { .. }, _) if note.source == Datum::Null => Elements::default(),
            (OldForm::Rows { .. }, _) => Elements::of_values([note.source.as_ref()]),
        };
        let mut sorted = Sorted { flaws: elements.flaws.clone(), ..Sorted::default() };
        let mut dots = self.set.target.dots.clone();
        dots.object(note.key.iter().map(Datum::as_ref));
        let adds = self.adds_of(conn, &note.key)?;
        for element in &elements.sound {
            let dot = dots.element(element.as_ref());
            let element = element.to_datum();
            if self.is_removed(conn, dot)? {
                sorted.removed.push(element);
            } else if adds.iter().any(|(_, known)| known[..] == dot.0[..]) {
                sorted.known.push(element);
            } else if self.is_clocked(conn, &note.key, &element, &dot.0)? {
                sorted.removed.push(element);
            } else {
                sorted.fresh.push((element, dot));
            }
        }
        Ok(sorted)
    }

    pub(super) fn decide(
        &self,
        conn: &Connection,
        note: &Note,
        sorted: &Sorted,
        publishing: &mut Publishing<'_>,
        settled: &mut Settled,
    ) -> Result<(), DbError> {
        let n = self.set.target.n;
        let fresh = sorted.fresh.len() as u64;
        let reason = reason(sorted);
        match self.set.old_writes {
            OldWrites::Translate => {
                for (element, dot) in &sorted.fresh {
                    self.insert(conn, &note.key, element, *dot)?;
                }
                settled.translated += fresh;
                outcome::count(conn, n, Outcome::Translated, reason)?;
            }
            OldWrites::Reject => {
                for (_, dot) in &sorted.fresh {
                    publishing.remove(conn, &dot.0)?;
                }
                settled.rejected += fresh;
                outcome::count(conn, n, Outcome::Rejected, reason)?;
            }
            OldWrites::Quarantine => {
                settled.quarantined += fresh;
                outcome::count(conn, n, Outcome::Quarantined, reason)?;
            }
        }
        let listed = match self.set.old_writes {
            OldWrites::Reject => !note_is_empty(note),
            OldWrites::Quarantine => fresh > 0 || !sorted.flaws.is_empty(),
            OldWrites::Translate => !sorted.flaws.is_empty(),
        };
        if listed {
            self.list(conn, note, sorted, reason)?;
        }
        Ok(())
    }

    /// Lists the write in quarantine, once.
    fn list(
        &self,
        conn: &Connection,
        note: &Note,
        sorted: &Sorted,
        reason: &str,
    ) -> Result<(), DbError> {
        let target = &self.set.target;
        let shown = |elements: &[Datum]| elements.iter().map(to_json).collect::<Vec<Value>>();
        let fresh: Vec<Datum> = sorted.fresh.iter().map(|(element, _)| element.clone()).collect();
        let flaws: Vec<&str> = sorted.flaws.iter().map(|flaw| flaw.as_str()).collect();
        let mut identity = target.n.to_le_bytes().to_vec();
        identity.extend(encoded(&note.key));
        identity.extend(encoded(std::slice::from_ref(&note.source)));
        Refusal {
            migration: Some(&self.set.migration),
            change_n: Some(target.n),
            source: QuarantineSource::Write,
            identity: blake3::hash(&identity).to_hex().as_str(),
            object: &json!({ "table": target.table.name, "key": shown(&note.key) }),
            reason,
            detail: &json!({
                "source": to_json(&note.source),
                "policy": self.set.old_writes.as_str(),
                "new": shown(&fresh),
                "removed": shown(&sorted.removed),
                "known": shown(&sorted.known),
                "flaws": flaws,
                "action": action(&self.set.migration, self.set.old_writes, !fresh.is_empty()),
            }),
        }
        .insert(conn)?;
        Ok(())
    }
}

/// What is to be done about a write that is listed.
fn action(migration: &str, policy: OldWrites, fresh: bool) -> String {
    let resync = format!(
        "upgrade the client that wrote it; it resyncs from `dotfill export {migration} --snapshot \
         FILE`"
    );
    match (policy, fresh) {
        (OldWrites::Reject, true) => {
            format!("`dotfill quarantine replay` adds the new elements after all; {resync}")
        }
        (OldWrites::Quarantine, true) => format!(
            "`dotfill quarantine replay` shows the new elements, `dotfill quarantine drop` gives \
             them up; {resync}"
        ),
        (_, false) | (OldWrites::Translate, _) => resync,
    }
}

/// True for a write that says nothing: no source at all.
fn note_is_empty(note: &Note) -> bool {
    note.source == Datum::Null
}

/// The word that a write is counted and listed under.
fn reason(sorted: &Sorted) -> &'static str {
    if !sorted.fresh.is_empty() {
        NEW_ELEMENT
    } else if !sorted.flaws.is_empty() {
        MALFORMED
    } else if !sorted.removed.is_empty() {
        REMOVED_ELEMENT
    } else {
        NOTHING_NEW
    }
}
