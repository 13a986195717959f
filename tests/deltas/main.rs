//! Delta chains: what is written is read back, whatever is damaged is found, and what it costs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chain;

mod a_chain_continues_where_it_ended;
mod a_chain_is_read_back_from_a_folder_and_from_a_stream;
mod a_chain_of_an_independent_implementation_is_read;
mod any_damage_names_file_and_offset;
mod every_later_release_reads_the_fixtures;
mod no_input_makes_the_reader_panic;
mod rows_cost_few_bytes;
