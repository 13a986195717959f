//! A cluster of agents: started, joined, loaded, told of schemas, and taken down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::failed::{Failed, Outcome, fail};
use crate::network::Network;
use crate::node::Node;
use crate::options::Options;
use crate::{census, schema};

/// How long agents may take to start, to join, and to agree about what was loaded.
const JOIN_PATIENCE: Duration = Duration::from_mins(3);

/// Set by Ctrl-C; everything that waits looks at it.
pub static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Has Ctrl-C and SIGTERM end whatever waits, so that agents and namespaces go in good order.
pub fn end_on_signals() -> Outcome<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&*INTERRUPTED))?;
    }
    Ok(())
}

/// Nodes that know each other.
pub struct Fleet {
    /// The nodes, by number.
    pub nodes: Vec<Node>,
    /// What joins them; outlives them.
    pub network: Arc<Network>,
    /// The dotfill program.
    pub dotfill: PathBuf,
    /// The migration file.
    pub migration: PathBuf,
}

impl Fleet {
    /// Starts a fleet whose table was loaded, by an earlier fleet of the same size where there was
    /// one, and waits until every node hears every other.
    pub fn loaded(options: &Options, rows: u64) -> Outcome<Self> {
        let saved = options.work.join(format!("loaded-{}-{rows}", options.nodes));
        if !saved.join("done").exists() {
            load(options, rows, &saved)?;
        }
        let run = options.work.join("run");
        remove_folder(&run)?;
        for node in 0..options.nodes {
            copy_node(&saved, &run, node)?;
        }
        let mut fleet = Self::prepare(options, &run, options.nodes)?;
        fleet.start()?;
        Ok(fleet)
    }

    /// Nodes in folders below `at`, not started.
    fn prepare(options: &Options, at: &Path, nodes: usize) -> Outcome<Self> {
        std::fs::create_dir_all(at)?;
        let at = std::fs::canonicalize(at)?;
        let network = Arc::new(Network::create(options.nodes + 1)?);
        let prepare = |number| {
            let dir = at.join(format!("n{}", number + 1));
            Node::prepare(number, options.nodes, dir, &options.agent, &network)
        };
        let nodes = (0..nodes).map(prepare).collect::<Outcome<Vec<_>>>()?;
        let migration = at.join("machines-owner.toml");
        std::fs::write(&migration, schema::MIGRATION)?;
        let dotfill = std::fs::canonicalize(&options.dotfill)?;
        Ok(Self { nodes, network, dotfill, migration })
    }

    fn start(&mut self) -> Outcome<()> {
        for node in &mut self.nodes {
            if !node.dir.join("schema/fleet.sql").exists() {
                node.write_schema(&schema::schema(false, &[]))?;
            }
            node.start()?;
        }
        self.wait_until_joined()
    }

    /// Waits until what each node writes is seen on every other.
    pub fn wait_until_joined(&mut self) -> Outcome<()> {
        for writer in 0..self.nodes.len() {
            let beat = fresh_beat()?;
            self.wait_for(JOIN_PATIENCE, "the agents to start", |fleet| {
                let insert = format!("INSERT INTO beats (id) VALUES ({beat})");
                Ok(fleet.nodes[writer].api.execute(&insert).is_ok())
            })?;
            self.wait_for(JOIN_PATIENCE, "the agents to hear each other", |fleet| {
                let heard = |node: &Node| census::has_beat(&node.db(), beat);
                fleet.nodes.iter().map(heard).try_fold(true, |all, one| Ok(all && one?))
            })?;
        }
        Ok(())
    }

    /// Waits until `done` says so, looking ten times a second.
    pub fn wait_for(
        &mut self,
        patience: Duration,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Outcome<bool>,
    ) -> Outcome<Duration> {
        let began = Instant::now();
        while !done(self)? {
            if INTERRUPTED.load(Ordering::Relaxed) {
                return fail("interrupted");
            }
            if began.elapsed() > patience {
                return fail(format!("waited {} s for {what}", patience.as_secs()));
            }
            self.nodes.iter_mut().try_for_each(Node::check)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(began.elapsed())
    }

    /// Adds the column as an operator would: the schema file, then `corrosion reload`, on every node.
    pub fn add_column(&self, later: &[&str]) -> Outcome<()> {
        self.nodes.iter().try_for_each(|node| {
            node.write_schema(&schema::schema(true, later))?;
            node.tell(&["reload"]).map(drop)
        })
    }

    /// Joins a node that has never been there; the schema is that of the others.
    pub fn join_another(&mut self, options: &Options) -> Outcome<()> {
        let number = self.nodes.len();
        let dir = self.nodes[0].dir.with_file_name(format!("n{}", number + 1));
        let mut node = Node::prepare(number, number, dir, &options.agent, &self.network)?;
        let sql = std::fs::read_to_string(self.nodes[0].dir.join("schema/fleet.sql"))?;
        node.write_schema(&sql)?;
        node.start()?;
        self.nodes.push(node);
        Ok(())
    }

    /// The bytes that all nodes have sent to each other; `None` where they are not counted.
    pub fn bytes_sent(&self) -> Outcome<Option<u64>> {
        let mut total = Some(0);
        for node in &self.nodes {
            let one = self.network.bytes_sent(node.number)?;
            total = total.zip(one).map(|(total, one)| total + one);
        }
        Ok(total)
    }

    /// Change records made in the migrated table on each node since its agent started.
    pub fn records(&self) -> Outcome<Vec<u64>> {
        self.nodes.iter().map(|node| node.api.local_records("machines")).collect()
    }

    /// Ends every agent in good order.
    pub fn stop(&mut self) -> Outcome<()> {
        self.nodes.iter_mut().try_for_each(Node::stop)
    }
}

/// Fills the table through the API of the first node, waits until all have it, and keeps the files.
fn load(options: &Options, rows: u64, saved: &Path) -> Outcome<()> {
    eprintln!("fleet: loads {rows} rows into {} nodes, once", options.nodes);
    remove_folder(saved)?;
    let mut fleet = Fleet::prepare(options, saved, options.nodes)?;
    fleet.start()?;
    let numbers: Vec<u64> = (0..rows).collect();
    for chunk in numbers.chunks(usize::try_from(schema::LOAD_ROWS)?) {
        let inserts: Vec<_> = chunk.iter().map(|row| schema::insert(*row)).collect();
        fleet.nodes[0].api.transact(&inserts)?;
        if INTERRUPTED.load(Ordering::Relaxed) {
            return fail("interrupted");
        }
    }
    fleet.wait_for(JOIN_PATIENCE, "the rows to be everywhere", |fleet| {
        let full = |node: &Node| Ok::<_, Failed>(census::rows(&node.db())? == rows);
        fleet.nodes.iter().map(full).try_fold(true, |all, one| Ok(all && one?))
    })?;
    fleet.stop()?;
    drop(fleet);
    Ok(std::fs::write(saved.join("done"), "")?)
}

fn copy_node(saved: &Path, run: &Path, node: usize) -> Outcome<()> {
    let name = format!("n{}", node + 1);
    let (from, to) = (saved.join(&name), run.join(&name));
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        let file = entry.file_name();
        if file.to_string_lossy().starts_with("state.db") {
            std::fs::copy(entry.path(), to.join(file))?;
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Outcome<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A number that no beat has had.
fn fresh_beat() -> Outcome<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_micros())?)
}
