//! What the engine does to real databases, called as a library; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
mod job;
mod watch;

mod a_kill_at_any_commit_is_resumed;
mod a_schema_change_by_others_is_met_at_every_commit;
mod dots_are_those_of_an_independent_implementation;
mod every_key_kind_is_filled_and_followed;
mod limits_hold;
mod what_cannot_be_filled_is_refused_and_unchanged;
