//! What went wrong on a server, and what that means for whoever asked. Pure: nothing is asked here.

use std::error::Error as _;
use std::fmt;

/// A statement that failed, or a connection that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What we were doing.
    pub doing: Box<str>,
    /// The SQLSTATE; empty where no server answered.
    pub code: Box<str>,
    /// What the server said, or the system.
    pub message: Box<str>,
    /// The server's DETAIL.
    pub detail: Option<Box<str>>,
    /// The server's HINT.
    pub hint: Option<Box<str>>,
    /// True where a table of the server's own catalog is meant, and not the user's.
    pub of_catalog: bool,
}

/// What a fault means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// The connection is gone: connect again, and look what became of the work.
    Lost,
    /// Somebody else has made the object meanwhile: look again.
    Exists,
    /// The rows are such that this cannot be done; trying again changes nothing.
    Data,
    /// What is asked for is not possible here, whatever the rows are.
    Definition,
    /// It may go well another time.
    Passing,
}

impl Fault {
    /// A fault that no server has told.
    #[must_use]
    pub fn local(doing: &str, message: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            code: "".into(),
            message: message.into().into(),
            detail: None,
            hint: None,
            of_catalog: false,
        }
    }

    /// What the client library says, with what we were doing.
    #[must_use]
    pub fn of(doing: &str, error: &tokio_postgres::Error) -> Self {
        let Some(told) = error.as_db_error() else {
            return Self::local(doing, with_causes(error));
        };
        Self {
            doing: doing.into(),
            code: told.code().code().into(),
            message: told.message().into(),
            detail: told.detail().map(Into::into),
            hint: told.hint().map(Into::into),
            of_catalog: told.schema() == Some("pg_catalog"),
        }
    }

    /// What it means.
    #[must_use]
    pub fn nature(&self) -> Nature {
        match &*self.code {
            // No server answered. 57P0x: it is shutting down, has crashed, is starting, or has
            // ended an idle session.
            "" | "57P01" | "57P02" | "57P03" | "57P05" => Nature::Lost,
            "42P07" | "42710" => Nature::Exists,
            // Two statements made a relation of one name at once; the catalog's own index says so.
            "23505" if self.of_catalog => Nature::Exists,
            // 54000: an index row that is larger than a page allows.
            "54000" => Nature::Data,
            code => match code.get(..2) {
                Some("08") => Nature::Lost,
                Some("22" | "23" | "38" | "39" | "P0" | "2F") => Nature::Data,
                Some("0A" | "25" | "28" | "2B" | "3D" | "3F" | "42") => Nature::Definition,
                _ => Nature::Passing,
            },
        }
    }

    /// A fault with this SQLSTATE.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = code.into();
        self
    }

    /// Whether the server said this SQLSTATE.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        *self.code == *code
    }

    /// True for rows that share a key which is to be unique.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.is("23505") && !self.of_catalog
    }
}

/// `build the index: could not create unique index "u" (23505): Key (a)=(1) is duplicated.`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.message)?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            write!(f, "; {}", more.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

/// The message of an error and of what caused it.
#[must_use]
pub fn with_causes(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str) -> Fault {
        Fault::local("build", "it failed").with_code(code)
    }

    #[test]
    fn codes_are_told_apart() {
        let cases = [
            ("", Nature::Lost),
            ("08006", Nature::Lost),
            ("57P01", Nature::Lost),
            ("57P05", Nature::Lost),
            ("42P07", Nature::Exists),
            ("23505", Nature::Data),
            ("22P02", Nature::Data),
            ("22012", Nature::Data),
            ("54000", Nature::Data),
            ("P0001", Nature::Data),
            ("42703", Nature::Definition),
            ("42501", Nature::Definition),
            ("25006", Nature::Definition),
            ("57014", Nature::Passing),
            ("55P03", Nature::Passing),
            ("40P01", Nature::Passing),
            ("53100", Nature::Passing),
            ("XX000", Nature::Passing),
        ];
        for (code, nature) in cases {
            assert_eq!(fault(code).nature(), nature, "{code}");
        }
    }

    #[test]
    fn a_race_for_a_name_is_no_duplicate_key_of_a_user() {
        let race = Fault { of_catalog: true, ..fault("23505") };
        assert_eq!(race.nature(), Nature::Exists);
        assert!(!race.is_duplicate());
        assert!(fault("23505").is_duplicate());
    }
}
