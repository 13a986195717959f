//! The help of every command, word by word. `DOTFILL_RECORD_HELP=1` writes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use dotfill::cli::args::Cli;

use crate::tool::call;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/command_line/help")
}

/// The commands by name, and the program itself.
fn names() -> BTreeSet<String> {
    let command = Cli::command();
    let commands = command.get_subcommands().map(|c| c.get_name().to_owned());
    commands.chain(["dotfill".to_owned()]).collect()
}

#[test]
fn every_command_has_the_recorded_help() {
    let mut different = Vec::new();
    for name in names() {
        let args = if name == "dotfill" { vec!["--help"] } else { vec![&name, "--help"] };
        let text = call(&args).expect(0).stdout;
        let path = folder().join(format!("{name}.txt"));
        if std::env::var_os("DOTFILL_RECORD_HELP").is_some() {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            different.push(name);
        }
    }
    assert!(
        different.is_empty(),
        "the help of {different:?} differs: DOTFILL_RECORD_HELP=1 cargo test --test command_line \
         records it, and `git diff` shows it"
    );
}

#[test]
fn every_record_has_a_command() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names().contains(&name), "{} is of no command", path.display());
    }
}

#[test]
fn help_fits_into_a_hundred_columns() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines() {
            assert!(line.len() <= 100 && line.is_ascii(), "{}: {line}", path.display());
        }
    }
}
