//! No text makes the parser panic, and every message begins with the file.

use proptest::prelude::*;

use super::super::parse_bytes;
use super::or_set::SET;
use super::{FULL, parse};

/// Pieces from which the property test builds files that get past the TOML parser.
const PIECES: &str = "id = |epoch = |[budget]\n|[[change]]\n|kind = 'column'\n|table = |column = |\
    type = |value = |where = |delivery = |writable = false\n|change = |budget.|wire_bytes_max = |\
    change_records_per_row_max = |'a'\n|\"\\u0000\"\n|'TEXT (1'\n|5\n|-1\n|nan\n|[1]\n|{ a = 1 }\n|\
    \"\"\"|\n|kind = 'or_set'\n|source = |format = 'json'\n|source_table = 't'\n|source_key = |['k', 1]\n|\
    element = 'e'\n|adds = 'a'\n|removes = 'r'\n|view = 'v'\n|malformed = 'skip'\n|kind = 'index'\n|name = |columns = |\
    expressions = |unique = true\n|=|.|\u{e9}|'virtual'\n|2026-11-21\n";

fn assert_names_file(text: &str) {
    if let Err(error) = parse(text) {
        assert!(error.to_string().starts_with("m.toml"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        assert_names_file(&text);
        assert_eq!(parse_bytes(&text).ok(), parse_bytes(text.trim()).ok());
    }

    #[test]
    fn no_sequence_of_pieces_panics(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let pieces: Vec<&str> = PIECES.split('|').collect();
        assert_names_file(&picks.iter().map(|pick| *pick.get(&pieces)).collect::<String>());
    }

    #[test]
    fn no_damage_to_a_good_file_panics(at in 0..FULL.len(), cut in 0..40_usize, new in ".{0,6}") {
        let end = (at + cut).min(FULL.len());
        assert_names_file(&[&FULL[..at], &new, &FULL[end..]].concat());
    }

    #[test]
    fn no_damage_to_a_good_set_panics(at in 0..SET.len(), cut in 0..40_usize, new in ".{0,6}") {
        let end = (at + cut).min(SET.len());
        assert_names_file(&[&SET[..at], &new, &SET[end..]].concat());
    }
}
