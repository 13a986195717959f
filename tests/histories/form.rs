//! The forms in which the old client keeps a set: their tables, texts and statements; and the names of
//! objects and elements.

use dotfill::transform::dot::DotDeriver;
use rusqlite::types::ValueRef;

/// A set of elements: a bit each.
pub type Set = u8;

/// The objects that histories speak of, as numbers.
pub const KEYS: usize = 5;

/// The elements.
pub const ELEMENTS: [&str; 4] = ["a", "b", "c", "d"];

/// The key of an object.
pub fn key(object: usize) -> String {
    format!("P{object}")
}

/// The object with a key.
pub fn object(key: &str) -> usize {
    key[1..].parse().unwrap()
}

/// The number of an element.
pub fn element(name: &str) -> usize {
    ELEMENTS.iter().position(|element| *element == name).unwrap()
}

/// The elements of a set, by number.
pub fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..ELEMENTS.len()).filter(move |element| set >> element & 1 == 1)
}

/// The words of a refusal in a closed epoch.
pub const REFUSAL: &str =
    "old tags write rejected: projects is in epoch tags-v2; upgrade to 4.8.0 and resync";

/// The set whose text has a number.
fn set_of(number: usize) -> Set {
    (number % 16).to_le_bytes()[0]
}

/// True where an insert of a text says nothing.
pub fn is_empty(text: Option<usize>) -> bool {
    text.is_none_or(|number| number == 0)
}

/// The dots of the migration.
pub fn dots() -> DotDeriver {
    DotDeriver::new("tags-or-set", "projects", "tags")
}

/// How the old form is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Json,
    Csv,
    Lines,
    Rows,
}

impl Form {
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Lines, Self::Rows];
}

/// Texts: the first sixteen are the sets, the others are written carelessly.
pub const TEXTS: usize = 20;

const FLAWED: [(&str, Set); 4] =
    [("[\"a\",null,[\"b\"]]", 0b0001), ("no list", 0), ("[\"b\",\"b\"]", 0b0010), ("{\"c\":1}", 0)];

impl Form {
    /// The text with that number.
    pub fn text(self, number: usize) -> String {
        let names: Vec<&str> = members(set_of(number)).map(|e| ELEMENTS[e]).collect();
        match (self, number) {
            (Self::Json, 0..16) => serde_json::to_string(&names).unwrap(),
            (Self::Json, _) => FLAWED[number - 16].0.to_owned(),
            (Self::Csv | Self::Rows, 0..16) => names.join(","),
            (Self::Lines, 0..16) => names.join("\n"),
            (Self::Csv | Self::Rows, _) => {
                [" a , b,", ",,", "b ,b, c", ","][number - 16].to_owned()
            }
            (Self::Lines, _) => ["a \r\nb\n", "\n\n", " b\nb\nc", " "][number - 16].to_owned(),
        }
    }

    /// The elements of that text.
    pub fn elements(self, number: usize) -> Set {
        match (self, number) {
            (_, 0..16) => set_of(number),
            (Self::Json, _) => FLAWED[number - 16].1,
            _ => [0b0011, 0, 0b0110, 0][number - 16],
        }
    }

    /// True where that text holds something that is no element.
    pub fn has_flaws(self, number: usize) -> bool {
        // What is repeated in a list of words is malformed in every form.
        match self {
            Self::Json => number >= 16,
            Self::Csv | Self::Lines => number == 18,
            Self::Rows => false,
        }
    }

    /// The number of a text that stands in a row.
    pub fn number(self, text: &str) -> usize {
        (0..TEXTS)
            .find(|number| self.text(*number) == text)
            .unwrap_or_else(|| panic!("{text:?} is no text of this form"))
    }

    /// The tables of an application that knows the old form only.
    pub fn old_tables(self) -> &'static str {
        match self {
            Self::Json | Self::Csv | Self::Lines => {
                "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT, tags TEXT);"
            }
            Self::Rows => {
                "CREATE TABLE projects(id TEXT NOT NULL PRIMARY KEY, name TEXT);
                 CREATE TABLE tags(project TEXT NOT NULL, tag TEXT NOT NULL, \
                   PRIMARY KEY (project, tag));"
            }
        }
    }

    /// The names of those tables.
    pub fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Json | Self::Csv | Self::Lines => &["projects"],
            Self::Rows => &["projects", "tags"],
        }
    }

    /// The migration file.
    pub fn migration(self, old_writes: &str) -> String {
        let source = match self {
            Self::Json => "source = \"tags\"\nformat = \"json\"",
            Self::Csv => "source = \"tags\"\nformat = \"csv\"",
            Self::Lines => "source = \"tags\"\nformat = \"lines\"",
            Self::Rows => "source_table = \"tags\"\nelement = \"tag\"\nsource_key = [\"project\"]",
        };
        format!(
            "id = \"tags-or-set\"\nepoch = \"tags-v2\"\nminimum_client = \"4.8.0\"\n\n[[change]]\n\
             kind = \"or_set\"\ntable = \"projects\"\n{source}\nadds = \"project_tag_adds\"\n\
             removes = \"project_tag_removes\"\nview = \"project_tags_visible\"\n\
             old_writes = \"{old_writes}\"\nmalformed = \"skip\"\n"
        )
    }
}

/// A key or an element as dots have it.
pub fn text(value: &str) -> ValueRef<'_> {
    ValueRef::Text(value.as_bytes())
}

/// The objects that every history begins with.
pub const BEGIN: [(usize, Set); 3] = [(0, 0b0011), (1, 0b0110), (2, 0)];
