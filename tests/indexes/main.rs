//! Changes of kind `index`, on real databases, called as a library; one behaviour per file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
#[path = "../engine/job.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod job;
mod scene;
#[path = "../engine/steal.rs"]
mod steal;
#[path = "../engine/watch.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod watch;

mod a_damaged_index_is_found;
mod a_kill_at_any_commit_is_resumed;
mod a_long_build_keeps_its_lease;
mod a_replaced_runner_of_an_index_writes_nothing;
mod an_index_counts_by_its_definition;
mod an_index_is_built_and_proven_on_every_key;
mod an_index_of_a_replicated_table_harms_nothing;
mod only_what_was_built_is_dropped;
mod several_changes_stop_at_the_first_that_is_not_proven;
mod what_stands_in_the_way_is_named_and_nothing_built;
