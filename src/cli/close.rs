//! `close`: drains, proves, and stops following.

use super::args::JobArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, units, which};
use crate::engine::{self, Outcome};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; the migration is still open then.
pub fn run(args: &JobArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = args.tuning.resolve(&context.cancel);
    let show = Show::new(context.voice, &context.bars);
    let result = engine::close(&args.one.db.db, &migration, &options, &show);
    show.finish();
    let report = result?;
    if context.voice.json {
        output::print_json(&report)?;
        return Ok(exit::of(report.outcome));
    }
    let (name, db) = (&args.one.migration, &args.one.db.db);
    let text = if report.outcome == Outcome::Complete {
        let stays = match report.validators.as_slice() {
            [] => String::new(),
            names => format!("  stays  {}: old writes are refused as before\n", names.join(", ")),
        };
        format!(
            "{}: closed; {} rows proven in {}\n{stays}  next  {} removes our tables\n",
            report.migration,
            units::count(report.rows_proven),
            units::seconds(report.seconds),
            next("forget", name, db)
        )
    } else {
        format!(
            "{}: still open: {}\n  next  {} continues\n",
            report.migration,
            report.reason.unwrap_or_default(),
            next("close", name, db)
        )
    };
    output::print(&text)?;
    Ok(exit::of(report.outcome))
}
