//! Messages about the file's shape: TOML syntax, keys that are unknown, missing, given twice, or
//! have a value of another type.

use super::{check, refusal, with};

#[test]
fn what_is_no_toml_is_named_by_line() {
    check(&[
        (
            "id",
            "id = machines",
            "m.toml:2: not valid TOML: string values must be quoted, expected literal string; \
             correct \"id = machines\"",
        ),
        (
            "type",
            "type",
            "m.toml:14: not valid TOML: key with no value, expected `=`; \
             correct \"type\"",
        ),
    ]);
    let open = refusal("id = \"a\"\nepoch = \"\"\"\n");
    assert!(open.starts_with("m.toml:"), "{open}");
    assert!(open.contains("not valid TOML: invalid multi-line basic string"), "{open}");
    assert!(refusal("\u{feff}id = 5").starts_with("m.toml:1: \"id\" must be a string"));
    let deep = refusal(&format!("id = {}", "[".repeat(500)));
    assert!(deep.starts_with("m.toml:1: not valid TOML: "), "{deep}");
}

#[test]
fn a_key_given_twice_is_refused() {
    check(&[
        ("type", "table = 't'", "m.toml:14: \"table\" is given twice; remove one of the two"),
        ("epoch", "id = 'a'", "m.toml:3: \"id\" is given twice; remove one of the two"),
        ("wire", "[budget]", "m.toml:8: \"budget\" is given twice; remove one of the two"),
    ]);
    assert_eq!(
        refusal("id = 'a'\n[change]\n[change]\n"),
        "m.toml:3: \"change\" is given twice; write every [[change]] with two \
         brackets on each side",
    );
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    check(&[
        (
            "epoch",
            "epohc = 'e'",
            "m.toml:3: unknown key \"epohc\" at the top of the file; \
             did you mean \"epoch\"?",
        ),
        (
            "value",
            "vlaue = '1'",
            "m.toml:15: unknown key \"vlaue\" in [[change]]; \
             did you mean \"value\"?",
        ),
        (
            "kind",
            "Kind = 'column'",
            "m.toml:11: unknown key \"Kind\" in [[change]]; \
             did you mean \"kind\"?",
        ),
        (
            "wire",
            "wire_byte_max = 1",
            "m.toml:8: unknown key \"wire_byte_max\" in [budget]; \
             did you mean \"wire_bytes_max\"?",
        ),
        (
            "wire",
            "id = 'b'",
            "m.toml:8: unknown key \"id\" in [budget]; \
             move it to the top of the file, before the first [header]",
        ),
        (
            "epoch",
            "table = 't'",
            "m.toml:3: unknown key \"table\" at the top of the file; \
             move it under a [[change]] header",
        ),
        (
            "where",
            "wire_bytes_max = 5",
            "m.toml:16: unknown key \"wire_bytes_max\" in \
             [[change]]; move it under [budget]",
        ),
        (
            "wire",
            "money = 5",
            "m.toml:8: unknown key \"money\" in [budget]; \
             the keys here are change_records_per_row_max, wire_bytes_max",
        ),
        (
            "epoch",
            "a = 1\nz.b = 2",
            "m.toml:3: unknown key \"a\" at the top of the file; \
             the keys here are id, epoch, minimum_client, budget, change",
        ),
    ]);
    let long = refusal(&with("epoch", &format!("{} = 1", "k".repeat(5000))));
    assert!(long.len() < 300, "{long}");
}

#[test]
fn missing_keys_are_named_with_an_example() {
    check(&[
        (
            "id",
            "",
            "m.toml:1: missing key \"id\" at the top of the file; \
             add id = \"a-name-of-your-choice\"",
        ),
        ("kind", "", "m.toml:10: missing key \"kind\" in [[change]]; add kind = \"column\""),
        (
            "table",
            "",
            "m.toml:10: missing key \"table\" in [[change]]; \
             add table = \"the table to change\"",
        ),
        (
            "column",
            "",
            "m.toml:10: missing key \"column\" in [[change]]; \
             add column = \"the column to fill\"",
        ),
        (
            "type",
            "",
            "m.toml:10: missing key \"type\" in [[change]]; \
             add type = \"TEXT\" or another plain type",
        ),
    ]);
    let no_change = "m.toml:1: there is no [[change]]; add one with kind, table, column and type";
    assert_eq!(refusal("id = 'a'\n"), no_change);
    assert_eq!(refusal("id = 'a'\nchange = []\n"), no_change.replace(":1:", ":2:"));
    assert!(refusal("").starts_with("m.toml:1: missing key \"id\""));
}

#[test]
fn a_text_of_another_toml_type_is_refused_with_the_right_spelling() {
    check(&[
        (
            "value",
            "value = 5",
            "m.toml:15: \"value\" must be a string, not an integer; \
             write SQL in a string: value = \"5\"",
        ),
        (
            "value",
            "value = true",
            "m.toml:15: \"value\" must be a string, not a boolean; \
             write SQL in a string: value = \"true\"",
        ),
        (
            "value",
            "value = 2026-11-21",
            "m.toml:15: \"value\" must be a string, not a date or \
             time; write SQL in a string: value = \"'2026-11-21'\"",
        ),
        (
            "where",
            "where = 1.5",
            "m.toml:16: \"where\" must be a string, not a float; \
             write SQL in a string: where = \"1.5\"",
        ),
        (
            "table",
            "table = ['a']",
            "m.toml:12: \"table\" must be a string, not an array; \
             write one string: table = \"...\"",
        ),
        (
            "id",
            "id = 7",
            "m.toml:2: \"id\" must be a string, not an integer; \
             write it in quotes: id = \"7\"",
        ),
        (
            "minimum",
            "minimum_client = 4.8",
            "m.toml:4: \"minimum_client\" must be a string, not \
             a float; write it in quotes: minimum_client = \"4.8\"",
        ),
    ]);
}

#[test]
fn a_flag_a_number_or_a_section_of_another_toml_type_is_refused() {
    check(&[
        (
            "fill",
            "fill_null = 'yes'",
            "m.toml:18: \"fill_null\" must be true or false, not a \
             string; write fill_null = true or fill_null = false",
        ),
        (
            "writable",
            "writable = 0",
            "m.toml:19: \"writable\" must be true or false, not an \
             integer; write writable = true or writable = false",
        ),
        (
            "wire",
            "wire_bytes_max = 1.5",
            "m.toml:8: \"wire_bytes_max\" must be a size, not a \
             float; write a size such as wire_bytes_max = \"64MiB\"",
        ),
        (
            "change_r",
            "change_records_per_row_max = '1'",
            "m.toml:7: \
             \"change_records_per_row_max\" must be a number, not a string; \
             write a number such as change_records_per_row_max = 1.0",
        ),
        (
            "[[change]]",
            "[change]",
            "m.toml:10: \"change\" must be a list of sections, not a \
             table; write [[change]], with two brackets on each side",
        ),
    ]);
    assert_eq!(
        refusal("id = 'a'\nbudget = 5\nchange = [1]"),
        "m.toml:2: \"budget\" must be a section, not an integer; \
         write [budget] on a line of its own",
    );
    assert_eq!(
        refusal("id = 'a'\nchange = [1]"),
        "m.toml:2: \"change\" must be a list of sections, not an integer; \
         write [[change]], with two brackets on each side",
    );
}
