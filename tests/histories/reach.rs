//! Takes a database to a stage, by the commands of the library.

use std::path::Path;

use dotfill::engine::{self, Outcome};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::state::Mode;

use super::step::Stage;
use super::story::{asked, options};

/// Has a replica that is alone reach a stage.
pub fn reach(db: &Path, migration: &Migration, stage: Stage) {
    if stage == Stage::Unknown {
        return;
    }
    let report = engine::run(db, migration, &options(), &Quiet).unwrap();
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    let advance = |to, percent| {
        let asked = asked(to, None, percent);
        let report = engine::advance(db, migration, &asked, &options(), &Quiet).unwrap();
        assert!(report.gate, "{:#?}", report.conditions);
    };
    if stage >= Stage::Both {
        advance(Mode::ReadNewWriteOld, None);
        advance(Mode::ReadNewWriteBoth, None);
    }
    match stage {
        Stage::Share => advance(Mode::ReadNewWriteNew, Some(Stage::PERCENT)),
        Stage::Closed => advance(Mode::ReadNewWriteNew, None),
        Stage::Unknown | Stage::Open | Stage::Both => {}
    }
}
