//! `doctor`: what is wrong or owed in a database, worst first.

use std::fmt::Write;
use std::path::Path;

use super::{Failure, exit, output};
use crate::doctor::{self, Finding};

/// Runs the command: [`exit::DONE`] where nothing is wrong or owed, else [`exit::FAILED`].
///
/// # Errors
/// [`Failure`] where the file cannot be looked at; nothing is written in any case.
pub fn run(db: &Path, json: bool) -> Result<u8, Failure> {
    let findings = doctor::examine(db)?;
    if json {
        output::print_json(&findings)?;
    } else {
        output::print(&render(&findings))?;
    }
    Ok(if doctor::is_healthy(&findings) { exit::DONE } else { exit::FAILED })
}

/// A line for each finding, and one for its next command.
fn render(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { severity, what, detail, next } in findings {
        let _ = writeln!(out, "{:<5}  {what}: {detail}", severity.to_string());
        if let Some(next) = next {
            let _ = writeln!(out, "       next: {}", next.replace('\n', "\n             "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_finding_is_a_line_and_its_next_command_is_indented() {
        let finding = |severity, next: Option<&str>| Finding {
            severity,
            what: "wal".to_owned(),
            detail: "large".to_owned(),
            next: next.map(str::to_owned),
        };
        let findings = [finding(Severity::Owed, Some("a\nthen: b")), finding(Severity::Ok, None)];
        assert_eq!(
            render(&findings),
            "owed   wal: large\n       next: a\n             then: b\nok     wal: large\n"
        );
    }
}
