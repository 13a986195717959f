//! Scenarios on real cr-sqlite replicas, one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod common;
mod scenario;

mod a_change_that_fails_for_good_is_taken_back;
mod a_corrosion_agent_that_is_behind_pauses_the_job;
mod a_corrosion_backup_of_a_filled_node_is_filled;
mod a_late_joiner_is_fed_by_deltas;
mod a_ramp_grows_over_corrosion_nodes;
mod a_row_noted_twice_harms_no_write;
mod a_stuck_corrosion_agent_is_told_by_doctor;
mod an_interrupt_is_heard_while_others_hold_the_write_lock;
mod another_cr_sqlite_version_is_refused;
mod change_of_a_primary_key_ends_equal;
mod close_drains_and_stops_following;
mod corrosion_is_respected;
mod delete_and_reinsert_is_filled_again;
mod expression_error_harms_no_write;
mod follow_drains_until_it_is_interrupted;
mod forget_leaves_no_trace_but_the_column;
mod full_alter_after_the_run_is_reported;
mod insert_by_a_client_that_does_not_know_the_column_is_filled;
mod insert_or_replace_and_upsert_end_equal;
mod live_connections_learn_the_column;
mod merge_equal_values_changes_nothing;
mod native_records_equal_the_extensions_own;
mod null_set_by_a_user_stays_null;
mod older_sqlite_reads_and_writes;
mod recursive_triggers_harm_no_write;
mod replicas_are_compared;
mod rollback_takes_back_only_what_is_ours;
mod source_and_target_set_in_one_update;
mod ten_differing_rows_move_little;
mod the_deltas_of_a_run_meet_what_is_merged;
mod unique_target_harms_no_write;
mod user_write_after_the_run_wins;
mod user_write_before_the_run_is_kept;
mod user_write_during_the_run_is_kept;
mod user_write_wins_over_native;
