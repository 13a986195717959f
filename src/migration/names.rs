//! Which names and texts of the file are safe to use. Leaves: a text in, a problem out.
//!
//! Names are always quoted when they are put into SQL, so spaces, quotes, keywords and any
//! letters are fine; refused is what `SQLite` or a replication layer keeps for itself.

/// The longest table or column name, in bytes; also the longest epoch and client version.
const NAME_BYTES_MAX: usize = 255;

/// Prefixes that belong to somebody else, and what to say about them.
const RESERVED_PREFIXES: [(&str, &str); 4] = [
    ("sqlite_", "begins with sqlite_, kept by SQLite for itself; name one of your own"),
    ("_dotfill", "begins with _dotfill, kept for dotfill's own tables; name one of your own"),
    ("crsql_", "begins with crsql_, kept for cr-sqlite's own tables; name one of your own"),
    ("__corro", "begins with __corro, kept for Corrosion's own tables; name one of your own"),
];

/// Stands in the names of the tables that cr-sqlite adds to each replicated one.
const CRSQL_INFIX: &str = "__crsql_";

/// Why `name` cannot be the table or the column of a change, with the remedy.
pub(super) fn identifier_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty; write a name");
    }
    if name.contains('\0') {
        return Some("holds a NUL character, where SQLite ends a name; remove it");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("is longer than 255 bytes; use a shorter name");
    }
    let lower = name.to_ascii_lowercase();
    if lower.contains(CRSQL_INFIX) {
        return Some("holds __crsql_, kept for cr-sqlite's own tables; name the table they serve");
    }
    let reserved = RESERVED_PREFIXES.iter().find(|(prefix, _)| lower.starts_with(prefix));
    reserved.map(|(_, problem)| *problem)
}

/// Why `text` cannot be an SQL expression, before `SQLite` has judged it.
pub(super) fn expression_problem(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("is empty; write an SQL expression or leave the key out");
    }
    text.contains('\0').then_some("holds a NUL character, where SQLite ends a text; remove it")
}

/// Why `text` cannot be the name of an epoch or a client version, quoted in rejections.
pub(super) fn label_problem(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("is empty; write a name or leave the key out");
    }
    if text.len() > NAME_BYTES_MAX {
        return Some("is longer than 255 bytes; use a shorter name");
    }
    text.chars().any(char::is_control).then_some("holds a control character; remove it")
}
