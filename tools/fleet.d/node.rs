//! One agent: its folder, its configuration and its process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::{API_PORT, Api, METRICS_PORT};
use crate::failed::{Outcome, fail};
use crate::network::{Host, Network};

/// How long an agent may take to end when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// One node of the fleet.
pub struct Node {
    /// Its number, from 0.
    pub number: usize,
    /// Its folder.
    pub dir: PathBuf,
    /// A client of its agent, for everything but measuring.
    pub api: Api,
    network: Arc<Network>,
    host: Host,
    program: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// A node in `dir`, which may hold the database of an earlier one. Does not start the agent.
    pub fn prepare(
        number: usize,
        nodes: usize,
        dir: PathBuf,
        program: &Path,
        network: &Arc<Network>,
    ) -> Outcome<Self> {
        std::fs::create_dir_all(dir.join("schema"))?;
        let host = network.host(number);
        let api = Api::new(host.clone());
        let network = Arc::clone(network);
        let node = Self { number, dir, api, network, host, program: program.into(), process: None };
        std::fs::write(node.config(), node.configuration(nodes))?;
        Ok(node)
    }

    /// A client of its own.
    pub fn client(&self) -> Api {
        Api::new(self.host.clone())
    }

    /// The name by which people know it: `n1`, `n2`, ..
    pub fn name(&self) -> String {
        format!("n{}", self.number + 1)
    }

    /// Its database file.
    pub fn db(&self) -> PathBuf {
        self.dir.join("state.db")
    }

    /// How people reach its API.
    pub fn api_for_people(&self) -> String {
        let address = self.host.local_address(API_PORT);
        let shell = self.host.command("curl");
        let words: Vec<_> = std::iter::once(shell.get_program())
            .chain(shell.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        format!("{} http://{address}/v1/queries", words.join(" "))
    }

    fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    fn configuration(&self, nodes: usize) -> String {
        let dir = self.dir.display();
        let address = self.network.gossip_address(self.number);
        let api = self.host.local_address(API_PORT);
        let metrics = self.host.local_address(METRICS_PORT);
        let peers: Vec<String> = (0..nodes)
            .filter(|peer| *peer != self.number)
            .map(|peer| format!("\"{}\"", self.network.gossip_address(peer)))
            .collect();
        // Without segmentation offload the kernel counts every packet as it would be on a wire.
        format!(
            "[db]\npath = \"{dir}/state.db\"\nschema_paths = [\"{dir}/schema\"]\n\n\
             [gossip]\naddr = \"{address}\"\nbootstrap = [{}]\nplaintext = true\n\
             disable_gso = true\n\n\
             [api]\naddr = \"{api}\"\n\n\
             [admin]\npath = \"{dir}/admin.sock\"\n\n\
             [telemetry.prometheus]\naddr = \"{metrics}\"\n",
            peers.join(", ")
        )
    }

    /// Writes the schema that the agent reads when it starts or is told to reload.
    pub fn write_schema(&self, sql: &str) -> Outcome<()> {
        Ok(std::fs::write(self.dir.join("schema/fleet.sql"), sql)?)
    }

    /// Starts the agent.
    pub fn start(&mut self) -> Outcome<()> {
        let log = File::options().create(true).append(true).open(self.dir.join("agent.log"))?;
        let mut command = self.host.command(&self.program);
        command.arg("--config").arg(self.config()).arg("agent").env("RUST_LOG", "warn");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn()?);
        Ok(())
    }

    /// Runs one of the agent's own commands, such as `reload`.
    pub fn tell(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = self.host.command(&self.program);
        let output = command.arg("--config").arg(self.config()).args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return fail(format!("corrosion {} on {}: {said}", arguments.join(" "), self.name()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks the agent to end, and waits for it.
    pub fn stop(&mut self) -> Outcome<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let asked = Instant::now();
        while process.try_wait()?.is_none() {
            if asked.elapsed() > STOP_PATIENCE {
                process.kill()?;
                process.wait()?;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the agent, as a power cut would.
    pub fn kill(&mut self) -> Outcome<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// The last lines of the agent's log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Fails where the agent has ended by itself.
    pub fn check(&mut self) -> Outcome<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            return fail(format!(
                "the agent of {} ended: {status}\n{}",
                self.name(),
                self.log_tail()
            ));
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("fleet: {}", error.0);
        }
    }
}
