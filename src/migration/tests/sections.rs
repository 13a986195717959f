//! Rules between the keys of a section and between sections.

use super::super::*;
use super::{FULL, SECOND, check, good, only_column, refusal, with};

#[test]
fn a_delivery_must_be_able_to_do_what_the_other_keys_ask() {
    let enforce = "writable = false can only be enforced by a generated column; \
         use delivery = \"virtual\" or \"auto\", or remove writable";
    for delivery in ["derive", "native"] {
        let text = with("delivery", &format!("delivery = '{delivery}'"))
            .replace("writable = true", "writable = false");
        assert_eq!(refusal(&text), format!("m.toml:19: {enforce}"));
    }
    check(&[
        (
            "delivery",
            "delivery = 'virtual'",
            "m.toml:17: delivery = \"virtual\" makes a column \
             that nobody can write; add writable = false, or use delivery = \"derive\"",
        ),
        (
            "delivery",
            "delivery = 'elide'",
            "m.toml:16: delivery = \"elide\" writes no row, so \
             \"where\" cannot choose among them; remove where, or use delivery = \"derive\"",
        ),
    ]);
    let virtual_column =
        with("delivery", "delivery = 'virtual'").replace("writable = true", "writable = false");
    assert_eq!(only_column(&good(&virtual_column)).delivery, Delivery::Virtual);
    assert_eq!(
        refusal(&virtual_column.replace("value = ", "# value = ")),
        "m.toml:17: delivery = \"virtual\" has no \"value\" to compute; \
         add value = \"an SQL expression\"",
    );
    let auto = virtual_column.replace("'virtual'", "'auto'");
    assert_eq!(only_column(&good(&auto)).delivery, Delivery::Auto);
    let elide = virtual_column.replace("'virtual'", "'elide'").replace("where = ", "# where = ");
    assert!(refusal(&elide).ends_with(enforce));
}

#[test]
fn a_budget_is_a_limit() {
    let records = |text: &str| {
        format!(
            "m.toml:7: \"change_records_per_row_max\": {text:?} is no number of records; \
             write a decimal number, 0 or more"
        )
    };
    for text in ["-1", "-0.5", "nan", "-nan", "inf", "1e999", "0x10"] {
        let line = format!("change_records_per_row_max = {text}");
        assert_eq!(refusal(&with("change_r", &line)), records(text));
    }
    for (text, want) in [("0", 0.0), ("5_000_000_000", 5e9), ("0.25", 0.25)] {
        let line = format!("change_records_per_row_max = {text}");
        let budget = good(&with("change_r", &line)).budget;
        assert_eq!(budget.change_records_per_row_max, Some(want));
    }
    check(&[
        (
            "wire",
            "wire_bytes_max = -1",
            "m.toml:8: \"wire_bytes_max\": \"-1\" is no size in \
             bytes; write 0 or more",
        ),
        (
            "wire",
            "wire_bytes_max = '-1'",
            "m.toml:8: \"wire_bytes_max\": \"-1\" is no size in \
             bytes; write a whole number and a unit of B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, \
             such as 64MiB",
        ),
    ]);
    let plain = good(&with("wire", "wire_bytes_max = 5_000")).budget;
    assert_eq!(plain.wire_bytes_max, Some(5000));
}

#[test]
fn a_column_is_filled_once_and_changes_are_few() {
    let same = SECOND.replace("zone", "OWNER").replace("machines", "Machines");
    assert_eq!(
        refusal(&format!("{FULL}{same}")),
        "m.toml:25: column \"OWNER\" of table \"Machines\" is already filled by the [[change]] \
         at line 13; merge the two",
    );
    let changes = |count: usize| -> String {
        let sections = (0..count).map(|n| SECOND.replace("zone", &format!("c{n}")));
        std::iter::once("id = 'a'\n".to_owned()).chain(sections).collect()
    };
    assert_eq!(good(&changes(CHANGES_MAX)).changes.len(), CHANGES_MAX);
    assert_eq!(
        refusal(&changes(CHANGES_MAX + 1)),
        "m.toml:387: [[change]] number 65 is one too many; split the file in two",
    );
}
