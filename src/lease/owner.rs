//! Who a process is, and whether it still lives. Never guesses: what cannot be known lives.
//!
//! A host name and a process number are not enough. Numbers are given again; containers on one
//! host may share a name and each have a process 7; and a machine may have been started anew. So a
//! process also says its *place*, the boot of the kernel and the namespace of its numbers, and when
//! it was started there, in clock ticks since that boot. Only who is at the same place can tell that
//! a process is gone; anybody else waits for the heartbeat.

use std::fs;

/// A process, as the lease names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its host's name.
    pub host: String,
    /// Its number there.
    pub pid: i64,
    /// Boot and namespace that the number belongs to; `None` where the system does not tell.
    pub place: Option<String>,
    /// When it was started, in clock ticks since the boot.
    pub started: Option<i64>,
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = i64::from(std::process::id());
        let started = stat(pid).map(|stat| stat.started);
        Self { host: this_host(), pid, place: this_place(), started }
    }

    /// True where it is certain that the process is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        if self.host != this_host() {
            return false;
        }
        match (&self.place, this_place()) {
            (Some(theirs), Some(ours)) if *theirs == ours => {}
            // An older release did not say its place.
            (None, _) => return !is_alive(self.pid),
            _ => return false,
        }
        match (stat(self.pid), self.started) {
            (Some(now), _) if now.is_over => true,
            (Some(now), Some(started)) => now.started != started,
            _ => !is_alive(self.pid),
        }
    }
}

/// This machine's host name.
#[must_use]
pub fn this_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The boot of this kernel and our namespace of process numbers.
fn this_place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    /// It has ended, and its parent has not looked yet.
    is_over: bool,
    started: i64,
}

fn stat(pid: i64) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 3 is the state and field 22 the start; the name in field 2 may hold anything.
fn parse(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { is_over: matches!(state, "Z" | "X" | "x"), started })
}

fn is_alive(pid: i64) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        // EPERM means that it lives and belongs to somebody else.
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives() {
        assert!(!Owner::this().is_dead());
        assert!(!Owner { place: None, started: None, ..Owner::this() }.is_dead());
    }

    #[test]
    fn a_number_that_nobody_has_is_dead() {
        assert!(Owner { pid: 2_147_483_646, ..Owner::this() }.is_dead());
    }

    #[test]
    fn a_number_that_was_given_again_is_dead() {
        let this = Owner::this();
        let started = this.started.map(|started| started - 1);
        assert!(started.is_some());
        assert!(Owner { started, ..this }.is_dead());
    }

    #[test]
    fn a_number_of_another_place_may_live() {
        let gone = Owner { pid: 2_147_483_646, ..Owner::this() };
        assert!(!Owner { place: Some("elsewhere".to_owned()), ..gone.clone() }.is_dead());
        assert!(!Owner { host: "elsewhere".to_owned(), ..gone }.is_dead());
    }

    #[test]
    fn a_process_that_nobody_has_reaped_is_dead() {
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let pid = i64::from(child.id());
        let owner = Owner { pid, started: stat(pid).map(|s| s.started), ..Owner::this() };
        while stat(pid).is_some_and(|stat| !stat.is_over) {
            std::thread::yield_now();
        }
        assert!(owner.is_dead());
        child.wait().expect("its end");
    }

    #[test]
    fn a_name_with_parentheses_is_no_trap() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 0 0";
        let stat = parse(&format!("42 (a) b (c)) {rest}"));
        assert_eq!(stat, Some(Stat { is_over: false, started: 777 }));
    }
}
