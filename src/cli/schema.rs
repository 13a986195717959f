//! `schema`: the SQL that a cluster's schema files need.

use serde_json::json;

use super::args::OneArgs;
use super::{Failure, exit, output, which};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &OneArgs, json: bool) -> Result<u8, Failure> {
    let migration = which::migration(args)?;
    let statements = crate::plan::schema(&args.db.db, &migration)?;
    if json {
        let statements: Vec<_> = statements
            .iter()
            .map(|s| json!({ "table": s.table, "sql": s.sql, "exists": s.exists }))
            .collect();
        output::print_json(&json!({ "migration": migration.id, "statements": statements }))?;
        return Ok(exit::DONE);
    }
    let mut text = String::new();
    for statement in &statements {
        if statement.exists {
            text.push_str("-- is there already\n");
        }
        text.push_str(&statement.sql);
    }
    output::print(&text)?;
    Ok(exit::DONE)
}
