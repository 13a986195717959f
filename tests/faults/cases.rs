//! The commands that faults meet: one line each.

/// What a scene holds before the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Rows, and users' values in a column that is there already.
    Rows,
    /// Half of a run was made, then users wrote.
    HalfRun,
    /// A run was completed, then users wrote.
    Run,
    /// Rows, users' values, and a chain of deltas from another replica.
    Deltas,
    /// The same, in which rows come again.
    Again,
    /// The same, whose keys are implied.
    Implied,
    /// A set was translated and taken through the first of its modes, as many; then users wrote.
    Modes(usize),
}

/// The tables that a case is about, and what its migration does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Plain, derived.
    Plain,
    /// Replicated by cr-sqlite, derived.
    Replicated,
    /// Replicated by cr-sqlite, published as change records.
    Native,
    /// Plain, a set.
    Set,
}

/// A command, and where it is called.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub tables: Tables,
    pub before: Before,
    /// Words with `@` are files of the scene.
    pub command: &'static str,
    /// What the command says when it is repeated although it was done; nothing where it exits 0.
    pub done: Option<&'static str>,
}

/// One test of `check` for each case.
macro_rules! each_case {
    ($check:path) => {
        each_case! { $check;
            run_on_a_plain_table: Plain, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            run_from_the_middle: Plain, HalfRun, "run @m.toml --db @t.db --batch-rows-max 7";
            run_on_a_replicated_table: Replicated, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            run_that_publishes_records: Native, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            run_that_publishes_records_from_the_middle: Native, HalfRun,
                "run @m.toml --db @t.db --batch-rows-max 7";
            run_that_closes: Plain, Rows, "run @m.toml --db @t.db --close --batch-rows-max 7";
            close_on_a_plain_table: Plain, Run, "close @m.toml --db @t.db";
            close_on_a_replicated_table: Replicated, Run, "close @m.toml --db @t.db";
            rollback_on_a_plain_table: Plain, Run,
                "rollback @m.toml --db @t.db --batch-rows-max 7";
            rollback_on_a_replicated_table: Replicated, Run,
                "rollback @m.toml --db @t.db --batch-rows-max 7";
            export_of_a_plain_table: Plain, Run, "export @m.toml --db @t.db --deltas @new";
            export_of_a_replicated_table: Replicated, Run, "export @m.toml --db @t.db --deltas @new";
            run_with_deltas: Plain, Rows,
                "run @m.toml --db @t.db --deltas @new --batch-rows-max 7",
                "holds a whole chain";
            run_with_deltas_of_a_replicated_table: Replicated, Rows,
                "run @m.toml --db @t.db --deltas @new --batch-rows-max 7",
                "holds a whole chain";
            apply_to_a_plain_table: Plain, Deltas, "apply @deltas --db @t.db --batch-rows-max 7";
            apply_to_a_replicated_table: Replicated, Deltas,
                "apply @deltas --db @t.db --batch-rows-max 7";
            apply_of_rows_that_come_again: Replicated, Again,
                "apply @deltas --db @t.db --batch-rows-max 7";
            apply_of_rows_whose_keys_are_implied: Plain, Implied,
                "apply @deltas --db @t.db --batch-rows-max 7";
            run_of_a_set: Set, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            run_of_a_set_from_the_middle: Set, HalfRun,
                "run @m.toml --db @t.db --batch-rows-max 7";
            rollback_of_a_set: Set, Modes(0), "rollback @m.toml --db @t.db --batch-rows-max 7";
            advance_of_a_set: Set, Modes(0),
                "advance @m.toml --db @t.db --alone --to read-new-write-old",
                "is in mode read-new-write-old";
            closing_of_an_epoch: Set, Modes(2),
                "advance @m.toml --db @t.db --alone --to read-new-write-new",
                "is in mode read-new-write-new";
            compaction: Set, Modes(3),
                "advance @m.toml --db @t.db --fleet @fleet --to compact-old --export @old.jsonl",
                "is in mode compact-old";
        }
    };
    ($check:path; $($name:ident: $tables:ident, $before:ident $(($modes:literal))?,
        $command:expr $(, $done:expr)?;)*) => {
        $(#[test]
        fn $name() {
            let done: Option<&str> = None $(.or(Some($done)))?;
            let tables = $crate::cases::Tables::$tables;
            let before = $crate::cases::Before::$before $(($modes))?;
            $check($crate::cases::Case { tables, before, command: $command, done });
        })*
    };
}
