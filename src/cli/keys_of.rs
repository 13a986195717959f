//! What `--keys-of` names: a key digest that was printed on another replica, in a file, a pipe, or on
//! standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::verify::{KEYS_BYTES_MAX, KeysReport};

/// Bytes of a key digest that are read: some times what it takes.
const BYTES_MAX: u64 = 64 * KEYS_BYTES_MAX as u64;

/// Reads the key digest that `argument` names.
///
/// # Errors
/// When it cannot be read, or is something else.
pub fn read(argument: &Path) -> Result<KeysReport, Failure> {
    if argument == Path::new("-") {
        return parse("standard input", &mut std::io::stdin().lock());
    }
    let name = argument.display().to_string();
    let mut file = File::open(argument).map_err(|error| refused(&name, &error.to_string()))?;
    parse(&name, &mut file)
}

fn parse(name: &str, from: &mut dyn Read) -> Result<KeysReport, Failure> {
    let mut text = Vec::new();
    let from = from.take(BYTES_MAX).read_to_end(&mut text);
    from.map_err(|error| refused(name, &error.to_string()))?;
    KeysReport::parse(&text).map_err(|problem| refused(name, &problem.to_string()))
}

fn refused(name: &str, problem: &str) -> Failure {
    Failure::refused(format!(
        "--keys-of {name}: {problem}; make one with `dotfill digest MIGRATION --db FILE --keys` on \
         the replica that the deltas are for"
    ))
}
