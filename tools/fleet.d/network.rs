//! The network between the agents: as root, a namespace per node, joined by veth pairs to a bridge in
//! a namespace of its own, so that the kernel counts what each node sends and a link can be cut;
//! otherwise loopback addresses, where neither is possible.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::failed::{Outcome, fail};

/// What all namespaces of this program are called, before its process number.
const PREFIX: &str = "dotfill-fleet-";

/// Networks that this process has made.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// The network of one fleet. Its namespaces go when it is dropped.
pub enum Network {
    /// One namespace per node, and one for the bridge.
    Namespaces {
        /// What the names of all of them begin with.
        prefix: String,
        /// How many nodes there are.
        nodes: usize,
    },
    /// Addresses 127.77.0.1 and up.
    Loopback,
}

/// The host of one node: where its clients open their sockets.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Option<String>,
    address: String,
}

impl Host {
    /// Where the node listens on its own loopback device, at `port`.
    pub fn local_address(&self, port: u16) -> String {
        format!("{}:{port}", self.address)
    }

    /// A program that will run on this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// Has this thread open its sockets on this host from now on.
    pub fn enter(&self) -> Outcome<()> {
        if let Some(namespace) = &self.namespace {
            let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        Ok(())
    }
}

impl Network {
    /// Namespaces where this process may make some, else loopback.
    pub fn create(nodes: usize) -> Outcome<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Loopback);
        }
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{made}", std::process::id());
        let hub = format!("{prefix}-hub");
        let network = Self::Namespaces { prefix: prefix.clone(), nodes };
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "br0", "up"])?;
        (0..nodes).try_for_each(|node| join(&prefix, node))?;
        Ok(network)
    }

    /// The host of a node.
    pub fn host(&self, node: usize) -> Host {
        match self {
            Self::Namespaces { prefix, .. } => {
                Host { namespace: Some(namespace(prefix, node)), address: "127.0.0.1".to_owned() }
            }
            Self::Loopback => Host { namespace: None, address: format!("127.77.0.{}", node + 1) },
        }
    }

    /// Where a node listens for its peers.
    pub fn gossip_address(&self, node: usize) -> String {
        match self {
            Self::Namespaces { .. } => format!("10.77.0.{}:8787", node + 1),
            Self::Loopback => format!("127.77.0.{}:8787", node + 1),
        }
    }

    /// The bytes that `node` has sent to others, all headers included, as the kernel counted them.
    pub fn bytes_sent(&self, node: usize) -> Outcome<Option<u64>> {
        let Self::Namespaces { prefix, .. } = self else { return Ok(None) };
        let text =
            ip(&["-n", &namespace(prefix, node), "-s", "-j", "link", "show", "dev", "eth0"])?;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        match links[0]["stats64"]["tx"]["bytes"].as_u64() {
            Some(bytes) => Ok(Some(bytes)),
            None => fail(format!("`ip -s -j link` gave no counters: {text}")),
        }
    }

    /// True where links can be cut and bytes are counted.
    pub fn is_real(&self) -> bool {
        matches!(self, Self::Namespaces { .. })
    }

    /// Cuts the link of a node, or joins it again.
    pub fn set_link(&self, node: usize, up: bool) -> Outcome<()> {
        let Self::Namespaces { prefix, .. } = self else {
            return fail("a link can only be cut as root, between network namespaces");
        };
        let state = if up { "up" } else { "down" };
        ip(&["-n", &format!("{prefix}-hub"), "link", "set", &port(node), state]).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Self::Namespaces { prefix, nodes } = self {
            let hub = format!("{prefix}-hub");
            for name in (0..*nodes).map(|node| namespace(prefix, node)).chain([hub]) {
                if let Err(error) = ip(&["netns", "delete", &name]) {
                    eprintln!("fleet: {}", error.0);
                }
            }
        }
    }
}

/// Removes the namespaces of fleets whose process is gone, with the agents in them.
pub fn remove_abandoned() -> Outcome<usize> {
    if !rustix::process::geteuid().is_root() {
        return Ok(0);
    }
    let text = ip(&["netns", "list"])?;
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    let mut removed = 0;
    for name in names.filter(|name| is_abandoned(name)) {
        for pid in ip(&["netns", "pids", name])?.split_whitespace() {
            Command::new("kill").arg(pid).status()?;
        }
        ip(&["netns", "delete", name])?;
        removed += 1;
    }
    Ok(removed)
}

fn is_abandoned(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
}

fn join(prefix: &str, node: usize) -> Outcome<()> {
    let (name, hub, port) = (namespace(prefix, node), format!("{prefix}-hub"), port(node));
    ip(&["netns", "add", &name])?;
    let pair = ["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0"];
    ip(&[&pair[..], &["netns", &name]].concat())?;
    ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"])?;
    let address = format!("10.77.0.{}/24", node + 1);
    ip(&["-n", &name, "address", "add", &address, "dev", "eth0"])?;
    ip(&["-n", &name, "link", "set", "eth0", "up"])?;
    ip(&["-n", &name, "link", "set", "lo", "up"]).map(drop)
}

fn namespace(prefix: &str, node: usize) -> String {
    format!("{prefix}-{}", node + 1)
}

fn port(node: usize) -> String {
    format!("p{}", node + 1)
}

fn ip(arguments: &[&str]) -> Outcome<String> {
    let output = match Command::new("ip").args(arguments).output() {
        Ok(output) => output,
        Err(error) => return fail(format!("cannot run ip (Debian: iproute2): {error}")),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return fail(format!("`ip {}`: {}", arguments.join(" "), said.trim()));
    }
    Ok(String::from_utf8(output.stdout)?)
}
