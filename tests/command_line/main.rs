//! The command line as a script sees it: exit codes, messages, JSON, and what the file holds after.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod tool;

mod a_failed_row_is_told_to_everyone_who_waits;
mod a_look_can_be_interrupted;
mod a_migration_lives_from_run_to_forget;
mod a_read_only_file_can_be_looked_at;
mod a_refusal_names_what_is_wrong_and_changes_nothing;
mod a_run_can_be_stopped_and_continued;
mod a_run_streams_deltas;
mod a_signal_is_heard_while_others_hold_the_lock;
mod deltas_go_without_keys;
mod help_is_as_recorded;
mod inspect_needs_little_memory;
mod inspect_says_what_deltas_hold;
mod large_values_are_shipped_in_small_pieces;
mod many_processes_do_the_work_once;
mod others_open_and_close_the_database_meanwhile;
mod output_goes_where_it_belongs;
mod processes_wait_for_one_proof;
mod replicas_are_compared;
mod some_rows_are_exported_once;
mod verify_finds_what_differs;
mod what_fails_for_good_is_taken_back;
