//! The end of a history: everything is exchanged and settled, and the promises are looked at one by
//! one, in the databases, beside what the model says.

use std::collections::BTreeSet;

use dotfill::engine::{self, Outcome};
use dotfill::monitor::Quiet;
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;

use super::form::{Form, KEYS, key, members};
use super::model::{Dot, Source};
use super::step::{OLD_CLIENT, REPLICAS, Way};
use super::story::{
    CONVERGENCE, ENFORCEMENT, NO_DROP, STABLE, Story, Told, asked, command, hold, options,
    write_old,
};
use super::world::{World, read_old};

impl<W: World> Story<'_, W> {
    /// Ends the history: `late` where the old client's replica is upgraded now, `whim` decides what an
    /// operator decides and what is done although nothing asks for it.
    pub fn end(&mut self, late: bool, whim: usize, compact: bool) -> Told {
        self.exchange()?;
        self.settle(late, whim)?;
        self.exchange()?;
        if self.rules.policy == "quarantine" || whim.is_multiple_of(2) {
            let mut decided = false;
            for at in 0..REPLICAS {
                // Each decision ends one.
                for nth in 0..200 {
                    if !self.decide(at, nth, (nth + whim).is_multiple_of(3))? {
                        break;
                    }
                    decided = true;
                }
            }
            if decided {
                self.exchange()?;
            }
        }
        self.convergence()?;
        self.nothing_dropped()?;
        if whim.is_multiple_of(3) {
            self.translation_is_stable(whim)?;
        }
        self.epochs_hold(whim)?;
        if compact { self.compaction() } else { Ok(()) }
    }

    /// Everybody settles.
    fn settle(&mut self, late: bool, whim: usize) -> Told {
        for at in 0..REPLICAS {
            let knows = self.models[at].begun || (at != OLD_CLIENT || late);
            // What would change nothing is done now and then.
            let needs = !self.models[at].is_settled(&self.rules);
            if knows && (needs || (whim + at).is_multiple_of(16)) {
                self.run(at, None)?;
            }
        }
        Ok(())
    }

    fn exchange(&mut self) -> Told {
        // What the first has learned in the first half, all have after the second.
        for at in 1..REPLICAS {
            self.send(at, 0)?;
        }
        for at in 1..REPLICAS {
            self.send(0, at)?;
        }
        Ok(())
    }

    fn begun(&self) -> Vec<usize> {
        (0..REPLICAS).filter(|at| self.models[*at].filled).collect()
    }

    /// Replicas show the same. Where all rows of the new form are replicated alike, a replica whose
    /// epoch is open takes its old form's word for it: there it is compared with its like.
    fn convergence(&self) -> Told {
        for at in 1..REPLICAS {
            let (a, b) = (&self.models[0].old, &self.models[at].old);
            hold(a == b, CONVERGENCE, || {
                format!("premise: the old form of 0 is {a:?}, of {at} {b:?}")
            })?;
        }
        let alike = |a: usize, b: usize| {
            W::CLOCKS
                || (0..KEYS).all(|o| self.models[a].is_closed(o) == self.models[b].is_closed(o))
        };
        for a in self.begun() {
            for b in self.begun().into_iter().filter(|b| *b > a && alike(a, *b)) {
                let (one, other) =
                    (self.models[a].view(&self.rules), self.models[b].view(&self.rules));
                hold(one == other, CONVERGENCE, || {
                    format!("{a} shows {one:?}, and {b} shows {other:?}")
                })?;
            }
        }
        (0..REPLICAS).filter(|at| self.models[*at].begun).try_for_each(|at| {
            self.check_view(at)?;
            if self.models[at].filled { self.check_new_form(at) } else { Ok(()) }
        })
    }

    /// Every fact is shown, was removed, or is listed.
    fn nothing_dropped(&self) -> Told {
        let removed = |at: usize, dot: &Dot| self.models[at].removes.contains(dot);
        for at in self.begun() {
            let shown = self.models[at].view(&self.rules);
            for add in self.ledger.user_adds.union(&self.ledger.fresh) {
                let stands = shown.contains(&(add.object, add.element))
                    || removed(at, &add.dot)
                    || !self.models[at].has(add.object);
                hold(stands, NO_DROP, || format!("{at} does not show the add {add:?}"))?;
            }
            for (object, element) in &shown {
                let live = self.models[at]
                    .adds_of(*object)
                    .any(|add| add.element == *element && !removed(at, &add.dot));
                hold(live, NO_DROP, || {
                    format!("{at} shows {element} of {object}, which was removed")
                })?;
            }
            self.open_objects_show_their_old_form(at, &shown)?;
        }
        self.arrivals_are_shown_or_listed()?;
        self.removes_have_a_reason()
    }

    fn open_objects_show_their_old_form(
        &self,
        at: usize,
        shown: &BTreeSet<(usize, usize)>,
    ) -> Told {
        let model = &self.models[at];
        for object in model.old.texts.keys().filter(|object| !model.is_closed(**object)) {
            for element in members(model.old_set(&self.rules, *object).unwrap_or(0)) {
                let stands = shown.contains(&(*object, element))
                    || model.removes.contains(&self.rules.dot(*object, element));
                hold(stands, NO_DROP, || {
                    format!("{at} does not show {element} of {}'s old form", key(*object))
                })?;
            }
        }
        Ok(())
    }

    /// What arrived in a closed epoch is shown, was removed, or is in quarantine.
    fn arrivals_are_shown_or_listed(&self) -> Told {
        for (at, object, source) in &self.ledger.arrived {
            let model = &self.models[*at];
            let set = match source {
                Source::Text(text) => text.map_or(0, |number| self.rules.form.elements(number)),
                Source::Element(element) => 1 << element,
            };
            let listed = |element: usize| {
                model.held.iter().any(|held| {
                    (held.object, held.source) == (*object, *source) && held.new >> element & 1 == 1
                })
            };
            if !model.has(*object) || !model.is_closed(*object) {
                continue;
            }
            for element in members(set) {
                let stands = model.new_set(*object) >> element & 1 == 1
                    || model.removes.contains(&self.rules.dot(*object, element))
                    || listed(element);
                hold(stands || self.went(*object), NO_DROP, || {
                    format!(
                        "{element} of {source:?} arrived on {at} for {}, and is lost",
                        key(*object)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// True where an object was deleted or given another key at some time: what had arrived for it
    /// before went with it.
    fn went(&self, object: usize) -> bool {
        self.ledger.went.contains(&object)
    }

    /// A dot is in the table of removes because a client saw it and removed it, because the write that
    /// brought it was refused, which some quarantine lists, or because an operator gave it up.
    fn removes_have_a_reason(&self) -> Told {
        let mut refused = BTreeSet::new();
        for model in &self.models {
            for held in &model.held {
                let dots = members(held.new).map(|element| self.rules.dot(held.object, element));
                refused.extend(dots);
            }
        }
        for at in self.begun() {
            for dot in &self.models[at].removes {
                let known = self.ledger.user_removes.contains(dot)
                    || self.ledger.given_up.contains(dot)
                    || (self.rules.policy == "reject" && refused.contains(dot));
                hold(known, NO_DROP, || format!("{at} has removed {dot:?}, and nobody knows why"))?;
            }
        }
        Ok(())
    }

    /// Whatever was translated, wherever and however often, has its migration dot; running again
    /// writes nothing.
    fn translation_is_stable(&mut self, whim: usize) -> Told {
        for at in self.begun() {
            for add in self.models[at].adds.keys() {
                let known = self.ledger.user_adds.contains(add) || self.ledger.fresh.contains(add);
                let migrated = add.dot == self.rules.dot(add.object, add.element);
                hold(known || migrated, STABLE, || format!("{at} has made up {add:?}"))?;
            }
        }
        let begun = self.begun();
        let Some(at) = begun.get(whim % begun.len().max(1)).copied() else { return Ok(()) };
        if !self.models[at].is_settled(&self.rules) {
            // An open replica of plain tables takes back what closed ones have sent.
            self.run(at, None)?;
        }
        let (path, migration) = (self.world.path(at), self.migration());
        let report = engine::run(path, migration, &options(), &Quiet)
            .map_err(|error| command(format!("run {at} again: {error}")))?;
        hold(report.outcome == Outcome::Complete && report.rows_written == 0, STABLE, || {
            format!("{at} wrote {} rows when it ran again", report.rows_written)
        })?;
        self.check_new_form(at)
    }

    /// Old application code is refused, whatever object it writes, and nothing else is.
    fn epochs_hold(&mut self, whim: usize) -> Told {
        for at in self.begun() {
            let object = whim % KEYS;
            let model = &self.models[at];
            if !model.has(object) || !model.is_closed(object) {
                continue;
            }
            let old = model.old_set(&self.rules, object).unwrap_or(0);
            let app = self.world.app(at);
            let text = Some(usize::from(old ^ 0b1000));
            let result = write_old(app, self.rules.form, object, text, Way::Update);
            hold(result.is_err(), ENFORCEMENT, || {
                format!("an old write of {} on {at} was let through", key(object))
            })?;
            let after = read_old(self.rules.form, app);
            hold(after == model.old, ENFORCEMENT, || {
                format!("a refused write of {} on {at} left a trace", key(object))
            })?;
        }
        Ok(())
    }

    /// The old form is removed where everybody allows it; nothing that is sent again comes back.
    fn compaction(&mut self) -> Told {
        let ready = |at: usize| {
            let model = &self.models[at];
            model.mode == Mode::ReadNewWriteNew && !model.undecided()
        };
        let Some(fleet) = self.world.compaction_fleet().filter(|_| (0..OLD_CLIENT).all(ready))
        else {
            return Ok(());
        };
        let all = Readiness {
            writers_on_new_form: true,
            old_clients_blocked: true,
            repair_tools_moved: true,
            snapshots_moved: true,
            dashboards_moved: true,
        };
        for at in 0..OLD_CLIENT {
            let name = self.world.name(at);
            self.acknowledge(&fleet, at, name, all);
        }
        for at in 0..OLD_CLIENT {
            let asked = asked(Mode::CompactOld, Some(fleet.clone()), None);
            let (path, migration) = (self.world.path(at), self.migration());
            let report = engine::advance(path, migration, &asked, &options(), &Quiet)
                .map_err(|error| command(format!("compaction of {at}: {error}")))?;
            if !report.gate {
                // On cr-sqlite the gate compares more than the model knows.
                return hold(W::CLOCKS, ENFORCEMENT, || {
                    format!("{at} is not compacted: {:#?}", report.conditions)
                });
            }
            let after = read_old(self.rules.form, self.world.app(at));
            let empty = after.rows.is_empty() && after.texts.values().all(|t| self.is_gone(*t));
            hold(empty, ENFORCEMENT, || format!("{at} is compacted, and has {after:?}"))?;
            self.models[at].compacted(after);
            self.check_view(at)?;
        }
        for kept in 0..self.kept.len() {
            for to in 0..OLD_CLIENT {
                let (message, news) = self.kept[kept].clone();
                self.deliver(&message, &news, to)?;
            }
        }
        for at in 0..OLD_CLIENT {
            self.run(at, None)?;
            self.check_view(at)?;
        }
        Ok(())
    }

    /// What stands where a text was removed.
    fn is_gone(&self, text: Option<usize>) -> bool {
        match self.rules.form {
            Form::Rows => true,
            Form::Json | Form::Csv | Form::Lines => text.is_none_or(|number| number == 0),
        }
    }
}
