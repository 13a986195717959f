//! `demo`: the acts as they happen, and the bill at the end.

use std::fmt::Write;
use std::path::PathBuf;

use indicatif::MultiProgress;
use parking_lot::Mutex;

use super::args::VoiceArgs;
use super::progress::Show;
use super::{Failure, exit, output, plan, signals, units};
use crate::demo::{
    self, Amount, Bill, Check, DemoError, DemoReport, Fed, Feeding, HOW_TO_GET_IT, Made,
    ReplicaRun, Step, find_extension,
};
use crate::monitor::{Monitor, Progress};

/// What the demo makes.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Rows of the table.
    pub rows: u64,
    /// Where to keep the databases; a temporary folder where absent.
    pub folder: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
}

/// Runs the command: [`exit::DONE`] where all that was promised held, else [`exit::FAILED`].
///
/// # Errors
/// [`Failure`] where the demo could not be carried out.
pub fn run(options: &DemoOptions) -> Result<u8, Failure> {
    let library = demo::DemoOptions {
        rows: options.rows,
        folder: options.folder.clone(),
        crsqlite: find_extension(),
        cancel: signals::cancel_flag()?,
    };
    let shows = Shows::new(options.json);
    let mut printed = Ok(());
    let mut act = None;
    let report = demo::run(&library, &shows, &mut |step| {
        shows.next();
        if !options.json && printed.is_ok() {
            printed = output::print(&told(step, &library, &mut act));
        }
    })?;
    shows.next();
    printed?;
    if options.json {
        output::print_json(&report)?;
    } else {
        output::print(&ending(&report, options))?;
    }
    Ok(if report.held { exit::DONE } else { exit::FAILED })
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Db(error) => error.into(),
            DemoError::Plan(error) => error.into(),
            DemoError::Run(error) => error.into(),
            DemoError::Migration(error) => error.into(),
            DemoError::Occupied { .. } | DemoError::NoRoom { .. } => {
                Self::refused(error.to_string())
            }
            DemoError::Interrupted => Self::new(exit::RESUMABLE, error.to_string()),
            DemoError::Io { .. } => Self::new(exit::FAILED, error.to_string()),
        }
    }
}

/// A bar for each run, so that what is printed between two of them does not tear one.
struct Shows {
    voice: VoiceArgs,
    bars: MultiProgress,
    show: Mutex<Show>,
}

impl Shows {
    fn new(json: bool) -> Self {
        let voice = VoiceArgs { json, quiet: json, verbose: 0 };
        let bars = MultiProgress::new();
        let show = Mutex::new(Show::new(voice, &bars));
        Self { voice, bars, show }
    }

    /// Ends the present bar; the next run gets another.
    fn next(&self) {
        let mut show = self.show.lock();
        show.finish();
        *show = Show::new(self.voice, &self.bars);
    }
}

impl Monitor for Shows {
    fn progress(&self, progress: &Progress) {
        self.show.lock().progress(progress);
    }

    fn note(&self, message: &str) {
        self.show.lock().note(message);
    }
}

/// What is said of a step, under a heading where an act begins.
fn told(step: Step<'_>, options: &demo::DemoOptions, act: &mut Option<&str>) -> String {
    let (heading, text) = match step {
        Step::Making => return making(options),
        Step::Made(made) => return self::made(made),
        Step::Planned(plan) => ("The plan, before anything is written", plan::render(plan)),
        Step::Filled(run) => ("The backfill", filled(run)),
        Step::Fed(feeding) => ("A third replica, which cannot derive", fed(feeding)),
        Step::Checked(check) => ("What was promised", checked(check)),
        Step::TryingNaive => return String::new(),
    };
    if *act == Some(heading) {
        return text;
    }
    *act = Some(heading);
    format!("\n== {heading}\n{text}")
}

fn making(options: &demo::DemoOptions) -> String {
    let rows = units::count(options.rows);
    match &options.crsqlite {
        Some(library) => format!(
            "Two cr-sqlite replicas that have merged {rows} rows of a third site\n\
             (extension: {}) ..\n",
            library.display()
        ),
        None => format!(
            "Two PLAIN databases with one table of {rows} rows ..\n\
             cr-sqlite's extension was not found, so nothing is replicated here and no change \
             record saved.\nTo see it on real cr-sqlite: {HOW_TO_GET_IT}.\n"
        ),
    }
}

fn made(made: &Made) -> String {
    let names: Vec<String> = made.databases.iter().map(|db| db.display().to_string()).collect();
    format!(
        "made in {}: {}, {} each\n\n== The migration file\n{}",
        units::seconds(made.seconds),
        names.join(" and "),
        units::bytes(made.file_bytes),
        demo::MIGRATION
    )
}

fn filled(run: &ReplicaRun) -> String {
    let report = &run.report;
    let digest: String = report.digest.iter().flat_map(|digest| digest.chars().take(16)).collect();
    format!(
        "  {}  {} rows filled and proven in {} ({}), WAL at most {}, digest {digest}\n",
        run.replica,
        units::count(report.rows_written),
        units::seconds(report.seconds),
        units::rate(report.rows_per_second, "rows"),
        units::bytes(report.wal_bytes_max),
    )
}

fn fed(feeding: &Feeding) -> String {
    let (export, apply, name) = (&feeding.export, &feeding.apply, &feeding.replica);
    let refusal = feeding.refusal.as_deref().unwrap_or("dotfill does not refuse to derive there");
    format!(
        "  {name}  a plain copy for reports, with the columns id and region only:\n  \
         {:>width$}  {refusal}\n  \
         {name}  {} rows fed by `export` from a.db and `apply`, found in the data in {}: {} of \
         deltas in {} segments, {:.2} B a row\n",
        "",
        units::count(apply.rows_written),
        units::seconds(feeding.seconds),
        units::bytes(export.delta_bytes),
        units::count(export.segments),
        export.bytes_per_row,
        width = name.len(),
    )
}

fn checked(check: &Check) -> String {
    let mark = if check.held { "held  " } else { "BROKEN" };
    format!("  {mark}  {}\n", check.what)
}

/// The bill, and what is left.
fn ending(report: &DemoReport, options: &DemoOptions) -> String {
    let mut out = bill(&report.bill);
    let verdict = if report.held { "all of it held" } else { "NOT all of it held" };
    let _ = writeln!(out, "\n{verdict}; {} in all", units::seconds(report.seconds));
    if let (Some(_), Some(db)) = (&options.folder, report.made.databases.first()) {
        let _ = writeln!(out, "the databases stay: dotfill status --db {}", db.display());
    }
    out
}

fn bill(bill: &Bill) -> String {
    let heads = ["change records", "disk", "wire", "WAL peak", "time"].map(str::to_owned);
    let mut out =
        format!("\n== The bill: both replicas; WAL and time of one\n{}", line("", &heads));
    let mut say = |what: &str, amount: &Amount| {
        let cells = [
            units::count(amount.change_records),
            units::bytes(amount.disk_bytes),
            units::bytes(amount.wire_bytes),
            units::bytes(amount.wal_bytes),
            units::seconds(amount.seconds),
        ];
        out.push_str(&line(what, &cells));
    };
    say("dotfill, measured", &bill.measured);
    say("dotfill, predicted", &bill.predicted);
    say("UPDATE on one replica, predicted", &bill.naive_predicted);
    say("UPDATE on both replicas, predicted", &bill.naive_everywhere_predicted);
    if let Some(naive) = &bill.naive_measured {
        say("UPDATE on one replica, measured*", &naive.scaled);
        let _ = writeln!(
            out,
            "  * on {} rows, and scaled; the other replica then takes {} to merge the records",
            units::count(naive.rows),
            units::seconds(naive.merge_seconds)
        );
    }
    out + &fed_bill(&bill.fed)
}

/// What the third replica took on the wire.
#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
fn fed_bill(fed: &Fed) -> String {
    let cost = |bytes: u64| {
        let per_row = bytes as f64 / fed.rows.max(1) as f64;
        format!("{} ({per_row:.2} B a row)", units::bytes(bytes))
    };
    let mut out = format!("  third replica: {} of deltas", cost(fed.delta_bytes));
    if fed.naive_bytes > 0 {
        let _ = write!(out, "; change records of an UPDATE: {}", cost(fed.naive_bytes));
    }
    out + "\n"
}

fn line(what: &str, cells: &[String; 5]) -> String {
    let mut line = format!("  {what:<34}");
    for (cell, width) in cells.iter().zip([14, 8, 8, 8, 7]) {
        let _ = write!(line, "  {cell:>width$}");
    }
    line + "\n"
}
