//! Messages about single values: ids, words, names, types, texts, sizes.

use super::super::*;
use super::{check, good, only_column, refusal, with};

#[test]
fn an_id_has_few_characters() {
    let message = |id: &str| {
        format!(
            "m.toml:2: \"id\": {id:?} is no migration id; write 1 to 64 characters \
             of a-z, 0-9 and -"
        )
    };
    for id in ["", "Machines", "a b", "a_b", "a'b", "\u{e9}", &"a".repeat(65)] {
        assert_eq!(refusal(&with("id", &format!("id = {id:?}"))), message(id));
        assert!(MigrationId::new(id).is_err());
    }
    assert_eq!(good(&with("id", &format!("id = \"{}\"", "a".repeat(64)))).id.as_str().len(), 64);
    let id = MigrationId::new("a-1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(format!("{id:>5}"), "  a-1");
    assert_eq!(serde_json::to_string(&id).ok().as_deref(), Some("\"a-1\""));
}

#[test]
fn kinds_and_words_of_other_versions_are_said_to_be_so() {
    check(&[
        (
            "kind",
            "kind = 'colum'",
            "m.toml:11: \"kind\" cannot be \"colum\"; \
             did you mean \"column\"?",
        ),
        (
            "kind",
            "kind = 'view'",
            "m.toml:11: \"kind\" cannot be \"view\"; write one of column, or_set, index",
        ),
        (
            "delivery",
            "delivery = 'ship'",
            "m.toml:17: delivery = \"ship\" is not yet supported \
             by this version; use derive",
        ),
        (
            "delivery",
            "delivery = 'Derive'",
            "m.toml:17: \"delivery\" cannot be \"Derive\"; \
             did you mean \"derive\"?",
        ),
        (
            "delivery",
            "delivery = 'x'",
            "m.toml:17: \"delivery\" cannot be \"x\"; \
             write one of auto, virtual, elide, derive, native",
        ),
        (
            "on_error",
            "on_error = 'null'",
            "m.toml:20: \"on_error\" cannot be \"null\"; \
             write one of fail, skip",
        ),
    ]);
}

#[test]
fn names_kept_by_others_are_refused() {
    let own = "name one of your own";
    let cases = [
        ("", "is empty; write a name".to_owned()),
        ("a\\u0000b", "holds a NUL character, where SQLite ends a name; remove it".to_owned()),
        ("SQLite_stat1", format!("begins with sqlite_, kept by SQLite for itself; {own}")),
        ("_dotfill_x", format!("begins with _dotfill, kept for dotfill's own tables; {own}")),
        ("crsql_x", format!("begins with crsql_, kept for cr-sqlite's own tables; {own}")),
        ("__Corro_x", format!("begins with __corro, kept for Corrosion's own tables; {own}")),
        (
            "t__crsql_",
            "holds __crsql_, kept for cr-sqlite's own tables; \
             name the table they serve"
                .to_owned(),
        ),
        (
            "t__crsql_pks",
            "holds __crsql_, kept for cr-sqlite's own tables; \
             name the table they serve"
                .to_owned(),
        ),
    ];
    for (name, problem) in cases {
        let shown = name.replace("\\u0000", "\\0");
        for (key, line) in [("table", 12), ("column", 13)] {
            let want = format!("m.toml:{line}: {key:?} is \"{shown}\", which {problem}");
            assert_eq!(refusal(&with(key, &format!("{key} = \"{name}\""))), want);
        }
    }
    let long = refusal(&with("table", &format!("table = '{}'", "\u{e9}".repeat(128))));
    assert!(long.ends_with("..., which is longer than 255 bytes; use a shorter name"), "{long}");
    for name in ["select", "a b", "it's \\\"quoted\\\"", "\u{540d}\u{524d}", "__x", "a;--", " "] {
        good(&with("table", &format!("table = \"{name}\"")));
    }
    good(&with("table", &format!("table = '{}'", "n".repeat(255))));
}

#[test]
fn a_type_is_words_and_numbers() {
    for (text, want) in [
        ("INTEGER", "INTEGER"),
        (" unsigned   BIG int ", "unsigned BIG int"),
        ("varchar ( 255 )", "varchar(255)"),
        ("DECIMAL(10, 2)", "DECIMAL(10,2)"),
        ("crr_counter", "crr_counter"),
    ] {
        let migration = good(&with("type", &format!("type = '{text}'")));
        assert_eq!(only_column(&migration).type_name, want);
    }
    let alone = |word: &str, reason: &str| {
        format!("has the constraint word {word}; write the type alone: {reason}")
    };
    let merge = "a constraint can make a merge fail";
    let nulls = "rows hold NULL until they are filled";
    let computed = "use the keys value, delivery = \"virtual\" and writable = false instead";
    let key = "a key cannot be added to a table that has rows";
    let plain = "write a plain type such as TEXT, INTEGER or DECIMAL(10,2)";
    let none = format!("is no plain SQLite type name; {plain}");
    let cases = [
        ("TEXT NOT NULL", alone("NOT", nulls)),
        ("TEXT null", alone("NULL", nulls)),
        ("TEXT DEFAULT 'x'", alone("DEFAULT", "give the value with the key value instead")),
        ("TEXT GENERATED ALWAYS AS (1)", alone("GENERATED", computed)),
        ("TEXT AS (1)", alone("AS", computed)),
        ("INTEGER PRIMARY KEY", alone("PRIMARY", key)),
        (
            "TEXT COLLATE NOCASE",
            alone(
                "COLLATE",
                "give the collation in the queries and \
             indexes that need it",
            ),
        ),
        ("VARCHAR(9) UNIQUE", alone("UNIQUE", merge)),
        ("INT CHECK(x > 0)", alone("CHECK", merge)),
        ("INT REFERENCES t(x)", alone("REFERENCES", merge)),
        ("SELECT", format!("holds the SQL keyword SELECT; {plain}")),
        ("TEXT, b", none.clone()),
        ("TEXT; x", none.clone()),
        ("TEXT -- x", none.clone()),
        ("9TEXT", none.clone()),
        ("TEXT(", none.clone()),
        ("TEXT()", none.clone()),
        ("TEXT(-1)", none.clone()),
        ("TEXT(1,2,3)", none.clone()),
        ("TEXT(1) b", none.clone()),
        ("(1)", none.clone()),
        ("\u{e9}", none),
        (" ", "is empty; write a type such as TEXT or INTEGER".to_owned()),
    ];
    for (text, problem) in cases {
        let want = format!("m.toml:14: \"type\" is {text:?}, which {problem}");
        assert_eq!(refusal(&with("type", &format!("type = {text:?}"))), want);
    }
    assert!(refusal(&with("type", &format!("type = '{}'", "a".repeat(256)))).contains("255 bytes"));
}

#[test]
fn texts_are_neither_empty_nor_cut_by_nul() {
    let empty = "is empty; write an SQL expression or leave the key out";
    let nul = "holds a NUL character, where SQLite ends a text; remove it";
    check(&[
        ("value", "value = ''", &format!("m.toml:15: \"value\" {empty}")),
        ("value", "value = \" \\n\"", &format!("m.toml:15: \"value\" {empty}")),
        ("where", "where = ''", &format!("m.toml:16: \"where\" {empty}")),
        ("value", "value = \"1\\u0000\"", &format!("m.toml:15: \"value\" {nul}")),
        ("where", "where = \"1\\u0000\"", &format!("m.toml:16: \"where\" {nul}")),
        ("epoch", "epoch = ''", "m.toml:3: \"epoch\" is empty; write a name or leave the key out"),
        (
            "minimum",
            "minimum_client = \"4\\n\"",
            "m.toml:4: \"minimum_client\" holds a control \
             character; remove it",
        ),
    ]);
    let long = refusal(&with("epoch", &format!("epoch = '{}'", "e".repeat(256))));
    assert_eq!(long, "m.toml:3: \"epoch\" is longer than 255 bytes; use a shorter name");
}

#[test]
fn byte_sizes_are_read_as_people_write_them() {
    for (text, want) in [
        ("123", 123),
        ("0B", 0),
        ("10kB", 10_000),
        (" 10 KB ", 10_000),
        ("64MiB", 64 << 20),
        ("2gib", 2 << 30),
        ("1TB", 1_000_000_000_000),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(parse_bytes(text), Ok(want), "{text}");
    }
    for text in ["", " ", "MiB", "1.5GiB", "-1", "+1", "1 M iB", "5 bananas", "1e3", "\u{0661}"] {
        let problem = parse_bytes(text).err().unwrap_or_default();
        assert!(problem.ends_with("such as 64MiB"), "{text}: {problem}");
    }
    for text in ["18446744073709551616", "16777216TiB"] {
        let problem = format!("{text:?} is more than 18446744073709551615 bytes; write less");
        assert_eq!(parse_bytes(text), Err(problem));
    }
}
