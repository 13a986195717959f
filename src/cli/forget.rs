//! `forget`: removes our traces.

use std::sync::Arc;

use serde_json::json;

use super::args::OneArgs;
use super::{Context, Failure, exit, output, which};
use crate::db::quote::ident;
use crate::engine::{self, ForgetReport, RunOptions};

/// Runs the command.
///
/// # Errors
/// [`Failure`]: 5 where another process is at work; nothing was changed then.
pub fn run(args: &OneArgs, context: &Context) -> Result<u8, Failure> {
    let id = which::id(&args.migration)?;
    let options = RunOptions { cancel: Arc::clone(&context.cancel), ..RunOptions::default() };
    let report = engine::forget_with(&args.db.db, &id, &options)?;
    if context.voice.json {
        output::print_json(&json!({
            "migration": id,
            "outcome": "complete",
            "validators": report.validators,
            "tables_kept": report.tables_kept,
        }))?;
    } else {
        output::print(&text(&report))?;
    }
    Ok(exit::DONE)
}

/// What is gone, and what stays.
fn text(report: &ForgetReport) -> String {
    let id = &report.migration;
    if report.validators.is_empty() {
        return format!("{id}: forgotten; what it has written stays\n");
    }
    let drops: String =
        report.validators.iter().map(|name| format!(" DROP TRIGGER {};", ident(name))).collect();
    let tables = match report.tables_kept.as_slice() {
        [] => String::new(),
        tables => format!(
            "  stays      table {}, empty: by a row there your replication says that it merges\n",
            tables.join(", ")
        ),
    };
    format!(
        "{id}: forgotten; its tables and its view stay\n  \
         stays      triggers {}: old writes are refused as before\n{tables}  \
         next       before the emptied old form is dropped from the schema:{drops}\n",
        report.validators.join(", ")
    )
}
