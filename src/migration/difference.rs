//! What two migration files say differently, key by key, for people. Pure.

use super::{Change, ColumnChange, Migration};

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
            let (Change::Column(was), Change::Column(is)) = (was, is);
            let differs = keys(was).into_iter().zip(keys(is)).find(|(was, is)| was != is);
            if let Some(((key, was_value), (_, is_value))) = differs {
                return Some(format!(
                    "{key} of change {} ({}.{}) was {}, is {}",
                    n + 1,
                    was.table,
                    was.column,
                    shown(was_value.as_deref()),
                    shown(is_value.as_deref())
                ));
            }
        }
        let (was, is) = (self.changes.len(), other.changes.len());
        (was != is).then(|| format!("it had {was} changes, and has {is}"))
    }
}

/// The keys of a change that the digest covers.
fn keys(change: &ColumnChange) -> [(&'static str, Option<String>); 10] {
    let text = |text: &str| Some(text.to_owned());
    [
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
    fn comments_and_defaults_make_no_difference() {
        let migration = parse(FILE);
        let other = parse(&format!("# a comment\n{FILE}on_failure = \"revert\"\n"));
        assert_eq!(migration.difference(&other), None);
        assert_eq!(migration.digest, other.digest);
    }
}
