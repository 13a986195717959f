//! The databases hold and show what the model says.

use std::collections::BTreeSet;

use super::form::{ELEMENTS, key, members};
use super::model::Add;
use super::seen::{read_adds, read_clocked, read_removes, read_view, source_text};
use super::story::{Failure, NO_DROP, STABLE, Story, Told, hold};
use super::world::World;

impl<W: World> Story<'_, W> {
    /// The view shows what the model shows.
    pub fn check_view(&self, at: usize) -> Told {
        let model = &self.models[at];
        if !model.filled || !self.exact {
            return Ok(());
        }
        let (shown, want) = (read_view(self.world.app(at)), model.view(&self.rules));
        if shown == want {
            return Ok(());
        }
        // What is shown although it was removed, or not although it stands.
        let lost: Vec<_> = want.difference(&shown).collect();
        let more: Vec<_> = shown.difference(&want).collect();
        Err(Failure {
            property: NO_DROP,
            what: format!("{at} does not show {lost:?}, and shows {more:?} besides"),
        })
    }

    /// The new form and the quarantine are the model's.
    pub fn check_new_form(&self, at: usize) -> Told {
        let (model, conn) = (&self.models[at], self.world.app(at));
        if !self.exact {
            return Ok(());
        }
        let adds = read_adds(conn);
        let want: BTreeSet<Add> = model.adds.keys().copied().collect();
        hold(adds == want, STABLE, || {
            let (lost, more): (Vec<_>, Vec<_>) =
                (want.difference(&adds).collect(), adds.difference(&want).collect());
            format!("{at} lacks the adds {lost:?}, and has {more:?} besides")
        })?;
        if W::CLOCKS {
            let clocked = read_clocked(conn);
            let want: BTreeSet<Add> =
                model.adds.iter().filter(|(_, c)| **c).map(|(add, _)| *add).collect();
            hold(clocked == want, STABLE, || {
                format!("{at} has clock rows of {clocked:?}, not of {want:?}")
            })?;
        }
        let removes = read_removes(conn);
        hold(removes == model.removes, NO_DROP, || {
            format!("{at} has removed {removes:?}, not {:?}", model.removes)
        })?;
        self.check_quarantine(at)
    }

    pub fn check_quarantine(&self, at: usize) -> Told {
        let sql = "SELECT json_extract(object, '$.key[0]'), json_extract(detail, '$.source'),
                     reason, json_extract(detail, '$.new'), status = 'waiting'
                   FROM _dotfill_quarantine ORDER BY 1, 2";
        let mut statement = self.world.app(at).prepare_cached(sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let listed: Vec<(String, String, String, String, bool)> =
            statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        let mut want: Vec<_> = self.models[at]
            .held
            .iter()
            .map(|held| {
                let names: Vec<&str> = members(held.new).map(|e| ELEMENTS[e]).collect();
                let source = source_text(self.rules.form, held.source);
                let new = serde_json::to_string(&names).unwrap();
                (key(held.object), source, held.reason.to_owned(), new, held.waits)
            })
            .collect();
        want.sort();
        // cr-sqlite may write again what stands: such a write brings nothing, and is listed.
        let news = |row: &(String, String, String, String, bool)| !W::CLOCKS || row.3 != "[]";
        let listed: Vec<_> = listed.into_iter().filter(news).collect();
        let want: Vec<_> = want.into_iter().filter(news).collect();
        hold(listed == want, NO_DROP, || {
            format!("the quarantine of {at} has {listed:?}, not {want:?}")
        })
    }
}
