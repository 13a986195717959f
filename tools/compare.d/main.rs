//! `tools/compare`: dotfill and the other ways to give a column a value, side by side, in one run,
//! on the same data. Started by the bash script of that name, which sets up what is needed.
#![allow(clippy::cast_precision_loss, reason = "what is shown has four digits")]

mod check;
mod contestant;
mod delta_bytes;
mod delta_data;
mod delta_races;
mod delta_repair;
mod deltas;
mod failed;
mod fixture;
mod interference;
mod load;
mod machine;
mod options;
mod record;
mod report;
mod results;
mod rounds;
mod sqlite;
mod table;
mod targets;
mod tool;
mod watch;
mod work;
mod writer;

use std::process::ExitCode;

use clap::Parser;

use contestant::{COSTLY, Contestant, EXPENSIVE, PLAIN, REPLICATED};
use failed::{Failed, Outcome};
use fixture::Layout;
use interference::{Felt, SCENES, interfere};
use load::Moment;
use options::{Child, Cli, Options, Part};
use results::{Results, Turns};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.child {
        Some(Child::Foreground(writer)) => {
            writer::write_until_told(writer).map(|()| ExitCode::SUCCESS)
        }
        None => compare(&cli.options),
    };
    ended.unwrap_or_else(|Failed(why)| {
        eprintln!("compare: {why}");
        ExitCode::FAILURE
    })
}

fn compare(options: &Options) -> Outcome<ExitCode> {
    std::fs::create_dir_all(&options.work)?;
    let json = options.json.as_ref().map(std::fs::File::create).transpose()?;
    let results = measure(options)?;
    let targets = targets::targets(&results);
    report::print(&results, &targets);
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &record::record(&results, &targets))?;
    }
    Ok(if results.anyone_wrong() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(options: &Options) -> Outcome<Results> {
    let machine = machine::machine()?;
    let mut turns = Vec::new();
    if options.wants(Part::Plain) {
        turns.push(take_turns("Plain table", &PLAIN, options)?);
    }
    if options.wants(Part::Crsqlite) {
        turns.push(take_turns("cr-sqlite table", &REPLICATED, options)?);
    }
    if options.wants(Part::Expensive) {
        turns.push(take_turns(&expensive_title(options)?, &COSTLY, options)?);
    }
    let began = Moment::now()?;
    let foreground = options.wants(Part::Foreground).then(|| play_all(options));
    let foreground_others = began.others_since()?;
    Ok(Results {
        machine,
        rows: options.rows,
        repeat: options.repeat,
        turns,
        foreground,
        foreground_others,
        deltas: options.wants(Part::Deltas).then(|| deltas::deltas(options)).transpose()?,
    })
}

fn take_turns(title: &str, contestants: &[Contestant], options: &Options) -> Outcome<Turns> {
    let began = Moment::now()?;
    let standings = rounds::rounds(contestants, options);
    let others = began.others_since()?;
    Ok(Turns { title: title.into(), standings, others })
}

fn play_all(options: &Options) -> Vec<Felt> {
    SCENES.iter().map(|scene| interfere(*scene, options)).collect()
}

fn expensive_title(options: &Options) -> Outcome<String> {
    let fixture = fixture::fixture(Layout::Plain, options)?;
    let cost = machine::cost_us(&fixture, EXPENSIVE)?;
    Ok(format!("Expensive transform: {cost:.2} us per row, plain table"))
}
