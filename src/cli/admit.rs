//! `admit`: operations from a file or a pipe, decisions as JSON lines on standard output.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::AdmitArgs;
use super::watched::Watched;
use super::{Context, Failure, exit, output, units};
use crate::admit::{Admission, AdmitError, AdmitLimits, Admitted, Line, LineReader, Operation};
use crate::monitor::Quiet;

/// How many bytes the lines and decisions of one batch may have, its last line apart.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// What was decided.
#[derive(Debug, Default, Serialize)]
struct Summary {
    operations: u64,
    applied: u64,
    translated: u64,
    buffered: u64,
    rejected: u64,
    /// Rejected as retryable: not decided.
    undecided: u64,
    /// Lines that are no operation.
    bad_lines: u64,
    /// Decisions of operations that had waited.
    readmitted: u64,
    /// Operations that wait now.
    waiting: u64,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit code 2 where nothing was written.
pub fn run(args: &AdmitArgs, context: &Context) -> Result<u8, Failure> {
    let source = if args.ops == "-" {
        Watched::new(std::io::stdin(), &context.cancel)
    } else {
        let path = Path::new(&args.ops);
        if path.is_dir() {
            return Err(unreadable(&args.ops, "it is a folder"));
        }
        let file = File::open(path).map_err(|error| unreadable(&args.ops, error))?;
        Watched::new(file, &context.cancel)
    };
    let mut desk = Desk {
        name: &args.ops,
        lines: LineReader::new(source),
        admission: Admission::open(&args.db.db, AdmitLimits::default(), &Quiet)?,
        line: 0,
        summary: Summary::default(),
        operations: Vec::new(),
        places: Vec::new(),
    };
    let interrupted = desk.all(context)?;
    desk.finish(args, context, interrupted)
}

fn unreadable(ops: &str, why: impl std::fmt::Display) -> Failure {
    Failure::refused(format!(
        "cannot read operations from {ops}: {why}; give a file of JSON lines with --ops, or - for \
         standard input"
    ))
}

/// What a line of the batch came to, until the batch is decided.
enum Place {
    Operation(u64),
    Bad(u64, String),
}

struct Desk<'a> {
    name: &'a str,
    lines: LineReader<Watched>,
    admission: Admission<'a>,
    /// The number of the last line read, from 1.
    line: u64,
    summary: Summary,
    operations: Vec<Operation>,
    places: Vec<Place>,
}

impl Desk<'_> {
    /// Decides line after line; true where a signal ended it before the input did.
    fn all(&mut self, context: &Context) -> Result<bool, Failure> {
        let stop = || context.cancel.load(Ordering::Relaxed);
        while !stop() {
            self.collect()?;
            if !self.places.is_empty() {
                self.decide()?;
                continue;
            }
            match self.lines.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) if stop() => return Ok(true),
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(true)
    }

    fn broken(&self, error: &std::io::Error) -> Failure {
        let (name, line) = (self.name, self.line);
        Failure::new(
            exit::FAILED,
            format!(
                "cannot read on in {name} after line {line}: {error}; what was read is decided, \
                 and the same input can be fed again"
            ),
        )
    }

    /// Takes the lines of one batch: those that are there, so that a slow pipe is answered at once.
    fn collect(&mut self) -> Result<(), Failure> {
        let most = self.admission.batch_operations();
        let mut bytes = 0;
        while self.places.len() < most && bytes < BATCH_BYTES_MAX {
            let Some(line) = self.lines.buffered() else {
                return Ok(());
            };
            self.line += 1;
            match line {
                Line::TooLong => self.bad("longer than 1 MiB".to_owned())?,
                Line::Text(text) if text.trim_ascii().is_empty() => {}
                Line::Text(text) => {
                    bytes += text.len();
                    match Operation::parse(&text) {
                        Err(error) => self.bad(error.problem)?,
                        Ok(operation) => {
                            bytes += operation.weight();
                            self.places.push(Place::Operation(self.line));
                            self.operations.push(operation);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes a line that is no operation. The first line has to be one: a file of something else is
    /// refused before anything is written.
    fn bad(&mut self, problem: String) -> Result<(), Failure> {
        if self.summary.operations == 0 && self.places.is_empty() && self.summary.bad_lines == 0 {
            return Err(Failure::refused(format!(
                "{}, line {}: no operation: {problem}; nothing was decided; each line has to be one \
                 operation, as `dotfill admit --help` shows",
                self.name, self.line
            ))
            .with("line", self.line));
        }
        self.places.push(Place::Bad(self.line, problem));
        Ok(())
    }

    /// Decides the batch and prints what was decided, in the order of the lines.
    fn decide(&mut self) -> Result<(), Failure> {
        let decided = self.admission.batch(&self.operations)?;
        let mut text = String::new();
        let mut answers = decided.iter().peekable();
        for place in std::mem::take(&mut self.places) {
            if let Place::Bad(line, problem) = &place {
                self.summary.bad_lines += 1;
                let _ = writeln!(text, "{}", json!({"line": line, "error": problem}));
                continue;
            }
            while let Some(one) = answers.next_if(|one| one.readmitted.is_some()) {
                text += &self.answer(one, None);
            }
            if let (Place::Operation(line), Some(one)) = (place, answers.next()) {
                text += &self.answer(one, Some(line));
            }
        }
        for one in answers {
            text += &self.answer(one, None);
        }
        self.operations.clear();
        self.hand_on(&text, &decided)
    }

    fn hand_on(&mut self, text: &str, decided: &[Admitted]) -> Result<(), Failure> {
        output::print_through(text)?;
        Ok(self.admission.announced(decided)?)
    }

    /// One line of output.
    fn answer(&mut self, one: &Admitted, line: Option<u64>) -> String {
        self.count(one, line.is_some());
        format!("{}\n", decision_line(one, line))
    }

    fn count(&mut self, one: &Admitted, fed: bool) {
        let summary = &mut self.summary;
        if !fed {
            summary.readmitted += 1;
            return;
        }
        summary.operations += 1;
        let kind = match one.word() {
            "apply" => &mut summary.applied,
            "translate" => &mut summary.translated,
            "buffer" => &mut summary.buffered,
            _ if one.decision["retryable"] == true => &mut summary.undecided,
            _ => &mut summary.rejected,
        };
        *kind += 1;
    }

    /// Decides again what others have released meanwhile, and sums up.
    fn finish(
        mut self,
        args: &AdmitArgs,
        context: &Context,
        interrupted: bool,
    ) -> Result<u8, Failure> {
        if !interrupted {
            let released = self.admission.readmit_if_due()?;
            let text: String = released.iter().map(|one| self.answer(one, None)).collect();
            self.hand_on(&text, &released)?;
        }
        self.summary.waiting = self.admission.buffered()?.0;
        if context.voice.json {
            output::explain_json(&self.summary)?;
        } else if !context.voice.quiet {
            output::explain(&people(&self.summary, args, interrupted))?;
        }
        Ok(match (interrupted, self.summary.bad_lines, self.summary.undecided) {
            (false, 0, 0) => exit::DONE,
            (true, _, _) | (false, 0, _) => exit::RESUMABLE,
            (false, _, _) => exit::FAILED,
        })
    }
}

/// A decision as it is printed: with the line of its operation, or that it had waited.
pub(super) fn decision_line(one: &Admitted, line: Option<u64>) -> Value {
    let mut value = one.decision.clone();
    value["op_id"] = json!(one.op_id);
    match line {
        Some(line) => value["line"] = json!(line),
        None => value["readmitted"] = json!(true),
    }
    value
}

fn people(summary: &Summary, args: &AdmitArgs, interrupted: bool) -> String {
    let mut parts = vec![format!("{} operations", units::count(summary.operations))];
    for (n, what) in [
        (summary.applied, "to apply"),
        (summary.translated, "translated"),
        (summary.buffered, "buffered"),
        (summary.rejected, "rejected"),
        (summary.undecided, "not decided (the buffer is full): feed them again"),
        (summary.bad_lines, "lines that are no operation"),
        (summary.readmitted, "that had waited were decided"),
        (summary.waiting, "wait now"),
    ] {
        if n > 0 {
            parts.push(format!("{} {what}", units::count(n)));
        }
    }
    if interrupted {
        parts.push("interrupted: feed the same input again".to_owned());
    }
    let db = args.db.db.display();
    let next = match summary.rejected {
        0 => String::new(),
        _ => format!("; `dotfill quarantine list --db {db}` lists what was rejected"),
    };
    format!("{}{next}\n", parts.join("; "))
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Db(error) => error.into(),
            AdmitError::Refused { .. } | AdmitError::Registry(_) => {
                Self::refused(error.to_string())
            }
            AdmitError::Damaged { .. } => Self::new(exit::FAILED, error.to_string()),
        }
    }
}
