//! A full buffer rejects as retryable: nothing is dropped silently, nothing of it is remembered,
//! and the same operation is decided when there is room.

use dotfill::admit::AdmitLimits;
use dotfill::state::Mode;
use serde_json::json;

use crate::projects::{Projects, briefs, new_add, old_add};

#[test]
fn by_number() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let limits = AdmitLimits { buffered_operations_max: 2, ..AdmitLimits::default() };
    let mut admission = projects.limited(limits);
    let four = [
        new_add("a", json!({})),
        new_add("b", json!({})),
        new_add("c", json!({})),
        old_add("d", "x"),
    ];
    let first = admission.batch(&four).unwrap();
    let want = ["a buffer mode", "b buffer mode", "c reject buffer-full", "d apply old"];
    assert_eq!(briefs(&first), want);
    assert_eq!(first[2].decision["retryable"], true);
    assert_eq!(admission.batch(&four).unwrap(), first);
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_operations"), 3, "c was not decided");
    assert_eq!(projects.number("SELECT count(*) FROM _dotfill_quarantine"), 0);

    projects.set_mode(Mode::ReadNewWriteBoth);
    drop(admission);
    let got = briefs(&projects.limited(limits).batch(&four).unwrap());
    let want =
        ["a apply new", "b apply new", "a apply new", "b apply new", "c apply new", "d apply old"];
    assert_eq!(got, want, "the first two waited, and are fed again");
}

#[test]
fn by_weight() {
    let projects = Projects::new(Mode::ReadOldWriteOld, "translate");
    let one = new_add("a", json!({}));
    let room = u64::try_from(one.weight()).unwrap();
    let limits = AdmitLimits { buffered_bytes_max: room, ..AdmitLimits::default() };
    let mut admission = projects.limited(limits);
    let two = [one, new_add("b", json!({}))];
    assert_eq!(briefs(&admission.batch(&two).unwrap()), ["a buffer mode", "b reject buffer-full"]);
    assert_eq!(admission.buffered().unwrap(), (1, room));
}
