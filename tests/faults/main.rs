//! Faults of the file system at each of its operations: the process is killed, the operation fails,
//! or is slow. The real binary runs, with a library before the C library (`shim.c`) that counts the
//! operations of an undisturbed command, and then has each of them go wrong.
//!
//! The ordinary run tries some of the operations; `DOTFILL_FAULTS=all` tries every one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared by several suites")]
mod common;

#[macro_use]
mod cases;
mod scene;
mod shim;

mod a_kill_at_any_file_operation_is_resumed;
mod a_slow_disk_changes_nothing;
mod an_error_at_any_file_operation_is_told_and_resumed;
mod others_write_meanwhile;
mod random_kills_end_equal;
