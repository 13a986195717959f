//! SQL text as tokens in one spelling, so that two texts can be compared for what they say. Knows how
//! `SQLite` writes tokens and nothing of its grammar.
//!
//! White space, comments, the case of words, the quotes of names that need none, `==` for `=` and
//! `<>` for `!=` make no difference; everything else does. Texts that differ in another way, such as
//! by parentheses that are not needed inside an expression, are told apart although they mean the
//! same: whoever compares errs on that side.

/// Words that mean something else in an expression when they stand without quotes.
const WORDS: [&str; 34] = [
    "and",
    "as",
    "between",
    "case",
    "cast",
    "collate",
    "current_date",
    "current_time",
    "current_timestamp",
    "distinct",
    "else",
    "end",
    "escape",
    "exists",
    "false",
    "filter",
    "from",
    "glob",
    "in",
    "is",
    "isnull",
    "like",
    "match",
    "not",
    "notnull",
    "null",
    "or",
    "over",
    "raise",
    "regexp",
    "select",
    "then",
    "true",
    "when",
];

/// The tokens of `sql`, each in the spelling that all of its spellings share.
pub(super) fn tokens(sql: &str) -> Vec<String> {
    let mut rest = sql;
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = next(rest, first);
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

/// The token at the beginning of `rest`, where it is one, and the bytes that it takes; at least one.
fn next(rest: &str, first: char) -> (Option<String>, usize) {
    let second = rest.chars().nth(1);
    match first {
        _ if first.is_whitespace() => (None, first.len_utf8()),
        '-' if second == Some('-') => (None, rest.find('\n').map_or(rest.len(), |at| at + 1)),
        '/' if second == Some('*') => (None, rest.find("*/").map_or(rest.len(), |at| at + 2)),
        '\'' => literal(rest, 0),
        'x' | 'X' if second == Some('\'') => {
            let (token, length) = literal(rest, 1);
            (token.map(|token| token.to_ascii_lowercase()), length)
        }
        '"' | '`' => name(rest, first),
        '[' => name(rest, ']'),
        '0'..='9' => number(rest),
        '.' if second.is_some_and(|c| c.is_ascii_digit()) => number(rest),
        _ if is_word(first) => {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (Some(rest[..length].to_ascii_lowercase()), length)
        }
        _ => operator(rest, first),
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c == '$' || c.is_ascii_alphanumeric() || !c.is_ascii()
}

/// A text between single quotes, which may hold doubled ones, after `prefix` bytes.
fn literal(rest: &str, prefix: usize) -> (Option<String>, usize) {
    let length = quoted(&rest[prefix..], '\'') + prefix;
    (Some(rest[..length].to_owned()), length)
}

/// The bytes of a text that begins with a quote and ends with `close`; doubled ones do not end it.
fn quoted(text: &str, close: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            continue;
        }
        match chars.peek() {
            Some((_, again)) if *again == close && close != ']' => {
                chars.next();
            }
            _ => return at + 1,
        }
    }
    text.len()
}

/// A quoted name: without the quotes where it needs none.
fn name(rest: &str, close: char) -> (Option<String>, usize) {
    let length = quoted(rest, close);
    let inner = rest[1..length].strip_suffix(close).unwrap_or(&rest[1..length]);
    let doubled = format!("{close}{close}");
    let inner = inner.replace(&doubled, &close.to_string()).to_ascii_lowercase();
    let plain = !inner.starts_with(|c: char| c.is_ascii_digit())
        && !inner.is_empty()
        && inner.chars().all(is_word)
        && !WORDS.contains(&inner.as_str());
    (Some(if plain { inner } else { format!("\"{}\"", inner.replace('"', "\"\"")) }), length)
}

fn number(rest: &str) -> (Option<String>, usize) {
    let mut before = '0';
    let end = rest.find(|c: char| {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hex(rest);
        before = c;
        !(sign || c == '.' || is_word(c))
    });
    let length = end.unwrap_or(rest.len());
    (Some(rest[..length].to_ascii_lowercase()), length)
}

fn is_hex(number: &str) -> bool {
    number.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"))
}

fn operator(rest: &str, first: char) -> (Option<String>, usize) {
    const LONG: [(&str, &str); 10] = [
        ("->>", "->>"),
        ("->", "->"),
        ("||", "||"),
        ("<<", "<<"),
        (">>", ">>"),
        ("<=", "<="),
        (">=", ">="),
        ("==", "="),
        ("!=", "!="),
        ("<>", "!="),
    ];
    match LONG.iter().find(|(spelling, _)| rest.starts_with(spelling)) {
        Some((spelling, token)) => (Some((*token).to_owned()), spelling.len()),
        None => (Some(first.to_string()), first.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sql: &str) -> String {
        tokens(sql).join(" ")
    }

    #[test]
    fn spellings_of_one_thing_are_one() {
        let same = [
            ("lower( \"Owner\" )", "LOWER(owner)"),
            ("a <> 1 -- why\n", "a!=1"),
            ("a == /* x */ 1", "a = 1"),
            ("[a b] || `c`", "\"A B\" || c"),
            ("X'AB'", "x'ab'"),
            ("1.5E-3", "1.5e-3"),
        ];
        for (a, b) in same {
            assert_eq!(one(a), one(b));
        }
    }

    #[test]
    fn other_things_are_told_apart() {
        let other = [
            ("'A'", "'a'"),
            ("\"null\"", "null"),
            ("'it''s'", "'its'"),
            ("\"a\"\"b\"", "ab"),
            ("a->>'x'", "a->'x'"),
            ("'a'", "\"a\""),
            ("1-3", "1e-3"),
            ("0xe-3", "0xe - 4"),
            ("x 'ab'", "x'ab'"),
        ];
        for (a, b) in other {
            assert_ne!(one(a), one(b));
        }
        assert_eq!(one("'open"), "'open");
        assert_eq!(one("0xe-3"), "0xe - 3");
    }
}
