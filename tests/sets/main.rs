//! Changes of kind `or_set`, on real databases, called as a library; one behaviour per file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
mod deltas;
#[allow(dead_code, reason = "not every test uses all of it")]
mod set;
#[path = "../engine/steal.rs"]
mod steal;
#[path = "../engine/watch.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod watch;

mod a_kill_at_any_commit_is_resumed;
mod a_kill_of_shipped_sets_is_resumed;
mod a_last_proof_of_a_set_hears_signals;
mod a_replaced_runner_of_a_set_writes_nothing;
mod a_run_ships_the_sets_that_it_fills;
mod a_set_that_fails_for_good_is_taken_back;
mod concurrent_writers_end_right;
mod every_form_and_key_is_translated;
mod random_histories_agree_with_a_model;
mod random_histories_of_two_replicas_end_equal;
mod replicas_are_compared_and_doctored;
mod replicas_converge;
mod sets_are_read_as_an_independent_implementation_does;
mod sets_are_shipped_to_replicas_that_cannot_derive;
mod shipped_sets_meet_replication;
mod the_plan_of_a_set_is_what_it_costs;
mod what_does_not_fit_is_refused_and_unchanged;
mod what_is_malformed_is_named_or_counted;
