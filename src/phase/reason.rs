//! The wording of a refusal, which `RAISE` takes as a literal.

use crate::migration::{Migration, OrSetChange};

/// What a local write of the old form is told in a closed epoch:
/// `old SOURCE write rejected: TABLE is in epoch EPOCH; upgrade to VERSION and resync`.
///
/// The names are those of the migration file; without `epoch` the migration's id stands for it, and
/// without `minimum_client` the client is told to upgrade, not to what.
#[must_use]
pub fn rejection(migration: &Migration, change: &OrSetChange) -> String {
    let epoch = migration.epoch.as_deref().unwrap_or(migration.id.as_str());
    let upgrade = match &migration.minimum_client {
        Some(version) => format!("upgrade to {version}"),
        None => "upgrade".to_owned(),
    };
    format!(
        "old {} write rejected: {} is in epoch {epoch}; {upgrade} and resync",
        change.source.name(),
        change.table
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::Change;

    const SET: &str = "[[change]]\nkind = \"or_set\"\ntable = \"projects\"\nsource = \"tags\"\n\
        format = \"json\"\nadds = \"a\"\nremoves = \"r\"\nview = \"v\"\n";

    fn worded(head: &str) -> String {
        let migration = Migration::parse(&format!("{head}\n{SET}"), Path::new("m.toml"));
        let migration = migration.expect("a migration");
        let Change::OrSet(change) = &migration.changes[0] else { panic!("a set") };
        rejection(&migration, change)
    }

    #[test]
    fn the_wording_names_source_table_epoch_and_remedy() {
        assert_eq!(
            worded("id = \"m\"\nepoch = \"tags-v2\"\nminimum_client = \"4.8.0\""),
            "old tags write rejected: projects is in epoch tags-v2; upgrade to 4.8.0 and resync"
        );
        assert_eq!(
            worded("id = \"tags-or-set\""),
            "old tags write rejected: projects is in epoch tags-or-set; upgrade and resync"
        );
    }
}
