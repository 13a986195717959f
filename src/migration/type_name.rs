//! The declared type of a column: words and up to two numbers, never a constraint.
//!
//! A constraint on a column that is added to a replicated table can make a merge fail, and rows
//! hold NULL until they are filled; so a type is refused as soon as it says more than a type.

/// The longest type name, in bytes.
const TYPE_BYTES_MAX: usize = 255;

/// Words that begin a constraint, and what to do instead.
const CONSTRAINTS: [(&str, &str); 13] = [
    ("NOT", "rows hold NULL until they are filled"),
    ("NULL", "rows hold NULL until they are filled"),
    ("DEFAULT", "give the value with the key value instead"),
    ("GENERATED", "use the keys value, delivery = \"virtual\" and writable = false instead"),
    ("ALWAYS", "use the keys value, delivery = \"virtual\" and writable = false instead"),
    ("AS", "use the keys value, delivery = \"virtual\" and writable = false instead"),
    ("PRIMARY", "a key cannot be added to a table that has rows"),
    ("COLLATE", "give the collation in the queries and indexes that need it"),
    ("UNIQUE", "a constraint can make a merge fail"),
    ("CHECK", "a constraint can make a merge fail"),
    ("REFERENCES", "a constraint can make a merge fail"),
    ("CONSTRAINT", "a constraint can make a merge fail"),
    ("AUTOINCREMENT", "a key cannot be added to a table that has rows"),
];

/// The other keywords that `SQLite` does not take as a word of a type.
const KEYWORDS: [&str; 55] = [
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "BETWEEN",
    "CASE",
    "COMMIT",
    "CREATE",
    "CROSS",
    "DEFERRABLE",
    "DELETE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "FOREIGN",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INDEX",
    "INDEXED",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "ISNULL",
    "JOIN",
    "LEFT",
    "LIMIT",
    "NATURAL",
    "NOTHING",
    "NOTNULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "TO",
    "TRANSACTION",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
];

/// The type with single spaces between its words, or why `text` is none, with the remedy.
pub(super) fn parse_type_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty; write a type such as TEXT or INTEGER".to_owned());
    }
    if text.len() > TYPE_BYTES_MAX {
        return Err("is longer than 255 bytes; write a type such as TEXT or INTEGER".to_owned());
    }
    refuse_keywords(text)?;
    let (words, numbers) = match text.split_once('(') {
        Some((words, rest)) => (words, Some(rest)),
        None => (text, None),
    };
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.is_empty() || !words.iter().all(|word| is_word(word)) {
        return Err(no_type());
    }
    let numbers = numbers.map(parse_numbers).transpose()?.unwrap_or_default();
    Ok(words.join(" ") + &numbers)
}

fn refuse_keywords(text: &str) -> Result<(), String> {
    for word in text.split(|c: char| !is_word_char(c)) {
        let upper = word.to_ascii_uppercase();
        if let Some((_, reason)) = CONSTRAINTS.iter().find(|(name, _)| *name == upper) {
            return Err(format!("has the constraint word {upper}; write the type alone: {reason}"));
        }
        if KEYWORDS.contains(&upper.as_str()) {
            return Err(format!("holds the SQL keyword {upper}; {PLAIN}"));
        }
    }
    Ok(())
}

/// `(n)` or `(n,m)` from what follows the opening parenthesis.
fn parse_numbers(rest: &str) -> Result<String, String> {
    let inside = rest.trim_end().strip_suffix(')').ok_or_else(no_type)?;
    let numbers: Vec<&str> = inside.split(',').map(str::trim).collect();
    let all_digits = |n: &&str| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.len() > 2 || !numbers.iter().all(all_digits) {
        return Err(no_type());
    }
    Ok(format!("({})", numbers.join(",")))
}

const PLAIN: &str = "write a plain type such as TEXT, INTEGER or DECIMAL(10,2)";

fn no_type() -> String {
    format!("is no plain SQLite type name; {PLAIN}")
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_word(word: &str) -> bool {
    word.chars().all(is_word_char) && !word.starts_with(|c: char| c.is_ascii_digit())
}
