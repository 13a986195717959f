//! When and on what this was measured.

use crate::failed::Outcome;

/// The line above every table.
pub struct Machine {
    /// UTC.
    pub date: String,
    /// As the kernel names it.
    pub cpu: String,
    /// Those this process may use.
    pub cores: usize,
}

/// Looks around.
pub fn machine() -> Outcome<Machine> {
    let connection = rusqlite::Connection::open_in_memory()?;
    let date = connection.query_row("SELECT datetime('now')", [], |row| row.get(0))?;
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cpu = model.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into());
    Ok(Machine { date, cpu, cores: std::thread::available_parallelism()?.get() })
}
