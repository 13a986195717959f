//! Bugs that other tools for online changes have had, each as a test that dotfill does not have it. A
//! test that passes without what it tests is one of those bugs, so each file says what was taken out
//! to see it fail, and what was seen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests of other kinds")]
mod common;
#[path = "../engine/job.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod job;
#[path = "../command_line/tool.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod tool;
#[path = "../engine/watch.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod watch;

mod a_checkpoint_is_small_and_costs_no_commit;
mod a_checkpoint_that_cannot_be_written_ends_the_job;
mod a_fill_ends_while_others_insert;
mod a_reader_that_holds_the_wal_is_named;
mod a_resumed_run_shows_what_was_done;
mod every_test_here_was_seen_to_fail;
mod percentages_and_times_hold_with_sparse_keys;
mod the_last_range_says_nothing_of_earlier_ones;
