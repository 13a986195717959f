//! One connection to a server, used from ordinary threads. Every answer is waited for with a bound;
//! the one statement that may take for ever, a build, is started and then asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::Target;
use super::tls;
use crate::ensure::{EnsureError, Fault};

/// How long an answer may take that a healthy server gives at once. The server is told to give up
/// before ([`super::settings`]), so that this is only for one that has stopped.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How sessions of one target are made.
pub struct Link {
    runtime: Arc<Runtime>,
    target: Target,
    tls: MakeRustlsConnect,
}

impl Link {
    /// Prepares connections to a target. Connects to nothing yet.
    ///
    /// # Errors
    /// [`EnsureError::Url`] where a file that the URL names cannot be used, or no thread can be
    /// had.
    pub fn new(target: &Target) -> Result<Self, EnsureError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| EnsureError::Url { problem: format!("no thread: {error}") })?;
        let tls = tls::connector(&target.trust)?;
        Ok(Self { runtime: Arc::new(runtime), target: target.clone(), tls })
    }

    /// Connects once.
    ///
    /// # Errors
    /// A [`Fault`]; of [`super::super::Nature::Lost`] where nobody answers.
    pub fn open(&self) -> Result<Session, Fault> {
        let doing = format!("connect to {}", self.target);
        let connect = self.target.config.connect(self.tls.clone());
        let connected =
            self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, connect).await });
        let (client, connection) = connected
            .map_err(|_| Fault::local(&doing, format!("no answer within {ANSWER_MAX:?}")))?
            .map_err(|error| Fault::of(&doing, &error))?;
        // It ends with the client; what ends it early shows in the client's next answer.
        self.runtime.spawn(async move {
            let _ = connection.await;
        });
        Ok(Session {
            client: Arc::new(client),
            runtime: Arc::clone(&self.runtime),
            tls: self.tls.clone(),
        })
    }
}

/// One connection.
pub struct Session {
    client: Arc<Client>,
    runtime: Arc<Runtime>,
    tls: MakeRustlsConnect,
}

/// A value of a row.
///
/// # Errors
/// A [`Fault`] where the server returned something else than was asked for.
pub fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, n: usize) -> Result<T, Fault> {
    row.try_get(n).map_err(|error| {
        Fault::of(&format!("read column {n} of an answer"), &error).with_code("XX000")
    })
}

/// A parameter of a statement.
pub type Param<'a> = &'a (dyn ToSql + Sync);

impl Session {
    /// The rows of a statement.
    ///
    /// # Errors
    /// A [`Fault`], also where no answer comes within 30 s.
    pub fn rows(&self, doing: &str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        let asked = self.client.query(sql, params);
        self.wait(doing, asked)
    }

    /// The one row of a statement.
    ///
    /// # Errors
    /// As [`Session::rows`]; also where there is none.
    pub fn row(&self, doing: &str, sql: &str, params: &[Param<'_>]) -> Result<Row, Fault> {
        let asked = self.client.query_one(sql, params);
        self.wait(doing, asked)
    }

    /// Runs one statement that returns nothing; the number of rows it touched. It is one statement
    /// whatever its text is: the server refuses a second one.
    ///
    /// # Errors
    /// As [`Session::rows`].
    pub fn run(&self, doing: &str, sql: &str, params: &[Param<'_>]) -> Result<u64, Fault> {
        let asked = self.client.execute(sql, params);
        self.wait(doing, asked)
    }

    fn wait<T>(
        &self,
        doing: &str,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Fault> {
        self.runtime
            .block_on(async { tokio::time::timeout(ANSWER_MAX, asked).await })
            .map_err(|_| Fault::local(doing, format!("no answer within {ANSWER_MAX:?}")))?
            .map_err(|error| Fault::of(doing, &error))
    }

    /// Starts one statement that may take long. The session answers nothing else until it ends.
    #[must_use]
    pub fn start(&self, doing: &str, sql: String) -> Started {
        let client = Arc::clone(&self.client);
        let handle = self.runtime.spawn(async move { client.query(&sql, &[]).await });
        Started { handle, runtime: Arc::clone(&self.runtime), doing: doing.to_owned() }
    }

    /// Asks the server to end what this session runs. That it does shows in the statement's end.
    ///
    /// # Errors
    /// A [`Fault`] where the server cannot be asked.
    pub fn cancel(&self) -> Result<(), Fault> {
        let token = self.client.cancel_token();
        let asked = token.cancel_query(self.tls.clone());
        self.wait("cancel the statement", asked)
    }
}

/// A statement that runs.
pub struct Started {
    handle: JoinHandle<Result<Vec<Row>, tokio_postgres::Error>>,
    runtime: Arc<Runtime>,
    doing: String,
}

impl Started {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.handle.is_finished()
    }

    /// How it ended, and the rows that it returned; waits for it for at most `patience`.
    ///
    /// # Errors
    /// The statement's [`Fault`]; one of nature `Lost` where it has not ended by then.
    pub fn end(self, patience: Duration) -> Result<Vec<Row>, Fault> {
        let Self { handle, runtime, doing } = self;
        match runtime.block_on(async { tokio::time::timeout(patience, handle).await }) {
            Ok(Ok(Ok(rows))) => Ok(rows),
            Ok(Ok(Err(error))) => Err(Fault::of(&doing, &error)),
            Ok(Err(panicked)) => Err(Fault::local(&doing, panicked.to_string())),
            Err(_) => Err(Fault::local(&doing, format!("it has not ended within {patience:?}"))),
        }
    }
}
