//! A connection of the test's own, beside the binary under test.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A session.
pub struct Sql {
    client: Client,
    runtime: Runtime,
}

impl Sql {
    /// Connects.
    pub fn open(url: &str) -> Self {
        Self::try_open(url).expect("the server answers")
    }

    /// Connects, if the server answers.
    pub fn try_open(url: &str) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls)).ok()?;
        runtime.spawn(async move {
            let _ = connection.await;
        });
        Some(Self { client, runtime })
    }

    /// Runs statements; all rows of them, as text.
    pub fn try_run(&self, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let cells = |message| match message {
            SimpleQueryMessage::Row(row) => {
                let cell = |n| row.get(n).unwrap_or("NULL").to_owned();
                Some((0..row.len()).map(cell).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(cells).collect())
    }

    /// Runs statements that must not fail.
    #[track_caller]
    pub fn run(&self, sql: &str) -> Vec<Vec<String>> {
        match self.try_run(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}: {:?}", error.as_db_error()),
        }
    }

    /// The first cell of the first row; empty where there is none.
    #[track_caller]
    pub fn cell(&self, sql: &str) -> String {
        self.run(sql).into_iter().flatten().next().unwrap_or_default()
    }

    /// Starts a statement; the result comes from the thread.
    pub fn start(self, sql: &str) -> std::thread::JoinHandle<Result<(), String>> {
        let sql = sql.to_owned();
        std::thread::spawn(move || {
            self.try_run(&sql).map(drop).map_err(|error| format!("{:?}", error.as_db_error()))
        })
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        // A session that is dropped inside a transaction leaves it to the server to notice; soon.
        let _ = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(1), self.client.simple_query("ROLLBACK")).await
        });
    }
}
