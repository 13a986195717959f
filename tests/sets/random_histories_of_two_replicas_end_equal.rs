//! Two replicas with the real extension, on which old clients, new clients and dotfill do anything in
//! any order and merge at any time: no run writes a record, and once everything has been merged and
//! drained both hold, show and prove the same.

use dotfill::engine::Outcome;
use proptest::prelude::*;
use rusqlite::params;

use crate::common::{Records, Replica, merge, merge_both_ways};
use crate::set::{PROJECTS, SetJob, rows, tags, visible};
use crate::watch::cancel_after;

const TABLES: &str = "
    CREATE TABLE tag_adds (id INTEGER NOT NULL, element NOT NULL, dot BLOB NOT NULL,
      PRIMARY KEY (id, element, dot));
    CREATE TABLE tag_removes (dot BLOB NOT NULL PRIMARY KEY);";

const KEYS: i64 = 6;

const ELEMENTS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Event {
    /// An old client writes the old form: a bit an element.
    Write(i64, u8),
    Delete(i64),
    /// A new client adds an element with a dot of its own.
    Add(i64, usize),
    /// A new client removes every add that it sees.
    Remove(i64, usize),
    /// Somebody deletes rows of the adds.
    DeleteAdds(i64, usize),
    Merge,
    Run(Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    let key = || 1..KEYS;
    let element = || 0..ELEMENTS.len();
    prop_oneof![
        5 => (key(), 0..8_u8).prop_map(|(key, elements)| Event::Write(key, elements)),
        1 => key().prop_map(Event::Delete),
        2 => (key(), element()).prop_map(|(key, e)| Event::Add(key, e)),
        3 => (key(), element()).prop_map(|(key, e)| Event::Remove(key, e)),
        1 => (key(), element()).prop_map(|(key, e)| Event::DeleteAdds(key, e)),
        4 => Just(Event::Merge),
        4 => prop::option::weighted(0.4, 1..8_u64).prop_map(Event::Run),
    ]
}

fn old_form(elements: u8) -> String {
    let members = ELEMENTS.iter().enumerate().filter(|(i, _)| elements >> i & 1 == 1);
    serde_json::to_string(&members.map(|(_, e)| e).collect::<Vec<_>>()).unwrap()
}

fn write(replica: &Replica, event: &Event, n: usize) {
    match event {
        Event::Write(key, elements) => {
            let sql = "INSERT INTO projects (id, tags) VALUES (?1, ?2)
                       ON CONFLICT (id) DO UPDATE SET tags = excluded.tags";
            replica.run(sql, params![key, old_form(*elements)]);
        }
        Event::Delete(key) => {
            replica.run("DELETE FROM projects WHERE id = ?1", [key]);
        }
        Event::Add(key, element) => {
            let dot = [vec![0xff; 8], (n as u64).to_be_bytes().to_vec()].concat();
            replica.run(
                "INSERT INTO tag_adds VALUES (?1, ?2, ?3)",
                params![key, ELEMENTS[*element], dot],
            );
        }
        Event::Remove(key, element) => {
            replica.run(
                "INSERT OR IGNORE INTO tag_removes
                   SELECT dot FROM tag_adds WHERE id = ?1 AND element = ?2",
                params![key, ELEMENTS[*element]],
            );
        }
        Event::DeleteAdds(key, element) => {
            replica.run(
                "DELETE FROM tag_adds WHERE id = ?1 AND element = ?2",
                params![key, ELEMENTS[*element]],
            );
        }
        Event::Merge | Event::Run(_) => unreachable!("these are the caller's"),
    }
}

fn replica() -> Replica {
    Replica::with_tables(&format!("{PROJECTS};{TABLES}"), &["projects", "tag_adds", "tag_removes"])
}

fn job(replica: &Replica, cancel: Option<u64>) -> Result<(), TestCaseError> {
    let mut job = SetJob::new(replica.path(), tags("json", ""));
    job.options.tuning.batch_rows_max = 2;
    let before = Records::of(replica);
    let monitor = cancel_after(cancel.unwrap_or(u64::MAX), &job.options.cancel);
    let report = job.try_run(&monitor).unwrap();
    prop_assert!(cancel.is_some() || report.outcome == Outcome::Complete);
    before.assert_none_created(replica);
    Ok(())
}

fn history(events: &[(bool, Event)]) -> Result<(), TestCaseError> {
    let replicas = [replica(), replica()];
    for key in 1..4 {
        write(&replicas[0], &Event::Write(key, 3 + key as u8), 0);
    }
    merge_both_ways(&replicas[0], &replicas[1]);
    for (n, (on, event)) in events.iter().enumerate() {
        let (here, there) = (&replicas[usize::from(*on)], &replicas[usize::from(!*on)]);
        match event {
            Event::Merge => {
                merge(here, there);
            }
            Event::Run(cancel) => job(here, *cancel)?,
            other => write(here, other, n),
        }
    }
    // A run may find what is to be noted of the other's last words only after the merge.
    for _ in 0..2 {
        merge_both_ways(&replicas[0], &replicas[1]);
        for replica in &replicas {
            job(replica, None)?;
        }
    }
    let [a, b] = &replicas;
    prop_assert_eq!(rows(a, "SELECT * FROM tag_adds"), rows(b, "SELECT * FROM tag_adds"));
    prop_assert_eq!(rows(a, "SELECT * FROM tag_removes"), rows(b, "SELECT * FROM tag_removes"));
    prop_assert_eq!(visible(a), visible(b));
    let jobs = replicas.each_ref().map(|r| SetJob::new(r.path(), tags("json", "")));
    jobs.iter().for_each(SetJob::assert_equal);
    prop_assert_eq!(jobs[0].digest(), jobs[1].digest());
    a.assert_sound();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_old_and_new_clients(events in prop::collection::vec((any::<bool>(), event()), 0..24)) {
        history(&events)?;
    }
}
