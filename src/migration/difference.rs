//! What two migration files say differently, key by key, for people. Pure.

use super::{Change, ColumnChange, IndexChange, IndexTerms, Migration, OrSetChange, SetSource};

impl Migration {
    /// The first key whose meaning differs in `other`, with both values: `value of change 1
    /// (machines.owner) was ..., is ...`. `None` where the two mean the same.
    ///
    /// Compares what the digest covers: comments, the budget and the path are left out.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let top = [
            ("id", Some(self.id.as_str()), Some(other.id.as_str())),
            ("epoch", self.epoch.as_deref(), other.epoch.as_deref()),
            ("minimum_client", self.minimum_client.as_deref(), other.minimum_client.as_deref()),
        ];
        if let Some((key, was, is)) = top.into_iter().find(|(_, was, is)| was != is) {
            return Some(format!("{key} was {}, is {}", shown(was), shown(is)));
        }
        for (n, (was, is)) in self.changes.iter().zip(&other.changes).enumerate() {
            let differs = keys(was).into_iter().zip(keys(is)).find(|(was, is)| was != is);
            if let Some(((key, was_value), (_, is_value))) = differs {
                return Some(format!(
                    "{key} of change {} ({}) was {}, is {}",
                    n + 1,
                    name(was),
                    shown(was_value.as_deref()),
                    shown(is_value.as_deref())
                ));
            }
        }
        let (was, is) = (self.changes.len(), other.changes.len());
        (was != is).then(|| format!("it had {was} changes, and has {is}"))
    }
}

/// What a change is called: its table, and the column, the source of the set or the index.
fn name(change: &Change) -> String {
    match change {
        Change::Column(column) => format!("{}.{}", column.table, column.column),
        Change::OrSet(set) => format!("{}.{}", set.table, set.source.name()),
        Change::Index(index) => format!("{}.{}", index.table, index.name),
    }
}

/// The keys of a change that the digest covers. Those of two kinds differ in the first one.
fn keys(change: &Change) -> Vec<(&'static str, Option<String>)> {
    match change {
        Change::Column(column) => column_keys(column).to_vec(),
        Change::OrSet(set) => set_keys(set).to_vec(),
        Change::Index(index) => index_keys(index).to_vec(),
    }
}

fn index_keys(change: &IndexChange) -> [(&'static str, Option<String>); 8] {
    let text = |text: &str| Some(text.to_owned());
    let listed = Some(format!("[{}]", change.terms.texts().join(", ")));
    let (columns, expressions) = match &change.terms {
        IndexTerms::Columns(_) => (listed, None),
        IndexTerms::Expressions(_) => (None, listed),
    };
    [
        ("kind", text("index")),
        ("name", text(&change.name)),
        ("table", text(&change.table)),
        ("columns", columns),
        ("expressions", expressions),
        ("where", change.filter.clone()),
        ("unique", Some(change.unique.to_string())),
        ("on_failure", text(change.on_failure.as_str())),
    ]
}

fn set_keys(change: &OrSetChange) -> [(&'static str, Option<String>); 13] {
    let text = |text: &str| Some(text.to_owned());
    let (column, format, table, element, key) = match &change.source {
        SetSource::Column { column, format } => {
            (text(column), text(format.as_str()), None, None, None)
        }
        SetSource::Table { table, element, key } => {
            let key = key.as_ref().map(|names| format!("[{}]", names.join(", ")));
            (None, None, text(table), text(element), key)
        }
    };
    [
        ("kind", text("or_set")),
        ("table", text(&change.table)),
        ("source", column),
        ("format", format),
        ("source_table", table),
        ("element", element),
        ("source_key", key),
        ("adds", text(&change.adds)),
        ("removes", text(&change.removes)),
        ("view", text(&change.view)),
        ("old_writes", text(change.old_writes.as_str())),
        ("malformed", text(change.malformed.as_str())),
        ("on_failure", text(change.on_failure.as_str())),
    ]
}

fn column_keys(change: &ColumnChange) -> [(&'static str, Option<String>); 11] {
    let text = |text: &str| Some(text.to_owned());
    [
        ("kind", text("column")),
        ("table", text(&change.table)),
        ("column", text(&change.column)),
        ("type", text(&change.type_name)),
        ("value", change.value.clone()),
        ("where", change.filter.clone()),
        ("delivery", text(change.delivery.as_str())),
        ("fill_null", Some(change.fill_null.to_string())),
        ("writable", Some(change.writable.to_string())),
        ("on_error", text(change.on_error.as_str())),
        ("on_failure", text(change.on_failure.as_str())),
    ]
}

/// A value as a person compares it, cut where it is long.
fn shown(value: Option<&str>) -> String {
    const MOST: usize = 120;
    let Some(value) = value else { return "absent".to_owned() };
    let mut text: String = value.chars().take(MOST).collect();
    if text.len() < value.len() {
        text.push_str("..");
    }
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\ncolumn = \"c\"\n\
        type = \"TEXT\"\nvalue = \"a\"\n";

    fn parse(text: &str) -> Migration {
        Migration::parse(text, "m.toml".as_ref()).expect("a migration")
    }

    #[test]
    fn the_key_and_both_values_are_named() {
        let migration = parse(FILE);
        let cases = [
            ("value = \"a\"", "value = \"b\"", "value of change 1 (t.c) was \"a\", is \"b\""),
            ("value = \"a\"", "", "value of change 1 (t.c) was \"a\", is absent"),
            ("\"TEXT\"", "\"INT\"", "type of change 1 (t.c) was \"TEXT\", is \"INT\""),
            ("id = \"m\"", "id = \"m\"\nepoch = \"e\"", "epoch was absent, is \"e\""),
            (
                "type",
                "on_failure = \"keep\"\ntype",
                "on_failure of change 1 (t.c) was \"revert\", is \"keep\"",
            ),
        ];
        for (from, to, says) in cases {
            let other = parse(&FILE.replacen(from, to, 1));
            assert_eq!(migration.difference(&other).as_deref(), Some(says));
            assert_ne!(migration.digest, other.digest);
        }
        let second = FILE.split_once('\n').map_or("", |(_, rest)| rest).replace("\"c\"", "\"d\"");
        let two = parse(&format!("{FILE}{second}"));
        assert_eq!(migration.difference(&two).as_deref(), Some("it had 1 changes, and has 2"));
    }

    #[test]
    fn sets_are_compared_key_by_key_too() {
        const SET: &str = "id = \"m\"\n[[change]]\nkind = \"or_set\"\ntable = \"t\"\nsource = \"s\"\n\
            format = \"json\"\nadds = \"a\"\nremoves = \"r\"\nview = \"v\"\n";
        let set = parse(SET);
        let child = "source_table = \"c\"\nelement = \"e\"\n";
        let cases = [
            ("\"json\"", "\"csv\"", "format of change 1 (t.s) was \"json\", is \"csv\""),
            ("\"a\"", "\"b\"", "adds of change 1 (t.s) was \"a\", is \"b\""),
            (
                "source = \"s\"\nformat = \"json\"\n",
                child,
                "source of change 1 (t.s) was \"s\", is absent",
            ),
            (
                "format",
                "on_failure = \"keep\"\nformat",
                "on_failure of change 1 (t.s) was \"revert\", is \"keep\"",
            ),
        ];
        for (from, to, says) in cases {
            let other = parse(&SET.replacen(from, to, 1));
            assert_eq!(set.difference(&other).as_deref(), Some(says));
            assert_ne!(set.digest, other.digest);
        }
        let says = "kind of change 1 (t.s) was \"or_set\", is \"column\"";
        assert_eq!(set.difference(&parse(FILE)).as_deref(), Some(says));
        let default = parse(&format!("{SET}on_failure = \"revert\"\n"));
        assert_eq!((set.difference(&default), set.digest), (None, default.digest));
    }

    #[test]
    fn comments_and_defaults_make_no_difference() {
        let migration = parse(FILE);
        let other = parse(&format!("# a comment\n{FILE}on_failure = \"revert\"\n"));
        assert_eq!(migration.difference(&other), None);
        assert_eq!(migration.digest, other.digest);
    }
}
