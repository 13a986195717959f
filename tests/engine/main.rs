//! What the engine does to real databases, called as a library; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
mod deltas;
mod job;
mod steal;
mod watch;

mod a_block_without_keys_that_is_forged_writes_nothing;
mod a_comparison_beside_writers_finds_no_false_divergence;
mod a_comparison_reads_little_more_than_what_differs;
mod a_damaged_or_foreign_chain_is_refused_and_writes_nothing;
mod a_digest_does_not_depend_on_where_rows_are_stored;
mod a_fed_replica_lives_on;
mod a_kill_at_any_commit_is_resumed;
mod a_kill_of_a_run_with_deltas_is_resumed;
mod a_kill_of_export_or_apply_is_resumed;
mod a_replaced_runner_writes_nothing;
mod a_schema_change_by_others_is_met_at_every_commit;
mod a_value_is_compared_as_it_is_stored;
mod an_expression_that_fails_names_the_row;
mod apply_follows_a_chain_that_grows;
mod claims_follow_the_rows;
mod concurrent_writers_end_right;
mod deltas_are_shipped_while_a_run_fills;
mod deltas_imply_keys_that_the_receiver_has;
mod deltas_meet_users_and_missing_rows;
mod deltas_of_several_changes_and_beside_triggers;
mod digests_are_those_of_an_independent_implementation;
mod dots_are_those_of_an_independent_implementation;
mod every_key_kind_is_filled_and_followed;
mod key_digests_are_those_of_an_independent_implementation;
mod limits_hold;
mod random_histories_agree_with_a_model;
mod random_histories_of_two_replicas_end_equal;
mod random_pairs_of_replicas_are_compared_as_a_model_says;
mod replicas_of_every_key_kind_are_compared;
mod rows_that_share_a_null_key_are_told_apart;
mod triggers_of_the_application_fire_or_are_asked_for;
mod virtual_and_elide_write_no_row;
mod what_cannot_be_filled_is_refused_and_unchanged;
mod what_others_wrote_unnoticed_is_mended;
