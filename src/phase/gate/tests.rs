//! Every condition holding, and failing with evidence and remedy.

use super::*;
use crate::db::Datum;
use crate::phase::ack::Readiness;
use crate::phase::ack::tests::ack;
use crate::phase::agreement::Comparer;
use crate::state::Mode;

const READY: Readiness = Readiness {
    writers_on_new_form: true,
    old_clients_blocked: true,
    repair_tools_moved: true,
    snapshots_moved: true,
    dashboards_moved: true,
};

fn agreement(differs: bool) -> Agreement {
    let mut comparer = Comparer::new("m", "projects", "tags");
    let [a, b] = ["a", "b"].map(|e| Datum::Text(e.as_bytes().to_vec()));
    comparer.add(&[Datum::Integer(1)], std::slice::from_ref(&a), std::slice::from_ref(&a));
    if differs {
        comparer.add(&[Datum::Integer(7)], &[a.clone(), b], &[a]);
    }
    comparer.found
}

fn facts() -> LocalFacts {
    LocalFacts {
        migration: "m".to_owned(),
        migration_digest: "aa".to_owned(),
        minimum_client: Some("4.8.0".to_owned()),
        db: "r.db".to_owned(),
        replica: Some("a".to_owned()),
        others_seen: true,
        refuses_late: true,
        phase: Phase::Open,
        waiting: 0,
        pending: 0,
        quarantined: 0,
        open: Vec::new(),
        open_count: 0,
        agreement: agreement(false),
    }
}

/// Two replicas that are ready for anything, changed by `change` of the second one.
fn fleet_of(mode: Mode, change: impl Fn(&mut Ack)) -> Others {
    let one = |id: &str| {
        let mut one = ack(id, mode);
        one.readiness = READY;
        one.sources_digest = facts().agreement.sources_digest();
        one.view_digest = facts().agreement.view_digest();
        one
    };
    let mut second = one("b");
    change(&mut second);
    let required = |id: &str, name: Option<&str>| RequiredReplica {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        backups: None,
    };
    Others::Fleet(vec![
        (required("a", None), Some(one("a"))),
        (required("b", Some("edge-3")), Some(second)),
    ])
}

fn failing(conditions: &[Condition]) -> Vec<&'static str> {
    conditions.iter().filter(|c| !c.holds).map(|c| c.name).collect()
}

/// The one condition that fails must be `name`, with these words in evidence and remedy.
#[track_caller]
fn fails(step: Step, facts: &LocalFacts, others: &Others, name: &str, words: [&str; 2]) {
    let conditions = evaluate(step, facts, others);
    assert_eq!(failing(&conditions), [name], "{conditions:#?}");
    let failed = conditions.iter().find(|c| !c.holds).expect("one");
    assert!(failed.evidence.contains(words[0]), "{}", failed.evidence);
    let remedy = failed.remedy.as_deref().expect("a remedy");
    assert!(remedy.contains(words[1]), "{remedy}");
}

#[test]
fn every_step_is_open_when_all_holds() {
    for step in Step::ALL {
        let conditions = evaluate(step, &facts(), &fleet_of(step.from(), |_| {}));
        assert!(holds(&conditions), "{step:?} {conditions:#?}");
        assert!(conditions.iter().all(|c| c.remedy.is_none() && !c.evidence.is_empty()));
    }
}

#[test]
fn a_replica_that_is_further_counts() {
    for step in Step::ALL {
        let conditions = evaluate(step, &facts(), &fleet_of(step.to(), |_| {}));
        assert!(holds(&conditions), "{step:?} {conditions:#?}");
    }
}

#[test]
fn each_local_condition_fails_with_its_evidence() {
    for step in Step::ALL {
        let all = fleet_of(step.from(), |_| {});
        let unproven = LocalFacts { phase: Phase::Filling, ..facts() };
        fails(
            step,
            &unproven,
            &all,
            "backfill-proven",
            ["it is filling", "dotfill run m --db r.db"],
        );
        let closed = LocalFacts { phase: Phase::Closed, ..facts() };
        fails(step, &closed, &all, "backfill-proven", ["it is closed", "forget"]);
        let noted = LocalFacts { waiting: 3, ..facts() };
        fails(step, &noted, &all, "nothing-noted", ["3 objects wait", "dotfill run m"]);
    }
    let all = fleet_of(Mode::ReadNewWriteBoth, |_| {});
    let open = LocalFacts { open_count: 1, open: vec!["projects (7): x".to_owned()], ..facts() };
    fails(
        Step::WriteNew,
        &open,
        &all,
        "validator-clean",
        ["1 disagreements are open; projects (7): x", "write what one form lacks"],
    );
    for step in [Step::WriteNew, Step::CompactOld] {
        let all = fleet_of(step.from(), |_| {});
        let pending = LocalFacts { pending: 2, quarantined: 1, ..facts() };
        fails(
            step,
            &pending,
            &all,
            "nothing-undecided",
            ["2 old writes pending, 1 in quarantine", "dotfill run m"],
        );
        let quarantined = LocalFacts { quarantined: 1, ..facts() };
        fails(
            step,
            &quarantined,
            &all,
            "nothing-undecided",
            ["1 in quarantine", "quarantine list"],
        );
    }
}

#[test]
fn views_that_differ_are_shown_by_their_first_objects() {
    for step in [Step::ReadNew, Step::WriteBoth, Step::WriteNew] {
        let differing = LocalFacts { agreement: agreement(true), ..facts() };
        let all = fleet_of(step.from(), |ack| {
            ack.sources_digest = "in flight".to_owned();
        });
        let conditions = evaluate(step, &differing, &all);
        let views = conditions.iter().find(|c| c.name == "views-agree").expect("a condition");
        assert!(!views.holds);
        assert_eq!(
            views.evidence,
            "1 of 2 objects differ; projects (7): only the old form has 'b', only the new one nothing"
        );
    }
}

#[test]
fn each_replica_that_is_not_ready_is_named() {
    use Step::{CompactOld, ReadNew, WriteBoth, WriteNew};
    for step in Step::ALL {
        let from = step.from();
        let with = |change: &dyn Fn(&mut Ack)| fleet_of(from, change);
        let digest = with(&|ack| ack.migration_digest = "bb".to_owned());
        fails(
            step,
            &facts(),
            &digest,
            "same-migration",
            ["replica b (edge-3) follows", "same file"],
        );
        let view = with(&|ack| ack.view_digest = "other".to_owned());
        fails(
            step,
            &facts(),
            &view,
            "same-data",
            ["b (edge-3) has the same old form", "dotfill ack m"],
        );
        let unproven = with(&|ack| ack.proven = false);
        fails(
            step,
            &facts(),
            &unproven,
            "replicas-ready",
            ["b (edge-3) is not proven", "dotfill ack"],
        );
        let undecided = with(&|ack| ack.undecided = 4);
        fails(step, &facts(), &undecided, "replicas-ready", ["has 4 old writes undecided", "mend"]);
        let missing = match with(&|_| {}) {
            Others::Fleet(mut acks) => {
                acks[1].1 = None;
                Others::Fleet(acks)
            }
            other => other,
        };
        fails(
            step,
            &facts(),
            &missing,
            "acknowledged",
            ["replica b (edge-3) has not acknowledged", "dotfill ack m --db FILE --fleet DIR"],
        );
    }
    for (step, stale) in [
        (WriteBoth, Mode::ReadOldWriteOld),
        (WriteNew, Mode::ReadNewWriteOld),
        (CompactOld, Mode::ReadNewWriteBoth),
    ] {
        let others = fleet_of(step.from(), |ack| ack.mode = stale);
        let evidence = format!("replica b (edge-3) has acknowledged {stale} only");
        fails(step, &facts(), &others, "acknowledged", [&evidence, "dotfill ack"]);
    }
    for step in [ReadNew, WriteBoth, WriteNew] {
        let differ = fleet_of(step.from(), |ack| ack.disagreements = 1);
        fails(step, &facts(), &differ, "replicas-ready", ["1 objects whose forms differ", "mend"]);
    }
}

#[test]
fn what_is_on_its_way_keeps_an_epoch_open_that_would_refuse_it() {
    for step in [Step::ReadNew, Step::WriteBoth, Step::WriteNew, Step::CompactOld] {
        let others = fleet_of(step.from(), |ack| ack.sources_digest = "in flight".to_owned());
        let translates = LocalFacts { refuses_late: false, ..facts() };
        let conditions = evaluate(step, &translates, &others);
        assert!(holds(&conditions), "{conditions:#?}");
        let data = conditions.iter().find(|c| c.name == "same-data").expect("a condition");
        assert!(data.evidence.contains("the old form of 1 is in flight"), "{}", data.evidence);
        if step == Step::WriteNew {
            let words = ["b (edge-3) holds another old form", "let the replicas merge"];
            fails(step, &facts(), &others, "same-data", words);
        } else {
            assert!(holds(&evaluate(step, &facts(), &others)));
        }
    }
}

#[test]
fn clients_below_the_minimum_close_no_epoch() {
    for step in [Step::WriteNew, Step::CompactOld] {
        let old = fleet_of(step.from(), |ack| ack.oldest_client = Some("4.7.9".to_owned()));
        fails(
            step,
            &facts(),
            &old,
            "clients",
            ["b (edge-3) still has clients at 4.7.9, below 4.8.0", "--oldest-client VERSION"],
        );
        let unsaid = fleet_of(step.from(), |ack| ack.oldest_client = None);
        fails(step, &facts(), &unsaid, "clients", ["does not say", "--oldest-client"]);
        let any = LocalFacts { minimum_client: None, ..facts() };
        assert!(holds(&evaluate(step, &any, &unsaid)));
    }
    let old = fleet_of(Mode::ReadNewWriteOld, |ack| ack.oldest_client = None);
    assert!(holds(&evaluate(Step::WriteBoth, &facts(), &old)), "old clients may write till then");
}

#[test]
fn compaction_needs_all_five_statements_of_each_replica() {
    let others = fleet_of(Mode::ReadNewWriteNew, |ack| ack.readiness.dashboards_moved = false);
    fails(
        Step::CompactOld,
        &facts(),
        &others,
        "ready-for-compaction",
        ["b (edge-3) does not state --dashboards-moved", "once they are true"],
    );
}

#[test]
fn who_is_alone_is_not_taken_on_trust() {
    for step in Step::ALL {
        fails(step, &facts(), &Others::Unsaid, "fleet-acknowledged", ["nobody says", "--alone"]);
        fails(
            step,
            &facts(),
            &Others::Alone,
            "fleet-acknowledged",
            ["another site", "--fleet DIR"],
        );
        let alone = LocalFacts { others_seen: false, ..facts() };
        let conditions = evaluate(step, &alone, &Others::Alone);
        assert_eq!(holds(&conditions), step != Step::CompactOld, "{conditions:#?}");
    }
}

#[test]
fn a_replica_that_nobody_lists_does_not_advance() {
    let stranger = LocalFacts { replica: Some("zz".to_owned()), ..facts() };
    let all = fleet_of(Mode::ReadOldWriteOld, |_| {});
    fails(
        Step::ReadNew,
        &stranger,
        &all,
        "listed",
        ["zz, is not in the fleet's list", "fleet.toml"],
    );
    let plain = LocalFacts { replica: None, ..facts() };
    assert!(holds(&evaluate(Step::ReadNew, &plain, &all)));
}

#[test]
fn a_long_list_of_replicas_is_cut() {
    let required = |i: usize| RequiredReplica { id: format!("r{i}"), name: None, backups: None };
    let all = (0..8).map(|i| (required(i), None)).collect();
    let conditions =
        evaluate(Step::ReadNew, &LocalFacts { replica: None, ..facts() }, &Others::Fleet(all));
    let failed = conditions.iter().find(|c| !c.holds).expect("one");
    assert!(failed.evidence.ends_with("replica r4 has not acknowledged; and 3 more"));
}
