//! `ack`: where this replica stands, for the gates of the fleet.

use super::args::AckArgs;
use super::{Context, Failure, exit, output, units, which};
use crate::engine::{self, AckOptions, AckReport};
use crate::phase::ack::Readiness;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing was written then.
pub fn run(args: &AckArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let asked = AckOptions {
        fleet: args.fleet.clone(),
        replica: args.replica.clone(),
        oldest_client: args.oldest_client.clone(),
        readiness: Readiness {
            writers_on_new_form: args.writers_on_new_form,
            old_clients_blocked: args.old_clients_blocked,
            repair_tools_moved: args.repair_tools_moved,
            snapshots_moved: args.snapshots_moved,
            dashboards_moved: args.dashboards_moved,
        },
    };
    let report = engine::acknowledge(&args.one.db.db, &migration, &asked, &context.cancel)?;
    if context.voice.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report))?;
    }
    Ok(exit::DONE)
}

fn text(report: &AckReport) -> String {
    let AckReport { path, required, ack } = report;
    let listed = if *required { "" } else { "; fleet.toml does not list it" };
    format!(
        "{}: replica {} acknowledges {}{listed}\n{}",
        ack.migration,
        ack.replica,
        ack.mode,
        output::aligned(&[
            ("file", path.display().to_string()),
            ("proven", if ack.proven { "yes".to_owned() } else { "no".to_owned() }),
            ("objects", units::count(ack.objects)),
            ("disagree", units::count(ack.disagreements)),
            ("undecided", units::count(ack.undecided)),
            ("oldest client", ack.oldest_client.clone().unwrap_or_else(|| "not said".to_owned())),
            (
                "not stated",
                match ack.readiness.missing().as_slice() {
                    [] => "nothing".to_owned(),
                    missing => missing.join(" "),
                }
            ),
        ])
    )
}
