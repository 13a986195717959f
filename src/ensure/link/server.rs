//! Which server answers: `PostgreSQL` or `CockroachDB`, told apart by what `version()` says.

use std::fmt;

use crate::ensure::EnsureError;

/// The oldest `PostgreSQL` that can be asked how far a build is.
const POSTGRES_MIN: u32 = 12;
/// The oldest `CockroachDB` whose catalog has what is read here.
const COCKROACH_MIN: u32 = 22;

/// A server, and its major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `PostgreSQL`.
    Postgres {
        /// Such as 15.
        major: u32,
        /// `PostgreSQL 15.18`.
        name: String,
    },
    /// `CockroachDB`.
    Cockroach {
        /// Such as 23.
        major: u32,
        /// `CockroachDB v23.1.11`.
        name: String,
    },
}

impl Server {
    /// Reads what `SELECT version()` returned.
    ///
    /// # Errors
    /// [`EnsureError::Server`] for one that is too old, or speaks the protocol and is another.
    pub fn parse(version: &str) -> Result<Self, EnsureError> {
        let refused = |problem: &str| EnsureError::Server {
            version: version.to_owned(),
            problem: problem.to_owned(),
        };
        let words: Vec<&str> = version.split_whitespace().collect();
        let number = |text: &str| -> Option<u32> {
            let digits = text.trim_start_matches('v');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        };
        match words.as_slice() {
            ["CockroachDB", rest @ ..] => {
                let word = rest.iter().find(|word| word.starts_with('v'));
                let major = word
                    .and_then(|word| number(word))
                    .ok_or_else(|| refused("its version cannot be read"))?;
                if major < COCKROACH_MIN {
                    return Err(refused("CockroachDB 22 or later is wanted"));
                }
                let name = format!("CockroachDB {}", word.copied().unwrap_or_default());
                Ok(Self::Cockroach { major, name })
            }
            ["PostgreSQL", word, ..] => {
                if word.contains("-YB-") || version.contains("Redshift") {
                    return Err(refused("it is no PostgreSQL, and has not been tried"));
                }
                let major = number(word).ok_or_else(|| refused("its version cannot be read"))?;
                if major < POSTGRES_MIN {
                    return Err(refused("PostgreSQL 12 or later is wanted"));
                }
                Ok(Self::Postgres { major, name: format!("PostgreSQL {word}") })
            }
            _ => Err(refused("neither PostgreSQL nor CockroachDB")),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { name, .. } | Self::Cockroach { name, .. } => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart() {
        let debian = "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by \
                      gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit";
        let postgres = Server::Postgres { major: 15, name: "PostgreSQL 15.18".to_owned() };
        assert_eq!(Server::parse(debian).expect("PostgreSQL"), postgres);
        let beta = Server::parse("PostgreSQL 18beta1 on aarch64").expect("PostgreSQL");
        assert!(matches!(beta, Server::Postgres { major: 18, .. }));
        let cockroach = Server::parse(
            "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27 01:53:43, go1.19.10)",
        );
        let wanted = Server::Cockroach { major: 23, name: "CockroachDB v23.1.11".to_owned() };
        assert_eq!(cockroach.expect("CockroachDB"), wanted);
    }

    #[test]
    fn others_are_refused_by_name() {
        for version in [
            "PostgreSQL 9.6.24 on x86_64-pc-linux-gnu",
            "PostgreSQL 11.2-YB-2.18.0.0-b0 on x86_64-pc-linux-gnu",
            "PostgreSQL 8.0.2 on i686-pc-linux-gnu, Redshift 1.0.12103",
            "CockroachDB CCL v21.2.0 (x86_64-pc-linux-gnu)",
            "MySQL 8",
            "",
        ] {
            let error = Server::parse(version).expect_err(version).to_string();
            assert!(error.contains(version), "{error}");
        }
    }
}
