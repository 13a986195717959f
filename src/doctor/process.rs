//! Processes as people know them.

/// `12345 (name)`, or the number alone where the system does not tell the name.
pub(super) fn name(pid: i64) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(comm) if !comm.trim().is_empty() => format!("{pid} ({})", comm.trim()),
        _ => pid.to_string(),
    }
}

/// `process 1 (a)`, `processes 1 (a), 2 (b)`.
pub(super) fn names(pids: &[i32]) -> String {
    let names: Vec<String> = pids.iter().map(|pid| name(i64::from(*pid))).collect();
    let noun = if names.len() == 1 { "process" } else { "processes" };
    format!("{noun} {}", names.join(", "))
}
