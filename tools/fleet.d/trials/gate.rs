//! Who is let in: nodes without the column, deliveries that Corrosion would not send, and the ramp.

use super::scene::{ROWS, agree, ensure, fleet};
use crate::census;
use crate::failed::Outcome;
use crate::fleet::Fleet;
use crate::options::Options;
use crate::program;
use crate::schema::{MIGRATION, schema};

/// The trial.
pub fn column(options: &Options) -> Outcome<String> {
    let fleet = Fleet::loaded(options, ROWS)?;
    fleet.nodes[0].write_schema(&schema(true, &[]))?;
    fleet.nodes[0].tell(&["reload"])?;
    program::run(&fleet, &fleet.nodes[0], "run", &["--json"])?.expect(0)?;
    let without = &fleet.nodes[1];
    let refused = program::run(&fleet, without, "run", &[])?.expect(2)?;
    for word in ["owner", "schema", "reload"] {
        ensure(refused.stderr.contains(word), format!("no {word:?} in {:?}", refused.stderr))?;
    }
    let left = census::traces(&without.db())?;
    ensure(left == 0, format!("{left} objects of dotfill on the node that was refused"))?;

    let native = fleet.migration.with_file_name("native.toml");
    std::fs::write(&native, format!("{MIGRATION}delivery = \"native\"\n"))?;
    without.write_schema(&schema(true, &[]))?;
    without.tell(&["reload"])?;
    let db = without.db();
    let arguments = ["run", program::argument(&native), "--db", program::argument(&db)];
    let refused = program::run_plain(&fleet, &arguments)?.expect(2)?;
    ensure(refused.stderr.contains("native"), format!("no \"native\" in {:?}", refused.stderr))?;
    let left = census::traces(&without.db())?;
    ensure(left == 0, format!("{left} objects of dotfill after native was refused"))?;
    program::run(&fleet, without, "run", &["--json"])?.expect(0)?;
    Ok(String::new())
}

/// The trial.
pub fn ramp(options: &Options) -> Outcome<String> {
    let fleet = fleet(options)?;
    let mut inside = vec![false; fleet.nodes.len()];
    let mut steps = Vec::new();
    for percent in [0.01, 20.0, 40.0, 60.0, 80.0, 100.0] {
        for (node, was_in) in fleet.nodes.iter().zip(&mut inside) {
            let arguments = ["--json", "--nodes-percent", &percent.to_string()];
            let report = program::run(&fleet, node, "run", &arguments)?.expect(0)?.json()?;
            let skipped = report["outcome"] == "skipped";
            let filled = census::unfilled(&node.db())? == 0;
            let name = node.name();
            ensure(filled != skipped, format!("{name} says {report} and has {filled}"))?;
            ensure(!(*was_in && skipped), format!("{name} was in, and is out at {percent} %"))?;
            *was_in = !skipped;
        }
        steps.push(format!("{percent} %: {}", inside.iter().filter(|one| **one).count()));
    }
    ensure(inside.iter().all(|one| *one), "some node is outside of 100 %")?;
    agree(&fleet)?;
    Ok(format!("nodes in the ramp at {}", steps.join(", ")))
}
