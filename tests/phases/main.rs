//! Modes, epochs and gates, through the binary and on real replicas; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod common;
mod scenario;

mod a_closed_epoch_refuses_old_writes_and_nothing_else;
mod the_worked_example_ends_with_vip_only;
