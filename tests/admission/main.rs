//! Admission of operations over a database: what it remembers, what waits, what was refused, and
//! the commands, as a user types them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests of replicas")]
mod common;
mod projects;

mod a_decision_is_remembered;
mod a_full_buffer_refuses_and_says_so;
mod a_kill_at_any_commit_loses_no_decision;
mod a_migration_that_was_taken_back_says_nothing;
mod duplicates_in_any_order_end_equal;
mod lines_are_answered_one_by_one;
mod old_decisions_are_forgotten;
mod refusals_wait_for_an_operator;
mod what_waits_is_admitted_when_it_arrives;
