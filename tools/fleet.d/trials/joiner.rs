//! A node that was never there joins after `close`: cr-sqlite brings its rows, dotfill its values.

use super::scene::{agree, drain, ensure, fleet, rest};
use crate::census;
use crate::failed::Outcome;
use crate::options::Options;
use crate::program::{self, argument};

/// The trial.
pub fn fed(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    drain(&fleet)?;
    super::users::owners_of(&fleet, 100, "a user")?;
    rest(&mut fleet)?;
    program::on_all(&fleet, "close", &[])?;
    fleet.join_another(options)?;
    fleet.wait_until_joined()?;
    let rows = census::rows(&fleet.nodes[0].db())?;
    rest(&mut fleet)?;
    let joiner = fleet.nodes.len() - 1;
    let owed = census::unfilled(&fleet.nodes[joiner].db())?;

    let deltas = fleet.migration.with_file_name("deltas");
    let exported = ["--deltas", argument(&deltas), "--json"];
    let exported = program::run(&fleet, &fleet.nodes[0], "export", &exported)?.expect(0)?.json()?;
    let db = fleet.nodes[joiner].db();
    let arguments = ["apply", argument(&deltas), "--db", argument(&db), "--json"];
    let applied = program::run_plain(&fleet, &arguments)?.expect(0)?.json()?;
    let digest = program::run(&fleet, &fleet.nodes[0], "digest", &[])?.expect(0)?.stdout;
    let file = fleet.migration.with_file_name("digest.json");
    std::fs::write(&file, digest)?;
    let against = ["--against", argument(&file), "--json"];
    program::run(&fleet, &fleet.nodes[joiner], "verify", &against)?.expect(0)?;
    agree(&fleet)?;
    ensure(owed > rows / 2, format!("the joiner lacked {owed} values of {rows} before"))?;
    let bytes = exported["delta_bytes"].as_u64().unwrap_or_default();
    Ok(format!(
        "{owed} of {rows} values were missing; {} were written, {bytes} bytes ({:.2} a row)",
        applied["rows_written"],
        bytes as f64 / rows as f64
    ))
}
