//! Two replicas that are written, merged, migrated and stopped in any order hold the same in the
//! end, and no value of a user is overwritten.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rusqlite::types::Value;

use crate::common::{Replica, merge, merge_both_ways};
use crate::job::{Job, one_column};
use crate::watch::cancel_after;

/// Rows are numbered below this.
const KEYS: i64 = 12;

/// What happens; the first member says on which replica.
#[derive(Clone, Debug)]
enum Event {
    Write(bool, Write),
    Merge(bool),
    Run(bool, Option<u64>),
}

#[derive(Clone, Debug)]
enum Write {
    Insert(i64),
    InsertOwned(i64),
    Source(i64),
    Owner(i64),
    Both(i64),
    Null(i64),
    Replace(i64),
    Delete(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let key = || 1..KEYS;
    let write = prop_oneof![
        3 => key().prop_map(Write::Insert),
        1 => key().prop_map(Write::InsertOwned),
        3 => key().prop_map(Write::Source),
        2 => key().prop_map(Write::Owner),
        1 => key().prop_map(Write::Both),
        1 => key().prop_map(Write::Null),
        1 => key().prop_map(Write::Replace),
        1 => key().prop_map(Write::Delete),
    ];
    prop_oneof![
        6 => (any::<bool>(), write).prop_map(|(on, write)| Event::Write(on, write)),
        2 => any::<bool>().prop_map(Event::Merge),
        2 => (any::<bool>(), proptest::option::of(1..6_u64))
            .prop_map(|(on, cancel)| Event::Run(on, cancel)),
    ]
}

/// Does a write; `n` makes its text unlike any other.
fn write(replica: &Replica, write: &Write, n: usize) {
    let sql = match write {
        Write::Insert(id) => {
            format!("INSERT OR IGNORE INTO machines (id, app) VALUES ({id}, 'app{n}')")
        }
        Write::InsertOwned(id) => format!(
            "INSERT INTO machines (id, app, owner) VALUES ({id}, 'app{n}', 'user{n}')
             ON CONFLICT (id) DO UPDATE SET owner = excluded.owner"
        ),
        Write::Source(id) => format!("UPDATE machines SET app = 'app{n}' WHERE id = {id}"),
        Write::Owner(id) => format!("UPDATE machines SET owner = 'user{n}' WHERE id = {id}"),
        Write::Both(id) => {
            format!("UPDATE machines SET app = 'app{n}', owner = 'user{n}' WHERE id = {id}")
        }
        Write::Null(id) => format!("UPDATE machines SET owner = NULL WHERE id = {id}"),
        Write::Replace(id) => format!("REPLACE INTO machines (id, app) VALUES ({id}, 'app{n}')"),
        Write::Delete(id) => format!("DELETE FROM machines WHERE id = {id}"),
    };
    replica.run(&sql, []);
}

fn replicated_history(exists: bool, events: &[Event]) -> Result<(), TestCaseError> {
    let new = || if exists { Replica::machines_with_owner() } else { Replica::machines() };
    let replicas = [new(), new()];
    replicas[0].insert_machines(6);
    merge_both_ways(&replicas[0], &replicas[1]);
    let mut jobs = replicas.each_ref().map(|replica| {
        let rest = "delivery = 'derive'";
        let mut job =
            Job::new(replica.path(), one_column("machines", "owner", "TEXT", "'o-' || app", rest));
        job.options.tuning.batch_rows_max = 2;
        job
    });
    if !exists {
        for job in &jobs {
            job.run();
        }
    }
    // Keys that users gave a value and never took it away again.
    let (mut kept, mut unclear) = (BTreeSet::new(), BTreeSet::new());
    for (n, event) in events.iter().enumerate() {
        match event {
            Event::Write(on, what) => {
                let replica = &replicas[usize::from(*on)];
                write(replica, what, n);
                match what {
                    Write::Owner(id) | Write::Both(id) | Write::InsertOwned(id) => {
                        let sql = format!("SELECT count(*) FROM machines WHERE id = {id}");
                        if replica.count(&sql) == 1 {
                            kept.insert(*id);
                        }
                    }
                    Write::Null(id) | Write::Replace(id) | Write::Delete(id) => {
                        unclear.insert(*id);
                    }
                    Write::Insert(_) | Write::Source(_) => {}
                }
            }
            Event::Merge(on) => {
                let (from, to) = (usize::from(*on), usize::from(!*on));
                merge(&replicas[from], &replicas[to]);
            }
            Event::Run(on, cancel) => {
                let job = &mut jobs[usize::from(*on)];
                job.options.cancel = std::sync::Arc::default();
                let monitor = cancel_after(cancel.unwrap_or(u64::MAX), &job.options.cancel);
                job.try_run(&monitor).unwrap();
                job.options.cancel = std::sync::Arc::default();
            }
        }
    }
    merge_both_ways(&replicas[0], &replicas[1]);
    for job in &jobs {
        job.run();
    }
    prop_assert_eq!(merge_both_ways(&replicas[0], &replicas[1]), 0, "draining made records");
    let rows = replicas[0].machines_rows();
    prop_assert_eq!(&rows, &replicas[1].machines_rows());
    for row in rows {
        let [Value::Integer(id), source, _, owner] = row.as_slice() else { panic!("{row:?}") };
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        let (source, owner) = (text(source), text(owner));
        if unclear.contains(id) {
            continue;
        }
        if kept.contains(id) {
            prop_assert!(owner.starts_with("user"), "row {id}: a user's value became {owner}");
        } else {
            prop_assert_eq!(owner, format!("o-{source}"), "row {}", id);
        }
    }
    for job in &jobs {
        prop_assert_eq!(job.run().rows_written, 0);
    }
    replicas.iter().for_each(Replica::assert_sound);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_any_order(exists: bool, events in proptest::collection::vec(event(), 1..40)) {
        replicated_history(exists, &events)?;
    }
}

/// A row was deleted and inserted again on one replica while a user wrote the old one on the other:
/// the merge keeps what the old row held, under a clock of version 0.
#[test]
fn a_row_that_came_back_over_a_users_value() {
    let events = [
        Event::Write(false, Write::Delete(4)),
        Event::Write(false, Write::Replace(4)),
        Event::Write(true, Write::Both(4)),
        Event::Merge(true),
        Event::Run(false, None),
    ];
    replicated_history(false, &events).unwrap();
}
