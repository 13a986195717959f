//! No statement that runs per noted key scans.

use super::*;
use crate::layout::plans::places;

#[test]
fn statements_per_key_seek() {
    for place in places() {
        let sql = DrainSql::new(&place.target);
        let statements = [
            &sql.remove,
            &sql.waiting,
            &sql.rows,
            &sql.value,
            &sql.set,
            &sql.is_user,
            &sql.add_user,
            &sql.remove_user,
        ];
        for sql in statements {
            place.assert_seeks(sql);
        }
    }
}

#[test]
fn notes_are_taken_in_their_own_order() {
    for place in places() {
        place.assert_takes_the_first(&DrainSql::new(&place.target).take);
    }
}
