//! What an index is, as the schema describes it: compared by definition, never by name alone. Reads
//! the schema only.
//!
//! Terms that are columns are compared by column, collation and direction; expressions and the
//! condition by their tokens, whatever their spelling (see `sql_tokens`).

use rusqlite::{Connection, OptionalExtension};

use super::quote::text;
use super::sql_tokens::tokens;
use super::{DbError, Doing};

/// The definition of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexShape {
    /// Its table, in lower case.
    pub table: String,
    /// True where two rows may not have the same terms.
    pub unique: bool,
    /// The terms, in order.
    pub terms: Vec<IndexTerm>,
    /// The condition of a partial index, in one spelling.
    pub filter: Option<String>,
}

/// One term of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexTerm {
    /// A column in lower case, or an expression in one spelling.
    pub what: String,
    /// True for an expression.
    pub expression: bool,
    /// The collation, upper case.
    pub collation: String,
    /// True where it is stored from large to small.
    pub descending: bool,
}

impl std::fmt::Display for IndexTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if self.collation != "BINARY" {
            write!(f, " collate {}", self.collation)?;
        }
        f.write_str(if self.descending { " desc" } else { "" })
    }
}

/// What stands in the schema under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// An index.
    Index(IndexShape),
    /// Something else: a table, a view.
    Other(String),
}

impl IndexShape {
    /// What `other` has otherwise, in words: `unique: no instead of yes`; empty where the two are the
    /// same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        let list = |terms: &[IndexTerm]| {
            let terms: Vec<String> = terms.iter().map(ToString::to_string).collect();
            format!("({})", terms.join(", "))
        };
        let filter = |filter: &Option<String>| filter.clone().unwrap_or_else(|| "none".to_owned());
        [
            ("table", self.table.clone(), other.table.clone()),
            ("terms", list(&self.terms), list(&other.terms)),
            ("where", filter(&self.filter), filter(&other.filter)),
            ("unique", yes(self.unique), yes(other.unique)),
        ]
        .into_iter()
        .filter(|(_, want, got)| want != got)
        .map(|(what, want, got)| format!("{what}: {got} instead of {want}"))
        .collect()
    }
}

/// Reads what is called `name`, whatever its case.
///
/// # Errors
/// When the schema cannot be read.
pub fn named(conn: &Connection, name: &str) -> Result<Named, DbError> {
    let what = format!("read the definition of {name}");
    let found = conn
        .prepare_cached(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema \
             WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'index', 'view')",
        )
        .and_then(|mut s| {
            s.query_row([name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
            })
            .optional()
        })
        .doing(&what)?;
    let Some((kind, name, table, sql)): Option<(String, String, String, String)> = found else {
        return Ok(Named::Nothing);
    };
    if kind != "index" {
        return Ok(Named::Other(kind));
    }
    let parts = Parts::of(&sql);
    let unique = format!(
        "SELECT \"unique\" FROM pragma_index_list({}) WHERE name = ?1 COLLATE NOCASE",
        text(&table)
    );
    let unique = conn.query_row(&unique, [&name], |row| row.get(0)).doing(&what)?;
    let terms = terms(conn, &name, &parts).doing(&what)?;
    let table = table.to_ascii_lowercase();
    Ok(Named::Index(IndexShape { table, unique, terms, filter: parts.filter }))
}

fn terms(conn: &Connection, name: &str, parts: &Parts) -> rusqlite::Result<Vec<IndexTerm>> {
    let sql = format!(
        "SELECT cid, name, upper(coll), \"desc\" FROM pragma_index_xinfo({}) WHERE key \
         ORDER BY seqno",
        text(name)
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut terms = Vec::new();
    while let Some(row) = rows.next()? {
        let expression = row.get::<_, i64>(0)? == -2;
        let column = row.get::<_, Option<String>>(1)?.unwrap_or_else(|| "rowid".to_owned());
        let written = parts.terms.get(terms.len()).cloned().unwrap_or_default();
        terms.push(IndexTerm {
            what: if expression { written } else { column.to_ascii_lowercase() },
            expression,
            collation: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            descending: row.get(3)?,
        });
    }
    Ok(terms)
}

/// The parts of a CREATE INDEX, each in one spelling.
struct Parts {
    terms: Vec<String>,
    filter: Option<String>,
}

impl Parts {
    fn of(sql: &str) -> Self {
        let all = tokens(sql);
        let open = all.iter().position(|token| token == "(").unwrap_or(all.len());
        let (mut terms, mut term, mut depth) = (Vec::new(), Vec::new(), 0_usize);
        let mut rest = all.len();
        for (at, token) in all.iter().enumerate().skip(open) {
            match token.as_str() {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            match (token.as_str(), depth) {
                ("(", 1) => {}
                (")", 0) => {
                    terms.push(std::mem::take(&mut term));
                    rest = at + 1;
                    break;
                }
                (",", 1) => terms.push(std::mem::take(&mut term)),
                _ => term.push(token.clone()),
            }
        }
        let filter = all.get(rest + 1..).filter(|filter| !filter.is_empty());
        let terms = terms.iter().map(|term| bare(term).join(" ")).collect();
        Self { terms, filter: filter.map(|filter| unwrapped(filter).join(" ")) }
    }
}

/// A term without direction and collation, which are told elsewhere, and without outer parentheses.
fn bare(term: &[String]) -> &[String] {
    let mut term = match term {
        [rest @ .., last] if last == "asc" || last == "desc" => rest,
        all => all,
    };
    loop {
        let inner = match unwrapped(term) {
            [rest @ .., collate, _] if collate == "collate" => rest,
            all => all,
        };
        if inner.len() == term.len() {
            return term;
        }
        term = inner;
    }
}

/// `tokens` without the parentheses around all of them.
fn unwrapped(mut tokens: &[String]) -> &[String] {
    while let [first, inner @ .., last] = tokens {
        if first != "(" || last != ")" || !is_balanced(inner) {
            break;
        }
        tokens = inner;
    }
    tokens
}

/// True where no parenthesis is closed that was not opened among the tokens.
fn is_balanced(tokens: &[String]) -> bool {
    let mut depth = 0_i64;
    tokens.iter().all(|token| {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth >= 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, \"null\" INT)";

    fn shape(create: &str) -> IndexShape {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(TABLE).and_then(|()| conn.execute_batch(create)).expect(create);
        match named(&conn, "I").expect("a name") {
            Named::Index(shape) => shape,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_definition_in_several_spellings() {
        let same = [
            ("CREATE INDEX i ON t(a)", "create index if not exists \"I\" on \"T\" ([A] ASC)"),
            ("CREATE INDEX i ON t(b)", "CREATE INDEX i ON t(b COLLATE nocase)"),
            (
                "CREATE INDEX i ON t(lower(a), length(b)) WHERE a IS NOT NULL",
                "CREATE INDEX \"i\" ON t((\nLOWER( \"a\" )\n), ((length(b)))) -- x\n WHERE (\n\"a\" is not null\n)",
            ),
            ("CREATE INDEX i ON t((a COLLATE NOCASE))", "CREATE INDEX i ON t(a COLLATE NOCASE)"),
            ("CREATE INDEX i ON t(id)", "CREATE INDEX i ON t((\"id\"))"),
            (
                "CREATE INDEX i ON t((lower(a) COLLATE NOCASE))",
                "CREATE INDEX i ON t(lower(a) COLLATE NOCASE)",
            ),
        ];
        for (a, b) in same {
            assert_eq!(shape(a).differences(&shape(b)), Vec::<String>::new(), "{a}\n{b}");
        }
    }

    #[test]
    fn another_definition_is_told_apart_in_words() {
        let base = shape("CREATE INDEX i ON t(a, b)");
        let other = [
            ("CREATE INDEX i ON t(b, a)", "terms: (b collate NOCASE, a) instead of (a, b collate"),
            ("CREATE INDEX i ON t(a, b DESC)", "terms: (a, b collate NOCASE desc) instead of"),
            ("CREATE INDEX i ON t(a COLLATE RTRIM, b)", "terms: (a collate RTRIM, b"),
            ("CREATE INDEX i ON t(a)", "terms: (a) instead of (a, b collate NOCASE)"),
            ("CREATE UNIQUE INDEX i ON t(a, b)", "unique: yes instead of no"),
            ("CREATE INDEX i ON t(a, b) WHERE a > 'x'", "where: a > 'x' instead of none"),
            ("CREATE INDEX i ON t(lower(a), b)", "terms: (lower ( a ), b"),
            ("CREATE INDEX i ON t(a, \"null\")", "terms: (a, null) instead of"),
            ("CREATE TABLE u (a, b); CREATE INDEX i ON u(a, b)", "table: u instead of t"),
        ];
        for (sql, says) in other {
            let differences = base.differences(&shape(sql)).join("; ");
            assert!(differences.starts_with(says), "{sql}: {differences}");
        }
        let a = shape("CREATE INDEX i ON t(a) WHERE a = 'X'");
        let b = shape("CREATE INDEX i ON t(a) WHERE a = 'x'");
        assert_eq!(a.differences(&b), ["where: a = 'x' instead of a = 'X'"]);
    }

    #[test]
    fn a_name_may_be_of_something_else() {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(TABLE).expect("a table");
        assert_eq!(named(&conn, "T").expect("a name"), Named::Other("table".to_owned()));
        assert_eq!(named(&conn, "x").expect("a name"), Named::Nothing);
    }
}
