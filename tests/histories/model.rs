//! What a replica has to hold and show, decided over plain maps: the rules of the README, and no SQL.
//!
//! It is told what happened to the old form here (that is the application's and its replication's
//! business) and decides what dotfill makes of it.

use std::collections::{BTreeMap, BTreeSet};

use dotfill::state::Mode;
use dotfill::transform::cohort::bucket;

use super::form::{ELEMENTS, Form, KEYS, Set, dots, key, members, text};

pub type Dot = [u8; 16];

/// A row of the adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Add {
    pub object: usize,
    pub element: usize,
    pub dot: Dot,
}

/// The old form of a replica: the objects that it has, each with the number of its text, and the rows
/// of a child table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Old {
    pub texts: BTreeMap<usize, Option<usize>>,
    pub rows: BTreeSet<(usize, usize)>,
}

/// What arrived by replication in a closed epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Text(Option<usize>),
    Element(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Touched(usize),
    Arrived(usize, Source),
}

/// A row of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub object: usize,
    pub source: Source,
    pub reason: &'static str,
    pub new: Set,
    pub waits: bool,
}

/// What replication brings of the new form.
#[derive(Clone, Debug, Default)]
pub struct News {
    pub adds: BTreeSet<Add>,
    pub removes: BTreeSet<Dot>,
}

/// What all replicas of a history have in common.
#[derive(Clone, Debug)]
pub struct Rules {
    pub form: Form,
    pub policy: &'static str,
    /// True where cr-sqlite ships what has a clock row; else all rows of the new form are shipped.
    pub clocks: bool,
    dots: [[Dot; ELEMENTS.len()]; KEYS],
    buckets: [u8; KEYS],
}

impl Rules {
    pub fn new(form: Form, policy: &'static str, clocks: bool) -> Self {
        let mut deriver = dots();
        let (mut all, mut buckets) = ([[[0; 16]; ELEMENTS.len()]; KEYS], [0; KEYS]);
        for object in 0..KEYS {
            let key = key(object);
            buckets[object] = bucket("tags-or-set", &[text(&key)]);
            for (element, name) in ELEMENTS.iter().enumerate() {
                all[object][element] = deriver.dot(&[text(&key)], text(name)).0;
            }
        }
        Self { form, policy, clocks, dots: all, buckets }
    }

    /// The migration dot.
    pub fn dot(&self, object: usize, element: usize) -> Dot {
        self.dots[object][element]
    }

    fn migrated(&self, object: usize, element: usize) -> Add {
        Add { object, element, dot: self.dot(object, element) }
    }

    fn is_migrated(&self, add: &Add) -> bool {
        add.dot == self.dot(add.object, add.element)
    }
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Replica {
    pub old: Old,
    /// The adds, and whether each has a clock row.
    pub adds: BTreeMap<Add, bool>,
    pub removes: BTreeSet<Dot>,
    pub held: Vec<Held>,
    /// True once dotfill has run.
    pub begun: bool,
    /// False where nothing is proven yet: the first run was interrupted.
    pub filled: bool,
    pub mode: Mode,
    pub percent: u8,
    cohort: BTreeSet<usize>,
    dirty: BTreeSet<usize>,
    notes: Vec<Note>,
}

impl Replica {
    pub fn new(old: Old) -> Self {
        Self {
            old,
            adds: BTreeMap::new(),
            removes: BTreeSet::new(),
            held: Vec::new(),
            begun: false,
            filled: false,
            mode: Mode::default(),
            percent: 0,
            cohort: BTreeSet::new(),
            dirty: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// True where the epoch of every object is closed here.
    pub fn closed_for_all(&self) -> bool {
        matches!(self.mode, Mode::ReadNewWriteNew | Mode::CompactOld)
    }

    /// True where the epoch of an object is closed here.
    pub fn is_closed(&self, object: usize) -> bool {
        self.closed_for_all() || self.cohort.contains(&object)
    }

    pub fn has(&self, object: usize) -> bool {
        self.old.texts.contains_key(&object)
    }

    /// The elements of the old form of an object, where there is one.
    pub fn old_set(&self, rules: &Rules, object: usize) -> Option<Set> {
        let text = *self.old.texts.get(&object)?;
        Some(match rules.form {
            Form::Rows => self.rows_of(object),
            form => text.map_or(0, |number| form.elements(number)),
        })
    }

    /// The rows of a child table, whether or not there is such an object.
    pub fn rows_of(&self, object: usize) -> Set {
        self.old.rows.iter().filter(|(o, _)| *o == object).fold(0, |set, (_, e)| set | 1 << e)
    }

    /// The elements that stand in the new form of an object.
    pub fn new_set(&self, object: usize) -> Set {
        self.adds_of(object)
            .filter(|add| !self.removes.contains(&add.dot))
            .fold(0, |set, add| set | 1 << add.element)
    }

    pub fn adds_of(&self, object: usize) -> impl Iterator<Item = Add> {
        self.adds.keys().filter(move |add| add.object == object).copied()
    }

    /// What the view shows. While an object is noted, its old form stands in for what has no add.
    pub fn view(&self, rules: &Rules) -> BTreeSet<(usize, usize)> {
        let mut shown = BTreeSet::new();
        for object in self.old.texts.keys().copied() {
            let mut set = self.new_set(object);
            if self.dirty.contains(&object) && !self.closed_for_all() {
                let known = self.adds_of(object).fold(0, |set, add| set | 1 << add.element);
                set |= self.old_set(rules, object).unwrap_or(0) & !known;
            }
            shown.extend(members(set).map(|element| (object, element)));
        }
        shown
    }

    /// The old form is now `after`, by a merge or by a local write.
    pub fn changed(&mut self, rules: &Rules, after: Old, merged: bool) {
        let before = std::mem::replace(&mut self.old, after);
        if !self.begun {
            return;
        }
        let after = self.old.clone();
        for object in 0..KEYS {
            let (was, is) = (before.texts.get(&object), after.texts.get(&object));
            match (was, is) {
                (was, is) if was == is => {}
                (_, Some(text)) if merged && rules.form != Form::Rows => {
                    self.note(Note::Arrived(object, Source::Text(*text)));
                }
                _ => self.note(Note::Touched(object)),
            }
        }
        for (object, element) in after.rows.difference(&before.rows) {
            self.note(Note::Arrived(*object, Source::Element(*element)));
        }
        for (object, _) in before.rows.difference(&after.rows) {
            self.note(Note::Touched(*object));
        }
    }

    /// An object has got the key of another one.
    pub fn rekeyed(&mut self, object: usize, to: usize) {
        let text = self.old.texts.remove(&object).unwrap();
        self.old.texts.insert(to, text);
        if !self.begun {
            return;
        }
        let closed = self.is_closed(object) || self.is_closed(to);
        for key in [object, to] {
            if !self.is_closed(key) {
                self.dirty.insert(key);
            }
        }
        if closed {
            self.notes.push(Note::Touched(object));
            self.notes.push(Note::Arrived(to, Source::Text(text)));
        }
    }

    /// A statement named the old form of an object, and left it as it was.
    pub fn named(&mut self, object: usize) {
        if self.begun && !self.is_closed(object) {
            self.dirty.insert(object);
        }
    }

    fn note(&mut self, note: Note) {
        let (Note::Touched(object) | Note::Arrived(object, _)) = note;
        if self.is_closed(object) {
            self.notes.push(note);
        } else {
            self.dirty.insert(object);
        }
    }

    /// What it would send.
    pub fn news(&self, rules: &Rules) -> News {
        News {
            adds: self.adds.iter().filter(|(_, c)| !rules.clocks || **c).map(|(a, _)| *a).collect(),
            removes: self.removes.clone(),
        }
    }

    /// What was sent arrives.
    pub fn arrived(&mut self, news: &News) {
        self.adds.extend(news.adds.iter().map(|add| (*add, true)));
        self.removes.extend(&news.removes);
    }

    /// A whole `run`.
    pub fn run(&mut self, rules: &Rules) {
        (self.begun, self.filled) = (true, true);
        if !self.closed_for_all() {
            (0..KEYS).for_each(|object| self.reconcile(rules, object));
            self.dirty.clear();
            self.grow(rules);
        }
        self.settle(rules);
    }

    /// What is noted of open objects is derived again.
    pub fn drain(&mut self, rules: &Rules) {
        for object in std::mem::take(&mut self.dirty) {
            self.reconcile(rules, object);
        }
    }

    /// The clockless migrated adds of an open object are those of its old form.
    fn reconcile(&mut self, rules: &Rules, object: usize) {
        if self.is_closed(object) {
            return;
        }
        let want = self.old_set(rules, object).unwrap_or(0);
        self.adds.retain(|add, clocked| {
            let ours =
                add.object == object && rules.is_migrated(add) && !(rules.clocks && *clocked);
            !ours || want >> add.element & 1 == 1
        });
        for element in members(want) {
            self.adds.entry(rules.migrated(object, element)).or_insert(false);
        }
    }

    /// The objects of the share join the cohort.
    pub fn grow(&mut self, rules: &Rules) {
        if self.mode == Mode::ReadNewWriteBoth && self.percent > 0 {
            let joins = |object: &usize| rules.buckets[*object] < self.percent;
            self.cohort.extend(self.old.texts.keys().copied().filter(joins));
        }
    }

    /// Decides what was noted of closed objects.
    pub fn settle(&mut self, rules: &Rules) {
        self.settle_first(rules, usize::MAX);
    }

    /// Decides the first of what was noted.
    pub fn settle_first(&mut self, rules: &Rules, count: usize) {
        let count = count.min(self.notes.len());
        for note in self.notes.drain(..count).collect::<Vec<_>>() {
            let (Note::Touched(object) | Note::Arrived(object, _)) = note;
            let Some(now) = self.old_set(rules, object) else {
                self.adds.retain(|add, clocked| {
                    let stays = rules.clocks && *clocked;
                    add.object != object || !rules.is_migrated(add) || stays
                });
                continue;
            };
            if let Note::Arrived(_, source) = note {
                self.decide(rules, object, source);
            }
            // Another replica that sees this old form only can no longer derive these.
            for (add, clocked) in &mut self.adds {
                if add.object == object && rules.is_migrated(add) && now >> add.element & 1 == 0 {
                    *clocked = true;
                }
            }
        }
    }

    pub fn notes(&self) -> usize {
        self.notes.len()
    }

    fn decide(&mut self, rules: &Rules, object: usize, source: Source) {
        let (set, flaws) = match source {
            Source::Text(None) => (0, false),
            Source::Text(Some(n)) => (rules.form.elements(n), rules.form.has_flaws(n)),
            Source::Element(element) => (1 << element, false),
        };
        let (mut new, mut removed) = (0, 0);
        for element in members(set) {
            let add = rules.migrated(object, element);
            if self.removes.contains(&add.dot) {
                removed |= 1 << element;
            } else if !self.adds.contains_key(&add) {
                new |= 1 << element;
            }
        }
        for element in members(new) {
            match rules.policy {
                "translate" => {
                    self.adds.insert(rules.migrated(object, element), false);
                }
                "reject" => {
                    self.removes.insert(rules.dot(object, element));
                }
                _ => {}
            }
        }
        let reason = match (new, flaws, removed) {
            (1.., _, _) => "new-element",
            (_, true, _) => "malformed",
            (_, _, 1..) => "removed-element",
            _ => "nothing-new",
        };
        let listed = match rules.policy {
            "translate" => flaws,
            "reject" => source != Source::Text(None),
            _ => new > 0 || flaws,
        };
        let known = self.held.iter().any(|held| held.object == object && held.source == source);
        if listed && !known {
            self.held.push(Held { object, source, reason, new, waits: true });
        }
    }

    /// An operator decides a row of the quarantine; `fresh` are the dots of what was refused.
    pub fn operator(
        &mut self,
        rules: &Rules,
        place: usize,
        replay: bool,
        fresh: impl Fn(usize) -> Dot,
    ) {
        let held = &mut self.held[place];
        held.waits = false;
        let (object, new) = (held.object, held.new);
        for element in members(new) {
            match (rules.policy, replay) {
                ("quarantine", true) => {
                    self.adds.insert(rules.migrated(object, element), true);
                }
                ("quarantine", false) => {
                    self.removes.insert(rules.dot(object, element));
                }
                ("reject", true) => {
                    self.adds.insert(Add { object, element, dot: fresh(element) }, true);
                }
                _ => {}
            }
        }
    }

    /// True where old form and new form say the same of every object; `all` asks for those, too,
    /// whose epoch is closed before that of the others.
    pub fn agrees(&self, rules: &Rules, all: bool) -> bool {
        self.old.texts.keys().all(|object| {
            (!all && self.cohort.contains(object))
                || self.old_set(rules, *object) == Some(self.new_set(*object))
        })
    }

    /// Refusals that wait for an operator.
    pub fn undecided(&self) -> bool {
        let asks = |held: &&Held| !matches!(held.reason, "nothing-new" | "removed-element");
        !self.notes.is_empty() || self.held.iter().filter(asks).any(|held| held.waits)
    }

    /// A step forward, for a share or for all.
    pub fn advance(&mut self, rules: &Rules, to: Mode, percent: Option<u8>) {
        match percent.filter(|percent| to == Mode::ReadNewWriteNew && *percent < 100) {
            Some(percent) => {
                self.percent = percent;
                self.grow(rules);
            }
            None => self.mode = to,
        }
        if self.closed_for_all() {
            self.percent = 100;
            self.cohort.clear();
            self.dirty.clear();
        }
    }

    /// The way back.
    pub fn back(&mut self, to: Mode) {
        (self.mode, self.percent) = (to, 0);
        self.cohort.clear();
        self.notes.clear();
    }

    /// A row was written again as it was.
    pub fn touched(&mut self, object: usize) {
        self.note(Note::Touched(object));
    }

    /// A run was interrupted: what it has written so far of open objects is told.
    pub fn interrupted(
        &mut self,
        adds: BTreeSet<Add>,
        clocked: &BTreeSet<Add>,
        dirty: BTreeSet<usize>,
        cohort: BTreeSet<usize>,
    ) {
        self.adds = adds.into_iter().map(|add| (add, clocked.contains(&add))).collect();
        (self.dirty, self.cohort) = (dirty, cohort);
    }

    /// True where a run would change nothing.
    pub fn is_settled(&self, rules: &Rules) -> bool {
        let mut after = self.clone();
        after.run(rules);
        self.filled
            && self.notes.is_empty()
            && self.dirty.is_empty()
            && (&after.adds, &after.cohort) == (&self.adds, &self.cohort)
    }

    /// The old form was removed.
    pub fn compacted(&mut self, after: Old) {
        (self.old, self.mode) = (after, Mode::CompactOld);
    }
}
