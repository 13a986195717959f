//! The end of a history: everything is exchanged and settled, and the promises are looked at one by
//! one, in the databases, beside what the model says.

use std::collections::BTreeSet;

use dotfill::engine::{self, Outcome};
use dotfill::monitor::Quiet;
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;

use super::form::{Form, KEYS, Set, key, members};
use super::model::Source;
use super::seen::Seen;
use super::step::{OLD_CLIENT, REPLICAS, Way};
use super::story::{
    CONVERGENCE, ENFORCEMENT, NO_DROP, STABLE, Story, Told, asked, command, hold, options,
};
use super::world::{World, read_old};
use super::writes::write_old;

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

    fn seen(&self, at: usize) -> Seen {
        Seen::of(self.rules.form, self.world.app(at))
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
        let seen: Vec<(usize, Seen)> =
            self.begun().into_iter().map(|at| (at, self.seen(at))).collect();
        for (i, (a, one)) in seen.iter().enumerate() {
            for (b, other) in seen[i + 1..].iter().filter(|(b, _)| alike(*a, *b)) {
                hold(one.shown == other.shown, CONVERGENCE, || {
                    format!("{a} shows {:?}, and {b} shows {:?}", one.shown, other.shown)
                })?;
                hold(one.removes == other.removes, CONVERGENCE, || {
                    format!("{a} has removed {:?}, and {b} {:?}", one.removes, other.removes)
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
        for at in self.begun() {
            let seen = self.seen(at);
            for add in self.ledger.user_adds.union(&self.ledger.fresh) {
                let stands = seen.shown.contains(&(add.object, add.element))
                    || seen.removes.contains(&add.dot)
                    || !seen.has(add.object);
                hold(stands, NO_DROP, || format!("{at} does not show the add {add:?}"))?;
            }
            for (object, element) in &seen.shown {
                hold(seen.stands(*object, *element), NO_DROP, || {
                    format!("{at} shows {element} of {}, which was removed", key(*object))
                })?;
            }
            self.open_objects_show_their_old_form(at, &seen)?;
            self.arrivals_are_shown_or_listed(at, &seen)?;
        }
        self.removes_have_a_reason()
    }

    fn open_objects_show_their_old_form(&self, at: usize, seen: &Seen) -> Told {
        let model = &self.models[at];
        for object in seen.old.texts.keys().filter(|object| !model.is_closed(**object)) {
            for element in members(model.old_set(&self.rules, *object).unwrap_or(0)) {
                let stands = seen.shown.contains(&(*object, element))
                    || seen.removes.contains(&self.rules.dot(*object, element));
                hold(stands, NO_DROP, || {
                    format!("{at} does not show {element} of {}'s old form", key(*object))
                })?;
            }
        }
        Ok(())
    }

    /// What arrived in a closed epoch is shown, was removed, or is in quarantine. What arrived for an
    /// object before it was deleted, or got another key, went with it.
    fn arrivals_are_shown_or_listed(&self, at: usize, seen: &Seen) -> Told {
        let stays = |object: usize| {
            let model = &self.models[at];
            seen.has(object) && model.is_closed(object) && !self.ledger.went.contains(&object)
        };
        for (_, object, source) in self.ledger.arrived.iter().filter(|(to, ..)| *to == at) {
            let set = match source {
                _ if !stays(*object) => 0,
                Source::Text(text) => text.map_or(0, |number| self.rules.form.elements(number)),
                Source::Element(element) => 1 << element,
            };
            for element in members(set) {
                let listed = |(o, s, new): &(usize, Source, Set)| {
                    (o, s) == (object, source) && new >> element & 1 == 1
                };
                let known = seen.stands(*object, element)
                    || seen.removes.contains(&self.rules.dot(*object, element))
                    || seen.held.iter().any(listed);
                hold(known, NO_DROP, || {
                    format!(
                        "{element} of {source:?} arrived on {at} for {}, and is lost",
                        key(*object)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// A dot is in the table of removes because a client saw it and removed it, because the write that
    /// brought it was refused, which some quarantine lists, or because an operator gave it up.
    fn removes_have_a_reason(&self) -> Told {
        let mut refused = BTreeSet::new();
        let seen: Vec<(usize, Seen)> =
            self.begun().into_iter().map(|at| (at, self.seen(at))).collect();
        for (object, _, new) in seen.iter().flat_map(|(_, seen)| &seen.held) {
            refused.extend(members(*new).map(|element| self.rules.dot(*object, element)));
        }
        for (at, seen) in &seen {
            for dot in &seen.removes {
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
            for add in &self.seen(at).adds {
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
        let (path, migration) = (self.world.path(at), self.migration);
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
            let (path, migration) = (self.world.path(at), self.migration);
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
