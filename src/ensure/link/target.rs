//! What a `--url` says: where the server is, who we are there, and how the connection is encrypted.
//! Owns the reading of it. Connects to nothing, and never shows a password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::ensure::EnsureError;

/// Schemes that name the same protocol.
const SCHEMES: [&str; 4] = ["postgres", "postgresql", "cockroach", "cockroachdb"];
/// How long one address is tried, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long without an acknowledgement a connection counts as lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// How long a connection may be silent before its other end is asked.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);

/// A server and a database, as `--url` names them.
#[derive(Clone)]
pub struct Target {
    pub(super) config: Config,
    pub(super) trust: Trust,
    password_given: bool,
}

/// Which certificates of a server are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    /// Check that the certificate is for the host, and signed by somebody we trust.
    pub verify: bool,
    /// A PEM file of who may sign; without it, whom the system trusts.
    pub root: Option<PathBuf>,
    /// PEM files of our own certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Reads a URL such as `postgres://user@host:5432/database?sslmode=verify-full`, or
    /// `env:NAME` for one that an environment variable holds.
    ///
    /// `sslmode` means what it means to `libpq`: `disable`; `prefer`, which encrypts where the
    /// server can; `require`, which does not go on without, but believes any certificate;
    /// `verify-full`, which also checks the certificate and the host's name, against `sslrootcert`
    /// or whom the system trusts. `sslrootcert` with `require` verifies too. `sslcert` and `sslkey`
    /// are our own.
    ///
    /// # Errors
    /// [`EnsureError::Url`], without the password that the text may hold.
    pub fn parse(text: &str) -> Result<Self, EnsureError> {
        match text.strip_prefix("env:") {
            Some(name) => match std::env::var(name) {
                Ok(value) => Self::of_url(&value),
                Err(_) => Err(bad(format!("the environment variable {name} is not set"))),
            },
            None => Self::of_url(text),
        }
    }

    fn of_url(text: &str) -> Result<Self, EnsureError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            bad("it has no scheme; write postgres://USER@HOST:PORT/DATABASE".to_owned())
        })?;
        if !SCHEMES.contains(&scheme) {
            return Err(bad(format!("its scheme is {scheme:?}; write postgres://..")));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut trust = TrustKeys::default();
        let others: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter_map(|pair| trust.take(pair).transpose())
            .collect::<Result<_, _>>()?;
        let url = format!("postgres://{place}?{}", others.join("&"));
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            bad(crate::ensure::fault::with_causes(&error))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        trust.mode.apply(&mut config);
        let password_given = config.get_password().is_some();
        Ok(Self { config: patient(config), trust: trust.finish()?, password_given })
    }

    /// The name under which sessions show up on the server, unless the URL says one.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if self.config.get_application_name().is_none() {
            self.config.application_name(name);
        }
        self
    }

    /// Takes the password from `PGPASSWORD` where the URL has none.
    #[must_use]
    pub fn with_password_of_environment(mut self) -> Self {
        if !self.password_given
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            self.config.password(password);
        }
        self
    }
}

/// `postgres://user@host:port/database`, without a password and without parameters.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            let comma = if n == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        for address in
            self.config.get_hostaddrs().iter().filter(|_| self.config.get_hosts().is_empty())
        {
            write!(f, "{address}")?;
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// The `sslmode` of a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyFull,
}

impl Mode {
    fn apply(self, config: &mut Config) {
        config.ssl_mode(match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyFull => SslMode::Require,
        });
    }
}

/// The parameters that the client library does not know.
#[derive(Default)]
struct TrustKeys {
    mode: Mode,
    root: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TrustKeys {
    /// Keeps a pair that is ours; gives back any other one.
    fn take(&mut self, pair: &str) -> Result<Option<String>, EnsureError> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value);
        match key {
            "sslmode" => self.mode = mode(&value)?,
            "sslrootcert" if value == "system" => self.mode = Mode::VerifyFull,
            "sslrootcert" => self.root = Some(value.into()),
            "sslcert" => self.cert = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => return Ok(Some(pair.to_owned())),
        }
        Ok(None)
    }

    fn finish(self) -> Result<Trust, EnsureError> {
        let client = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(bad("sslcert and sslkey belong together; give both".to_owned())),
        };
        let verify =
            self.mode == Mode::VerifyFull || (self.mode == Mode::Require && self.root.is_some());
        Ok(Trust { verify, root: self.root, client })
    }
}

fn mode(value: &str) -> Result<Mode, EnsureError> {
    match value {
        "disable" => Ok(Mode::Disable),
        "prefer" => Ok(Mode::Prefer),
        "require" => Ok(Mode::Require),
        "verify-full" => Ok(Mode::VerifyFull),
        "verify-ca" => Err(bad("sslmode=verify-ca is not known here; verify-full checks the \
             host's name as well"
            .to_owned())),
        _ => Err(bad(format!(
            "sslmode={value} is not known; write disable, prefer, require or verify-full"
        ))),
    }
}

/// No attempt to connect, and no silence of the other end, lasts for ever.
fn patient(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    }
    config.keepalives_idle(KEEPALIVE_AFTER);
    config
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn bad(problem: String) -> EnsureError {
    EnsureError::Url { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text).expect("a URL that is right")
    }

    fn problem(text: &str) -> String {
        Target::parse(text).expect_err("a URL that is wrong").to_string()
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = parse("postgres://app:hunter2@db.example:6432/shop?sslmode=require");
        assert_eq!(target.to_string(), "postgres://app@db.example:6432/shop");
        assert!(!format!("{target:?}").contains("hunter2"));
        for text in [
            "postgres://app:hunter2@db.example:port/shop",
            "postgres://app:hunter2@db.example/shop?sslmode=yes",
            "postgres://app:hunter2@db.example/shop?nonsense=1",
            "mysql://app:hunter2@db.example/shop",
            "app:hunter2@db.example/shop",
            "env:DOTFILL_NO_SUCH_VARIABLE",
        ] {
            assert!(!problem(text).contains("hunter2"), "{}", problem(text));
        }
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq() {
        let of = |query: &str| {
            let target = parse(&format!("postgres://h/d{query}"));
            (target.config.get_ssl_mode(), target.trust.verify)
        };
        assert_eq!(of(""), (SslMode::Prefer, false));
        assert_eq!(of("?sslmode=disable"), (SslMode::Disable, false));
        assert_eq!(of("?sslmode=require"), (SslMode::Require, false));
        assert_eq!(of("?sslmode=require&sslrootcert=/ca.pem"), (SslMode::Require, true));
        assert_eq!(of("?sslmode=verify-full"), (SslMode::Require, true));
        assert!(problem("postgres://h/d?sslmode=verify-ca").contains("verify-full"));
        assert!(problem("postgres://h/d?sslcert=a.pem").contains("sslkey"));
    }

    #[test]
    fn other_parameters_reach_the_client() {
        let target =
            parse("cockroach://root@h:26257/d?application_name=shop&sslrootcert=%2Fa%20b.pem");
        assert_eq!(target.config.get_application_name(), Some("shop"));
        assert_eq!(target.trust.root, Some(PathBuf::from("/a b.pem")));
        assert_eq!(target.clone().named("other").config.get_application_name(), Some("shop"));
    }
}
