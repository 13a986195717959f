//! The `dotfill` program: parse, run, exit code. Everything else is in the library.

use std::process::ExitCode;

use dotfill::cli;

fn main() -> ExitCode {
    dotfill::db::without_memory_statistics();
    match cli::parse() {
        Ok(arguments) => ExitCode::from(cli::run(&arguments)),
        Err(code) => ExitCode::from(code),
    }
}
