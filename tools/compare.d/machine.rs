//! When and on what this was measured.

use serde::Serialize;

use crate::failed::Outcome;

/// The line above every table.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// UTC.
    pub date: String,
    /// As the kernel names it.
    pub cpu: String,
    /// Those this process may use.
    pub cores: usize,
    /// Of this process, and of dotfill built from the same tree.
    pub sqlite: String,
}

/// Looks around.
pub fn machine() -> Outcome<Machine> {
    let connection = rusqlite::Connection::open_in_memory()?;
    let date = connection.query_row("SELECT datetime('now')", [], |row| row.get(0))?;
    let cores = std::thread::available_parallelism()?.get();
    Ok(Machine { date, cpu: cpu(), cores, sqlite: rusqlite::version().into() })
}

fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

/// Microseconds per row that an expression costs, without writing anything.
pub fn cost_us(fixture: &std::path::Path, value: &str) -> Outcome<f64> {
    let connection = crate::sqlite::connect(fixture, None)?;
    let rows: i64 = connection.query_row("SELECT count(*) FROM machines", [], |row| row.get(0))?;
    let seconds = |expression: &str| -> Outcome<f64> {
        let began = std::time::Instant::now();
        let sql = format!("SELECT sum(length({expression})) FROM machines");
        connection.query_row(&sql, [], |_| Ok(()))?;
        Ok(began.elapsed().as_secs_f64())
    };
    let reading = seconds("note")?;
    Ok((seconds(value)? - reading) * 1e6 / rows as f64)
}
