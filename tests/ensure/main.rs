//! `dotfill ensure` against a real `PostgreSQL`, which the tests start themselves; one behaviour
//! per file. A server that is not installed fails them, with what installs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared by several suites")]
mod common;
mod scene;
mod server;
mod sql;

mod a_build_begun_by_others_is_waited_for;
mod a_killed_caller_loses_nothing;
mod a_lock_held_by_others_is_named;
mod a_signal_takes_back_what_was_begun;
mod a_unique_violation_is_told_to_all;
mod an_invalid_index_is_built_anew;
mod another_definition_is_refused;
mod connections_are_as_the_url_says;
mod eight_callers_build_once;
mod several_indexes_are_built_in_order;
mod status_says_what_is_there;
mod the_lease_for_cockroachdb_works_on_postgresql;
mod the_server_restarts_meanwhile;
mod timeouts_of_others_do_not_break_a_build;
mod what_cannot_be_built_is_refused;
