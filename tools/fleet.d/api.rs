//! An agent's HTTP API, as its applications use it. Requests are made by a thread that has entered
//! the agent's host; any thread may ask it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::failed::{Outcome, fail};
use crate::network::Host;

/// The port of the API.
pub const API_PORT: u16 = 8080;
/// The port of the agent's counters.
pub const METRICS_PORT: u16 = 9090;
/// How long a request may take; a backfill in one transaction takes seconds.
const PATIENCE: Duration = Duration::from_mins(4);

struct Request {
    port: u16,
    path: &'static str,
    /// What is posted; nothing is asked for.
    body: Option<Vec<u8>>,
    reply: Sender<Outcome<String>>,
}

/// One client of one agent.
#[derive(Clone)]
pub struct Api {
    requests: Sender<Request>,
}

impl Api {
    /// A client on `host`. Connects when it is first used.
    pub fn new(host: Host) -> Self {
        let (requests, inbox) = channel();
        std::thread::spawn(move || serve(&host, &inbox));
        Self { requests }
    }

    /// Runs statements in one transaction.
    pub fn transact(&self, statements: &[Value]) -> Outcome<()> {
        let answer: Value = serde_json::from_str(&self.post("/v1/transactions", statements)?)?;
        let mut results = answer["results"].as_array().into_iter().flatten();
        match results.find_map(|result| result["error"].as_str()) {
            Some(error) => fail(format!("the agent refused a transaction: {error}")),
            None => Ok(()),
        }
    }

    /// Runs one statement.
    pub fn execute(&self, sql: &str) -> Outcome<()> {
        self.transact(&[Value::from(sql)])
    }

    /// The first column of the first row of a query.
    pub fn query(&self, sql: &str) -> Outcome<Option<Value>> {
        let answer = self.post("/v1/queries", &Value::from(sql))?;
        for line in answer.lines() {
            let event: Value = serde_json::from_str(line)?;
            if let Some(error) = event["error"].as_str() {
                return fail(format!("the agent refused a query: {error}"));
            }
            if event["row"].is_array() {
                return Ok(Some(event["row"][1][0].clone()));
            }
        }
        Ok(None)
    }

    /// The change records that this agent's own clients have made in `table` since it started.
    pub fn local_records(&self, table: &str) -> Outcome<u64> {
        let text = self.ask(METRICS_PORT, "/metrics", None)?;
        let ours = |line: &&str| {
            line.starts_with("corro_changes_committed{")
                && line.contains("source=\"local\"")
                && line.contains(&format!("table=\"{table}\""))
        };
        let mut total = 0;
        for line in text.lines().filter(ours) {
            total += line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(total)
    }

    fn post<T: serde::Serialize + ?Sized>(&self, path: &'static str, body: &T) -> Outcome<String> {
        self.ask(API_PORT, path, Some(serde_json::to_vec(body)?))
    }

    fn ask(&self, port: u16, path: &'static str, body: Option<Vec<u8>>) -> Outcome<String> {
        let (reply, answer) = channel();
        if self.requests.send(Request { port, path, body, reply }).is_err() {
            return fail("the client's thread is gone");
        }
        answer.recv()?
    }
}

fn serve(host: &Host, inbox: &Receiver<Request>) {
    let entered = host.enter();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    for request in inbox {
        let result = match &entered {
            Ok(()) => answer(&agent, host, &request),
            Err(error) => fail(format!("cannot enter the host: {}", error.0)),
        };
        // Whoever asked may have given up.
        drop(request.reply.send(result));
    }
}

fn answer(agent: &ureq::Agent, host: &Host, request: &Request) -> Outcome<String> {
    let url = format!("http://{}{}", host.local_address(request.port), request.path);
    let response = match &request.body {
        Some(body) => {
            agent.post(&url).header("content-type", "application/json").send(body.as_slice())
        }
        None => agent.get(&url).call(),
    };
    Ok(response?.body_mut().with_config().limit(64 << 20).read_to_string()?)
}
