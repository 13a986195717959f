//! Who takes part: a name, the data it starts from, the value it must write and how it does so.

use crate::fixture::Layout;

/// The value that every contestant writes: cheap, about 14 bytes.
pub const CHEAP: &str = "'u' || (12345678 + id % 1000) || '-' || (id % 97)";
/// The same in Python, from `value`, the row's id.
pub const CHEAP_IN_PYTHON: &str = "'u%d-%d' % (12345678 + value % 1000, value % 97)";
/// The value for deliveries that write none.
pub const CONSTANT: &str = "'u12345678-1'";
/// A value of the same size that costs about 3 us to compute: the row through JSON, and its note
/// rewritten eight times.
pub const EXPENSIVE: &str = "substr(hex(replace(replace(replace(replace(replace(replace(replace(\
     replace(json_extract(json_object('app', app, 'region', region, 'note', note), '$.note'), \
     'A', 'xy'), 'B', 'yz'), 'C', 'zx'), 'D', 'xz'), 'E', 'zy'), 'F', 'yx'), '7', 'x'), '3', 'y')), \
     7, 14)";

/// One way to give the column its value.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    /// For the JSON and for the targets.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// What it starts from.
    pub layout: Layout,
    /// The SQL expression that every row must equal afterwards.
    pub value: &'static str,
    /// What it does.
    pub job: Job,
}

/// What a contestant does.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// `UPDATE machines SET owner = value`, in this process.
    Update(Transactions, Column),
    /// `sqlite-utils convert`, in a process of its own.
    Convert,
    /// `dotfill run`, in a process of its own.
    Dotfill(Delivery),
}

/// How the rows of an `UPDATE` are divided.
#[derive(Clone, Copy, Debug)]
pub enum Transactions {
    /// One statement.
    One,
    /// Key ranges of ten thousand rows.
    TenThousandRows,
}

/// Where the column comes from.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// It is there.
    There,
    /// `ALTER TABLE`, within the measured time.
    Added,
    /// cr-sqlite's `begin_alter` and `commit_alter`, within the measured time.
    Altered,
    /// The same, before the clock starts.
    AlteredBefore,
}

/// How dotfill is asked to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// As the migration file says it.
    pub name: &'static str,
    /// More arguments of `dotfill run`.
    pub arguments: &'static [&'static str],
}

/// dotfill as it comes, with this delivery.
pub const fn dotfill(name: &'static str) -> Job {
    Job::Dotfill(Delivery { name, arguments: &[] })
}

const fn plain(id: &'static str, name: &'static str, value: &'static str, job: Job) -> Contestant {
    Contestant { id, name, layout: Layout::Plain, value, job }
}

const fn replicated(id: &'static str, name: &'static str, job: Job) -> Contestant {
    Contestant { id, name, layout: Layout::Replicated, value: CHEAP, job }
}

const fn with_column(id: &'static str, name: &'static str, job: Job) -> Contestant {
    Contestant { id, name, layout: Layout::ReplicatedWithColumn, value: CHEAP, job }
}

/// On plain tables; the first is what the others are measured by.
pub const PLAIN: [Contestant; 6] = [
    plain(
        "plain_update",
        "UPDATE, one statement",
        CHEAP,
        Job::Update(Transactions::One, Column::Added),
    ),
    plain("plain_derive", "dotfill derive", CHEAP, dotfill("derive")),
    plain(
        "plain_update_10k",
        "UPDATE, 10k-row transactions",
        CHEAP,
        Job::Update(Transactions::TenThousandRows, Column::Added),
    ),
    plain("plain_convert", "sqlite-utils convert", CHEAP, Job::Convert),
    plain("plain_elide", "dotfill elide (constant)", CONSTANT, dotfill("elide")),
    plain("plain_virtual", "dotfill virtual", CHEAP, dotfill("virtual")),
];

/// On cr-sqlite tables; the first is what the others are measured by.
pub const REPLICATED: [Contestant; 7] = [
    replicated(
        "crsqlite_update",
        "cr-sqlite UPDATE, 10k-row tx (alter not timed)",
        Job::Update(Transactions::TenThousandRows, Column::AlteredBefore),
    ),
    replicated("crsqlite_derive", "dotfill derive, adds the column", dotfill("derive")),
    replicated(
        "crsqlite_alter_update",
        "begin_alter + commit_alter + UPDATE, 10k-row tx",
        Job::Update(Transactions::TenThousandRows, Column::Altered),
    ),
    with_column(
        "crsqlite_update_there",
        "cr-sqlite UPDATE, 10k-row tx, column there",
        Job::Update(Transactions::TenThousandRows, Column::There),
    ),
    with_column("crsqlite_derive_there", "dotfill derive, column there", dotfill("derive")),
    with_column(
        "crsqlite_native_10k",
        "dotfill native, 10k records/tx, column there",
        Job::Dotfill(Delivery {
            name: "native",
            arguments: &["--lift-limits", "--records-per-transaction", "10000"],
        }),
    ),
    with_column("crsqlite_native", "dotfill native, column there", dotfill("native")),
];

/// A transform of about 3 us per row.
pub const COSTLY: [Contestant; 2] = [
    plain(
        "expensive_update",
        "UPDATE, one statement",
        EXPENSIVE,
        Job::Update(Transactions::One, Column::Added),
    ),
    plain("expensive_derive", "dotfill derive", EXPENSIVE, dotfill("derive")),
];

impl Contestant {
    /// Whether this is one of ours.
    pub fn is_dotfill(&self) -> bool {
        matches!(self.job, Job::Dotfill(_))
    }
}
