//! Examples, and properties over any text: nothing panics, elements are unique and in `SQLite`'s
//! order, and what another reader of JSON says of the same text is what is said here.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn read(text: &str, format: SetFormat) -> Elements<'_> {
    Elements::of_text(ValueRef::Text(text.as_bytes()), format)
}

fn shown(elements: &Elements<'_>) -> String {
    let sound: Vec<_> = elements.sound.iter().map(|e| e.to_datum().to_string()).collect();
    let flaws: Vec<_> = elements.flaws.iter().map(ToString::to_string).collect();
    format!("{} | {}", sound.join(", "), flaws.join(", "))
}

#[test]
fn json_gives_strings_and_numbers() {
    for (text, want) in [
        (r#"["b","a"]"#, "'a', 'b' | "),
        (" [ ] ", " | "),
        (r#"["\u00e9", "\ud83d\udca1", "a\"b"]"#, "'a\"b', '\u{e9}', '\u{1f4a1}' | "),
        ("[2, 10, 1.5, -3]", "-3, 1.5, 2, 10 | "),
        ("[1, 1.0, 1e0]", "1 | duplicate, duplicate"),
        ("[0, -0, -0.0]", "0 | duplicate, duplicate"),
        (
            "[9223372036854775807, 9223372036854775808]",
            "9223372036854775807, 9.223372036854776e18 | ",
        ),
        ("[-9223372036854775808, -1e300]", "-1e300, -9223372036854775808 | "),
        (r#"["1", 1]"#, "1, '1' | "),
        (
            r#"["a", null, true, [1], {"b": [2]}, "a"]"#,
            "'a' | null, boolean, nested, nested, duplicate",
        ),
        (r#"["a\u0000b"]"#, " | nul"),
        (r#"[""]"#, "'' | "),
        (r#"["a",]"#, " | not-json"),
        (r#"["a"] x"#, " | not-json"),
        (r#"["\ud800"]"#, " | not-json"),
        ("[1e999]", " | not-json"),
        ("  ", " | not-json"),
        (r#"{"a": 1}"#, " | not-array"),
        ("null", " | not-array"),
        ("7", " | not-array"),
        (r#""a""#, " | not-array"),
    ] {
        assert_eq!(shown(&read(text, SetFormat::Json)), want, "{text}");
    }
    assert_eq!(shown(&read(&"[".repeat(5000), SetFormat::Json)), " | not-json");
}

#[test]
fn texts_are_cut_and_trimmed() {
    assert_eq!(shown(&read(" b ,a,, \t ,b", SetFormat::Csv)), "'a', 'b' | duplicate");
    assert_eq!(shown(&read("1,\u{a0}x,\"q\"", SetFormat::Csv)), "'\"q\"', '1', '\u{a0}x' | ");
    assert_eq!(shown(&read("a, b\r\n\r\n c \n", SetFormat::Lines)), "'a, b', 'c' | ");
    assert_eq!(shown(&read("a\0,b", SetFormat::Csv)), "'b' | nul");
}

#[test]
fn what_is_no_text_is_said_to_be_so() {
    for format in SetFormat::ALL {
        let of = |source| shown(&Elements::of_text(source, format));
        assert_eq!(of(ValueRef::Null), " | ");
        assert_eq!(of(ValueRef::Text(b"")), " | ");
        assert_eq!(of(ValueRef::Integer(1)), " | not-text");
        assert_eq!(of(ValueRef::Blob(b"[]")), " | not-text");
        assert_eq!(of(ValueRef::Text(b"[\"\xff\"]")), " | not-utf-8");
    }
}

#[test]
fn values_of_a_child_table_are_elements() {
    let values = [
        ValueRef::Text(b"b"),
        ValueRef::Integer(2),
        ValueRef::Real(2.0),
        ValueRef::Real(f64::INFINITY),
        ValueRef::Null,
        ValueRef::Blob(b"x"),
        ValueRef::Text(b"\xff"),
        ValueRef::Text(b" b"),
    ];
    let want = "2, inf, ' b', 'b' | null, blob, not-utf-8, duplicate";
    assert_eq!(shown(&Elements::of_values(values)), want);
}

/// What `serde_json`'s own tree says of the text: elements as literals, and how many flaws.
fn model(text: &str) -> (Vec<String>, usize) {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return (Vec::new(), 1) };
    let Value::Array(members) = value else { return (Vec::new(), 1) };
    let element = |member: &Value| match member {
        Value::String(text) if !text.contains('\0') => Some(Datum::Text(text.clone().into())),
        Value::Number(n) => n.as_i64().map(Datum::Integer).or_else(|| {
            let real = n.as_f64()?;
            let whole = real.fract() == 0.0 && real.abs() < 9.2e18;
            // Printed and read again, so that nothing is shared with what is tested.
            Some(if whole {
                Datum::Integer(format!("{real:.0}").parse().ok()?)
            } else {
                Datum::Real(real)
            })
        }),
        _ => None,
    };
    let mut sound: Vec<String> =
        members.iter().filter_map(element).map(|d| d.to_string()).collect();
    sound.sort();
    sound.dedup();
    let flaws = members.len() - sound.len();
    (sound, flaws)
}

/// Texts that are nearly JSON.
fn json() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        any::<i64>().prop_map(|i| i.to_string()),
        any::<u64>().prop_map(|i| i.to_string()),
        (-9e18..9e18).prop_map(|r: f64| format!("{r:e}")),
        (-20i64..20).prop_map(|i| format!("{i}.0")),
        ".{0,4}".prop_map(|text| Value::String(text).to_string()),
        "[ab]".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_owned()),
        Just("[[true]]".to_owned()),
        Just("{\"a\":[]}".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        ".{0,3}",
    ];
    prop::collection::vec(member, 0..6).prop_map(|members| format!("[{}]", members.join(",")))
}

proptest! {
    #[test]
    fn json_is_read_as_another_reader_does(text in prop_oneof![json(), ".{0,12}"]) {
        prop_assume!(!text.is_empty());
        let found = read(&text, SetFormat::Json);
        let mut sound: Vec<String> = found.sound.iter().map(|e| e.to_datum().to_string()).collect();
        sound.sort();
        prop_assert_eq!((sound, found.flaws.len()), model(&text));
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        for format in SetFormat::ALL {
            let _ = Elements::of_text(ValueRef::Text(&bytes), format);
        }
        let _ = Elements::of_values([ValueRef::Text(&bytes), ValueRef::Blob(&bytes)]);
    }

    #[test]
    fn elements_are_unique_and_in_the_order_of_sqlite(
        reals in prop::collection::vec(prop_oneof![any::<f64>(), Just(2_f64.powi(63))], 0..8),
        integers in prop::collection::vec(prop_oneof![any::<i64>(), Just(i64::MAX)], 0..8),
        texts in prop::collection::vec("[a-c\u{e9}\u{1f4a1}]{0,2}", 0..8),
    ) {
        let reals = reals.into_iter().filter(|r| !r.is_nan()).map(ValueRef::Real);
        let values = reals
            .chain(integers.into_iter().map(ValueRef::Integer))
            .chain(texts.iter().map(|text| ValueRef::Text(text.as_bytes())));
        let found = Elements::of_values(values);
        let conn = rusqlite::Connection::open_in_memory().expect("memory");
        let mut less = conn.prepare("SELECT ?1 < ?2").expect("a comparison");
        for pair in found.sound.windows(2) {
            let pair = [pair[0].to_datum(), pair[1].to_datum()];
            prop_assert!(less.query_row([&pair[0], &pair[1]], |r| r.get::<_, bool>(0)).expect("a row"), "{pair:?}");
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(parts in prop::collection::vec("[ab ,]{0,3}", 0..6)) {
        let mut turned = parts.clone();
        turned.reverse();
        let (text, turned) = (parts.join(","), turned.join(","));
        prop_assert_eq!(read(&text, SetFormat::Csv), read(&turned, SetFormat::Csv));
    }
}
