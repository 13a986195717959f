//! The local proof of a set: the clockless migrated adds of every object are its elements of the old
//! form, counted from the data; and what rows of the digest tree say of an object. Never repairs.
//!
//! # Definitions
//! As in `verify::tree`, with names `table` and `source` (the column, or the child table) and, for an
//! object with key values `k..`: its value is its migrated adds in order (`value(element)` and 16
//! bytes of dot each), its source is `value` of the text, or `value` of each sound element in order
//! for a child table. An object whose adds are not those of its old form is *claimed* (the byte 1 and
//! its value) where it is noted, or where clock rows say so: a user has deleted a migrated add, or one
//! was published. Then its adds are state that is on its way by other means. In a closed epoch
//! nothing is derived: what differs is claimed.

mod groups;

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use groups::{decode, encode_key, groups, is_dot};

use super::tree::{field, hash, leaf_of};
use super::{LeafSet, RangeDigest, RangeProof, RowFacts};
use crate::db::{Datum, DbError, Doing, encode};
use crate::layout::or_set::{OldForm, SetSql, SetTarget};
use crate::scan::or_set::{Bounds, SetError, adds_of, each_object, is_closed};
use crate::split::Position;
use crate::transform::dot::{Dot, DotDeriver};
use crate::transform::or_set::{Elements, Flaw};

/// Examples of each kind that are kept.
const EXAMPLES: usize = 5;

/// What the proof of a range of objects found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetRangeProof {
    /// Rows are objects; `skipped` counts flawed elements, `unproven` objects and orphans.
    pub proof: RangeProof,
    /// Migrated adds that are there.
    pub adds: u64,
    /// Keys without an object that have adds of ours, among the unproven.
    pub orphans: u64,
    /// Flawed elements, by what is wrong.
    pub flaws: BTreeMap<Flaw, u64>,
    /// Keys of some of the objects that have flawed elements.
    pub flawed: Vec<(Position, Flaw)>,
}

impl SetRangeProof {
    /// Adds the proof of another range.
    pub fn add(&mut self, other: Self) {
        self.proof.add(other.proof);
        self.adds += other.adds;
        self.orphans += other.orphans;
        for (flaw, count) in other.flaws {
            *self.flaws.entry(flaw).or_default() += count;
        }
        let room = EXAMPLES.saturating_sub(self.flawed.len());
        self.flawed.extend(other.flawed.into_iter().take(room));
    }
}

/// An object as its old form says it should be.
struct Wanted {
    /// Its encoded key.
    key: Vec<u8>,
    adds: Vec<(Datum, Dot)>,
    /// Its encoded source, where facts are collected.
    source: Vec<u8>,
    met: bool,
}

/// Proves ranges of one target through one connection.
#[derive(Debug)]
pub struct SetProver<'a> {
    conn: &'a Connection,
    target: &'a SetTarget,
    sql: SetSql,
    dots: DotDeriver,
    /// True where keys are noted while others change them.
    noted: bool,
    /// True where nothing is held against the old form: an object's value is its migrated adds, and
    /// it has no source.
    values_only: bool,
    keys: [[u8; 32]; 3],
    facts: Option<Facts<'a>>,
}

#[derive(Debug)]
struct Facts<'a> {
    leaves: usize,
    wanted: Option<&'a LeafSet>,
    rows: Vec<RowFacts>,
}

impl<'a> SetProver<'a> {
    /// Proves `target` through `conn`; `noted` while others' changes are noted.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a SetTarget, noted: bool) -> Self {
        let key = |what: &str| {
            let mut hasher =
                blake3::Hasher::new_derive_key(&format!("dotfill 2026-11 row {what} v1"));
            field(&mut hasher, &target.table.name);
            field(&mut hasher, target.source());
            *hasher.finalize().as_bytes()
        };
        Self {
            conn,
            target,
            sql: SetSql::new(target),
            dots: target.dots.clone(),
            noted,
            values_only: false,
            keys: ["digest", "sources", "leaf"].map(key),
            facts: None,
        }
    }

    /// Compares nothing with the old form, which need not be there: for two replicas of which one
    /// cannot derive.
    #[must_use]
    pub fn values_only(mut self) -> Self {
        self.values_only = true;
        self
    }

    /// Has the facts of each object collected, for a tree of `leaves` leaves; keys are kept of the
    /// objects of the leaves in `wanted`.
    #[must_use]
    pub fn with_facts(mut self, leaves: usize, wanted: Option<&'a LeafSet>) -> Self {
        self.facts = Some(Facts { leaves, wanted, rows: Vec::new() });
        self
    }

    /// The facts of the objects of the range that was proven last.
    #[must_use]
    pub fn facts(&self) -> &[RowFacts] {
        self.facts.as_ref().map_or(&[], |facts| &facts.rows)
    }

    /// Proves one range, in a snapshot of its own.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn prove(&mut self, bounds: &Bounds) -> Result<SetRangeProof, DbError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let proof = self.prove_in_snapshot(bounds);
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        proof
    }

    fn prove_in_snapshot(&mut self, bounds: &Bounds) -> Result<SetRangeProof, DbError> {
        if let Some(facts) = &mut self.facts {
            facts.rows.clear();
        }
        let mut found = SetRangeProof::default();
        let mut wanted = self.wanted(bounds, &mut found)?;
        let mut at = 0;
        let mut places: Option<HashMap<Vec<u8>, usize>> = None;
        let mut key = Vec::new();
        for group in groups(self.conn, &self.sql, bounds)? {
            key.clear();
            encode_key(&group.0, &mut key);
            // Both are in the order of the walk; only a key without an object breaks the step.
            while wanted.get(at).is_some_and(|next| next.adds.is_empty() && next.key != key) {
                at += 1;
            }
            let place = match wanted.get(at) {
                Some(next) if next.key == key => Some(at),
                _ => {
                    let places = places.get_or_insert_with(|| {
                        wanted.iter().enumerate().map(|(i, w)| (w.key.clone(), i)).collect()
                    });
                    places.get(&key).copied()
                }
            };
            match place {
                Some(place) => {
                    at = place + 1;
                    let next = &mut wanted[place];
                    next.met = true;
                    let next = std::mem::replace(next, Wanted::met());
                    self.judge(&group.0, Some(&next), &group.1, &mut found)?;
                }
                None => self.judge(&group.0, None, &group.1, &mut found)?,
            }
        }
        for next in wanted.iter().filter(|next| !next.met) {
            let key = decode(&next.key);
            self.judge(&key, Some(next), &[], &mut found)?;
        }
        Ok(found)
    }

    fn wanted(
        &mut self,
        bounds: &Bounds,
        found: &mut SetRangeProof,
    ) -> Result<Vec<Wanted>, DbError> {
        let mut wanted = Vec::new();
        let (dots, facts) = (&mut self.dots, self.facts.is_some() && !self.values_only);
        let values_only = self.values_only;
        let mut visit = |key: &[Datum],
                         elements: &Elements<'_>,
                         encode_source: &dyn Fn(&mut Vec<u8>)| {
            let mut next =
                Wanted { key: Vec::new(), adds: Vec::new(), source: Vec::new(), met: false };
            encode_key(key, &mut next.key);
            if values_only {
                wanted.push(next);
                return Ok(());
            }
            next.adds = adds_of(dots, key, elements);
            if facts {
                encode_source(&mut next.source);
            }
            for flaw in &elements.flaws {
                *found.flaws.entry(*flaw).or_default() += 1;
                found.proof.skipped += 1;
            }
            if let Some(flaw) = elements.flaws.first().filter(|_| found.flawed.len() < EXAMPLES) {
                found.flawed.push((Position(key.to_vec()), *flaw));
            }
            wanted.push(next);
            Ok(())
        };
        match each_object(self.conn, self.target, &self.sql, bounds, &mut visit) {
            Ok(()) => Ok(wanted),
            Err(SetError::Db(error)) => Err(error),
            // Flaws are counted here, and stop nothing.
            Err(error @ SetError::Malformed { .. }) => Err(DbError::Unusable {
                path: self.conn.path().unwrap_or_default().into(),
                problem: error.to_string(),
                remedy: "correct the row".to_owned(),
            }),
        }
    }

    /// Compares one object with its adds. `want` is `None` where there is no object.
    fn judge(
        &mut self,
        key: &[Datum],
        want: Option<&Wanted>,
        adds: &[(Datum, Datum)],
        found: &mut SetRangeProof,
    ) -> Result<(), DbError> {
        let none = Vec::new();
        let wanted = want.map_or(&none, |want| &want.adds);
        let equal = wanted.len() == adds.len()
            && wanted.iter().zip(adds).all(|(a, b)| is_dot(&b.1, a.1) && a.0 == b.0);
        let mut verdict = Judged { migrated: Vec::new(), differs: false, wrong: false };
        if equal {
            verdict.migrated.extend(adds.iter().map(|(element, dot)| (element, dot)));
        } else {
            self.compare(key, wanted, adds, &mut verdict)?;
        }
        found.adds += verdict.migrated.len() as u64;
        if self.values_only {
            (verdict.differs, verdict.wrong) = (false, false);
        }
        if verdict.wrong && is_closed(self.conn, self.target, &self.sql, key)? {
            verdict.wrong = false;
        }
        let noted = verdict.differs && self.is_noted(key)?;
        if verdict.differs {
            found.proof.differing += 1;
        }
        if verdict.wrong && !noted {
            found.proof.unproven += 1;
            found.orphans += u64::from(want.is_none());
            if found.proof.examples.len() < EXAMPLES {
                found.proof.examples.push(Position(key.to_vec()));
            }
        }
        let Some(want) = want else { return Ok(()) };
        let claimed = verdict.differs && (noted || !verdict.wrong);
        self.digest(want, &verdict.migrated, claimed, found);
        Ok(())
    }

    /// Which of the adds are migrated, and what is missing or too much.
    fn compare<'g>(
        &mut self,
        key: &[Datum],
        wanted: &[(Datum, Dot)],
        adds: &'g [(Datum, Datum)],
        verdict: &mut Judged<'g>,
    ) -> Result<(), DbError> {
        self.dots.object(key.iter().map(Datum::as_ref));
        for (element, dot) in adds {
            if !is_dot(dot, self.dots.element(element.as_ref())) {
                continue;
            }
            verdict.migrated.push((element, dot));
            if !wanted.iter().any(|(_, wanted)| is_dot(dot, *wanted)) {
                verdict.differs = true;
                verdict.wrong |= !self.is_clocked(key, element, dot)?;
            }
        }
        for (element, dot) in wanted {
            let dot_value = Datum::Blob(dot.0.to_vec());
            if !verdict.migrated.iter().any(|(_, there)| **there == dot_value) {
                verdict.differs = true;
                verdict.wrong |= !self.is_clocked(key, element, &dot_value)?;
            }
        }
        Ok(())
    }

    fn digest(
        &mut self,
        want: &Wanted,
        migrated: &[(&Datum, &Datum)],
        claimed: bool,
        found: &mut SetRangeProof,
    ) {
        let mut value = Vec::new();
        for (element, dot) in migrated {
            encode(element.as_ref(), &mut value);
            if let Datum::Blob(dot) = dot {
                value.extend_from_slice(dot);
            }
        }
        let values = hash(&self.keys[0], &[&want.key[..], &value].concat());
        found.proof.digest += RangeDigest { rows: 1, values };
        let Some(facts) = &mut self.facts else { return };
        let claim: &[u8] = if claimed { &value } else { &[] };
        let source = [&want.key[..], &want.source, &[u8::from(claimed)], claim].concat();
        let leaf = leaf_of(&self.keys[2], &want.key, facts.leaves);
        let keep = facts.wanted.is_some_and(|leaves| leaves.contains(&leaf));
        facts.rows.push(RowFacts {
            leaf,
            sources: hash(&self.keys[1], &source),
            values,
            key_bytes: want.key.len() as u64,
            key: keep.then(|| want.key.as_slice().into()),
        });
    }

    fn is_noted(&self, key: &[Datum]) -> Result<bool, DbError> {
        if !self.noted {
            return Ok(false);
        }
        self.conn
            .prepare_cached(&self.sql.is_noted)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
            .doing("look for a noted object")
    }

    fn is_clocked(&self, key: &[Datum], element: &Datum, dot: &Datum) -> Result<bool, DbError> {
        let Some(sql) = &self.sql.is_clocked else { return Ok(false) };
        let add = key.iter().chain([element, dot]);
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(add)))
            .doing("look at the clock row of an add")
    }
}

impl Wanted {
    /// What is left of an object that was compared.
    fn met() -> Self {
        Self { key: Vec::new(), adds: Vec::new(), source: Vec::new(), met: true }
    }
}

/// What comparing one object came to.
struct Judged<'g> {
    /// Its migrated adds that are there, in order.
    migrated: Vec<(&'g Datum, &'g Datum)>,
    /// They are not those of its old form.
    differs: bool,
    /// And no clock row says why.
    wrong: bool,
}

/// The shape of a set, as hexadecimal digits: `BLAKE3.derive_key("dotfill 2026-11 set shape v1",
/// field(table) field(source) field(form), u64 LE count of key columns, per key column field(name)
/// field(affinity))[0..8]`, where `form` is the format, or `rows` for a child table.
#[must_use]
pub fn set_shape(target: &SetTarget) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 set shape v1");
    let form = match &target.old {
        OldForm::Column { format, .. } => format.as_str(),
        OldForm::Rows { .. } => "rows",
    };
    for text in [target.table.name.as_str(), target.source(), form] {
        field(&mut hasher, text);
    }
    hasher.update(&(target.table.key.len() as u64).to_le_bytes());
    for key in &target.table.key {
        field(&mut hasher, &key.name);
        field(&mut hasher, key.affinity.declaration());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
