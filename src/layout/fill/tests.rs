//! No statement that runs per batch scans.

use super::*;
use crate::layout::plans::places;

const FILTERS: [Filter; 4] = [
    Filter { dirty: false, user: false },
    Filter { dirty: true, user: false },
    Filter { dirty: false, user: true },
    Filter { dirty: true, user: true },
];

#[test]
fn statements_over_a_range_seek() {
    for place in places() {
        let sql = FillSql::new(&place.target);
        for bounded in [false, true] {
            place.assert_seeks(&sql.select_keys(bounded));
            place.assert_seeks(&sql.select_proof(bounded, true));
            place.assert_seeks(&sql.select_proof(bounded, false));
            place.assert_seeks(&sql.note_unproven(bounded));
            place.assert_seeks(&sql.note_unclaimed(bounded));
            for filter in FILTERS {
                place.assert_seeks(&sql.update(bounded, filter));
                place.assert_seeks(&sql.select_derived(bounded, filter));
                place.assert_seeks(&sql.select_unproven(bounded, filter));
                place.assert_seeks(&sql.select_unclaimed(bounded, filter));
                place.assert_seeks(&sql.clear(bounded, filter));
                if let Some(cr) = place.crsqlite() {
                    place.assert_seeks(&sql.forget_null_clocks(cr, bounded, filter));
                    place.assert_seeks(&sql.publish(cr, bounded, filter));
                    let within = sql.range.within(bounded);
                    place.assert_seeks(&cr.create_keys(&place.target, &within));
                }
            }
        }
    }
}

#[test]
fn statements_over_a_range_sort_nothing() {
    for place in places() {
        let sql = FillSql::new(&place.target);
        for bounded in [false, true] {
            place.assert_takes_the_first(&sql.select_keys(bounded));
            place.assert_takes_the_first(&sql.select_proof(bounded, true));
            place.assert_takes_the_first(&sql.select_derived(bounded, Filter::default()));
        }
    }
}

#[test]
fn writing_one_derived_value_seeks() {
    for place in places() {
        let sql = FillSql::new(&place.target);
        for filter in FILTERS {
            place.assert_seeks(&sql.update_one(filter));
        }
    }
}

#[test]
fn seeding_a_slice_of_the_clock_seeks() {
    for place in places() {
        if let Some(cr) = place.crsqlite() {
            place.assert_seeks(&cr.seed(&place.target, &[1, 2]));
        }
    }
}
