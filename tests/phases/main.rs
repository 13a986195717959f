//! Modes, epochs and gates, through the binary and on real replicas; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod common;
mod plain;
mod scenario;
#[path = "../engine/steal.rs"]
mod steal;
#[path = "../engine/watch.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod watch;

mod a_closed_epoch_of_a_plain_database_refuses_old_writes;
mod a_closed_epoch_of_child_tables_refuses_old_writes;
mod a_closed_epoch_refuses_old_writes_and_nothing_else;
mod a_cohort_closes_its_own_objects_only;
mod a_full_alter_of_the_adds_is_reported;
mod a_gate_names_what_fails;
mod a_kill_at_any_commit_is_resumed;
mod a_replaced_runner_of_a_mode_writes_nothing;
mod a_snapshot_holds_the_new_form;
mod beside_a_corrosion_agent_nothing_is_published;
mod cohorts_are_those_of_an_independent_implementation;
mod compaction_leaves_nothing_that_comes_back;
mod deltas_of_a_closed_epoch;
mod doctor_and_verify_know_epochs;
mod quarantined_writes_are_replayed_or_dropped;
mod rollback_says_what_blocks_it;
mod sets_live_on_the_command_line;
mod status_tells_what_became_of_old_writes;
mod the_end_leaves_the_new_form_alone;
mod the_worked_example_ends_with_vip_only;
mod what_others_cannot_derive_is_published;
