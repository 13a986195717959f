//! `digest` on every node, and `verify --against` between them.

use std::path::PathBuf;

use super::scene::{agree, drain, ensure, fleet, rest};
use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::foreground::touch;
use crate::options::Options;
use crate::program::{self, argument};

/// The trial.
pub fn against(options: &Options) -> Outcome<String> {
    let mut fleet = fleet(options)?;
    if !fleet.network.is_real() {
        return fail("a link can only be cut as root, between network namespaces");
    }
    drain(&fleet)?;
    let last = fleet.nodes.len() - 1;
    let files = digests(&fleet)?;
    for file in &files {
        verdict(&fleet, last, file, 0, "equal")?;
    }

    // In flight: the last node has not heard of what was written on the first.
    fleet.network.set_link(last, false)?;
    touch(&fleet.nodes[0].api, 7, "app", "elsewhere")?;
    touch(&fleet.nodes[0].api, 8, "owner", "somebody")?;
    drain(&fleet)?;
    let files = digests(&fleet)?;
    verdict(&fleet, last, &files[0], 1, "inconclusive")?;
    fleet.network.set_link(last, true)?;
    rest(&mut fleet)?;
    drain(&fleet)?;
    let files = digests(&fleet)?;
    verdict(&fleet, last, &files[0], 0, "equal")?;

    // Diverged: somebody changed a cell of ours on one node, behind the agent's back.
    spoil(&fleet, last)?;
    verdict(&fleet, 0, &digests(&fleet)?[last], 3, "diverged")?;
    drain(&fleet)?;
    agree(&fleet)?;
    let size = std::fs::metadata(&files[0])?.len();
    ensure(size <= 16 << 10, format!("a digest has {size} bytes"))?;
    Ok(format!("a digest has {size} bytes"))
}

fn digests(fleet: &Fleet) -> Outcome<Vec<PathBuf>> {
    let digest = |node: &crate::node::Node| {
        let text = program::run(fleet, node, "digest", &[])?.expect(0)?.stdout;
        let file = node.dir.join("digest.json");
        std::fs::write(&file, text)?;
        Ok(file)
    };
    fleet.nodes.iter().map(digest).collect()
}

fn verdict(
    fleet: &Fleet,
    node: usize,
    file: &std::path::Path,
    code: i32,
    word: &str,
) -> Outcome<serde_json::Value> {
    let node = &fleet.nodes[node];
    let arguments = ["--against", argument(file), "--json"];
    let report = program::run(fleet, node, "verify", &arguments)?.expect(code)?.json()?;
    ensure(report["verdict"] == word, format!("the verdict is {report}"))?;
    Ok(report)
}

/// Changes one derived cell without any trigger noticing.
fn spoil(fleet: &Fleet, node: usize) -> Outcome<()> {
    let connection = rusqlite::Connection::open(fleet.nodes[node].db())?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    let key = crate::schema::key(99);
    connection.execute("UPDATE machines SET owner = 'spoilt' WHERE id = ?1", [key])?;
    Ok(())
}
