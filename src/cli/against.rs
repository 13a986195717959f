//! What `--against` names: the database file of another replica, or a digest that was printed
//! there, in a file, a pipe, or on standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::db;
use crate::engine::Against;
use crate::verify::DigestReport;

/// Bytes of a digest that are read: many times what it takes.
const BYTES_MAX: u64 = 4 << 20;

/// Finds out what `argument` names, and reads it where it is a digest.
///
/// # Errors
/// When it cannot be read, or is neither.
pub fn resolve(argument: &Path) -> Result<Against, Failure> {
    if argument == Path::new("-") {
        return digest("standard input".to_owned(), &mut std::io::stdin().lock());
    }
    let name = argument.display().to_string();
    let cannot = |error| {
        Failure::refused(format!(
            "--against {name}: {error}; give another replica's database file, or a file with what \
             `dotfill digest` printed there"
        ))
    };
    if std::fs::metadata(argument).map_err(cannot)?.is_dir() {
        return Err(cannot(std::io::ErrorKind::IsADirectory.into()));
    }
    if db::is_database(argument)? {
        return Ok(Against::Replica(argument.to_owned()));
    }
    let mut file = File::open(argument).map_err(cannot)?;
    digest(name, &mut file)
}

fn digest(name: String, from: &mut dyn Read) -> Result<Against, Failure> {
    let mut text = Vec::new();
    let refused = |problem: String| {
        Failure::refused(format!(
            "--against: {name} is no database, and as a digest: {problem}; make one with `dotfill \
             digest MIGRATION --db FILE` on the other replica"
        ))
    };
    from.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| refused(error.to_string()))?;
    let report = DigestReport::parse(&text).map_err(|problem| refused(problem.to_string()))?;
    Ok(Against::Digest { name, digest: Box::new(report) })
}
