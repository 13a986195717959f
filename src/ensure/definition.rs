//! What an index is, as a server's catalog says, and how two of them differ. Pure.
//!
//! What the file asks for and what is there are both read from a catalog: the first one from the
//! same index, made for a moment on an empty temporary copy of the table. So both are in the
//! server's own words, and neither white space nor spelling makes a difference. Storage parameters,
//! the tablespace and comments are no part of it: they are the operator's.

/// A definition, in the server's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the catalog has them")]
pub struct Definition {
    /// Whether two rows may not have the same key.
    pub unique: bool,
    /// Whether that is checked with each row, and not at the end of a transaction.
    pub immediate: bool,
    /// Whether it belongs to an exclusion constraint.
    pub exclusion: bool,
    /// Whether NULLs count as equal.
    pub nulls_equal: bool,
    /// The access method, such as `btree`.
    pub method: String,
    /// What is indexed, in order.
    pub keys: Vec<Key>,
    /// Further columns that it stores.
    pub included: Vec<String>,
    /// The condition of a partial index; empty for a whole one.
    pub filter: String,
    /// The statement that would make it; for people, not compared.
    pub statement: String,
}

/// One term of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The column or expression.
    pub text: String,
    /// The number of its operator class.
    pub class: u32,
    /// The number of its collation; 0 for none.
    pub collation: u32,
    /// 1: descending; 2: NULLs first.
    pub order: i16,
}

impl Key {
    /// In words; beside the same term of another index, what only numbers tell is told too.
    fn describe(&self, beside: Option<&Self>) -> String {
        let mut text = self.text.clone();
        let (descending, nulls_first) = (self.order & 1 != 0, self.order & 2 != 0);
        if descending {
            text += " DESC";
        }
        // Without a word, NULLs come last, and first where it is descending.
        if descending != nulls_first {
            text += if nulls_first { " NULLS FIRST" } else { " NULLS LAST" };
        }
        // Another term has another class anyway.
        let same_term = beside.filter(|other| other.text == self.text);
        if same_term.is_some_and(|other| other.class != self.class) {
            text += " (another operator class)";
        }
        if same_term.is_some_and(|other| other.collation != self.collation) {
            text += " (another collation)";
        }
        text
    }
}

/// What differs, one sentence each: what is wanted, what is there. Empty where nothing does.
#[must_use]
pub fn differences(wanted: &Definition, found: &Definition) -> Vec<String> {
    let mut out = Vec::new();
    let mut differ = |differs: bool, what: &str, want: &str, have: &str| {
        if differs {
            out.push(format!("{what}: wanted {want}, found {have}"));
        }
    };
    let unique = |of: &Definition| (of.unique, of.immediate, of.exclusion, of.nulls_equal);
    let ways = [uniqueness(wanted), uniqueness(found)];
    differ(unique(wanted) != unique(found), "uniqueness", ways[0], ways[1]);
    differ(wanted.method != found.method, "method", &wanted.method, &found.method);
    let terms = [keys(wanted, None), keys(found, Some(wanted))];
    differ(wanted.keys != found.keys, "indexed", &terms[0], &terms[1]);
    let included = [listed(&wanted.included), listed(&found.included)];
    differ(wanted.included != found.included, "included", &included[0], &included[1]);
    let filters = [or_none(&wanted.filter), or_none(&found.filter)];
    differ(wanted.filter != found.filter, "condition", filters[0], filters[1]);
    out
}

fn uniqueness(of: &Definition) -> &'static str {
    match of {
        Definition { exclusion: true, .. } => "an exclusion constraint",
        Definition { unique: true, immediate: false, .. } => "unique, deferrable",
        Definition { unique: true, nulls_equal: true, .. } => "unique, NULLs not distinct",
        Definition { unique: true, .. } => "unique",
        Definition { unique: false, .. } => "not unique",
    }
}

fn keys(of: &Definition, beside: Option<&Definition>) -> String {
    let other = |n: usize| beside.and_then(|other| other.keys.get(n));
    let texts = of.keys.iter().enumerate().map(|(n, key)| key.describe(other(n)));
    format!("({})", texts.collect::<Vec<_>>().join(", "))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { format!("({})", names.join(", ")) }
}

fn or_none(filter: &str) -> &str {
    if filter.is_empty() { "none" } else { filter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        let key = |text: &str| Key { text: text.to_owned(), class: 7, ..Key::default() };
        Definition {
            unique: true,
            immediate: true,
            method: "btree".to_owned(),
            keys: vec![key("tenant"), key("lower(email)")],
            filter: "(gone IS NULL)".to_owned(),
            ..Definition::default()
        }
    }

    #[test]
    fn equal_definitions_do_not_differ() {
        let found = Definition { statement: "CREATE ..".to_owned(), ..definition() };
        assert_eq!(differences(&definition(), &found), Vec::<String>::new());
    }

    #[test]
    fn every_part_of_a_definition_counts() {
        let with = |change: fn(&mut Definition)| {
            let mut found = definition();
            change(&mut found);
            differences(&definition(), &found)
        };
        let cases: [(Vec<String>, &str); 10] = [
            (with(|d| d.unique = false), "uniqueness: wanted unique, found not unique"),
            (with(|d| d.immediate = false), "found unique, deferrable"),
            (with(|d| d.nulls_equal = true), "found unique, NULLs not distinct"),
            (with(|d| d.exclusion = true), "found an exclusion constraint"),
            (with(|d| d.method = "hash".to_owned()), "method: wanted btree, found hash"),
            (with(|d| d.keys.truncate(1)), "wanted (tenant, lower(email)), found (tenant)"),
            (with(|d| d.keys[1].order = 3), "found (tenant, lower(email) DESC)"),
            (with(|d| d.keys[0].class = 8), "tenant (another operator class)"),
            (with(|d| d.included.push("name".to_owned())), "wanted nothing, found (name)"),
            (with(|d| d.filter.clear()), "condition: wanted (gone IS NULL), found none"),
        ];
        for (found, wanted) in cases {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(wanted), "{found:?} lacks {wanted:?}");
        }
        let collation = with(|d| d.keys[0].collation = 100);
        assert!(collation[0].contains("(another collation)"), "{collation:?}");
    }
}
