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
}

/// A command, and where it is called.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub crsqlite: bool,
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
            run_on_a_plain_table: false, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            run_from_the_middle: false, HalfRun, "run @m.toml --db @t.db --batch-rows-max 7";
            run_on_a_replicated_table: true, Rows, "run @m.toml --db @t.db --batch-rows-max 7";
            close_on_a_plain_table: false, Run, "close @m.toml --db @t.db";
            close_on_a_replicated_table: true, Run, "close @m.toml --db @t.db";
            rollback_on_a_plain_table: false, Run,
                "rollback @m.toml --db @t.db --batch-rows-max 7";
            rollback_on_a_replicated_table: true, Run,
                "rollback @m.toml --db @t.db --batch-rows-max 7";
            export_of_a_plain_table: false, Run, "export @m.toml --db @t.db --deltas @new",
                "holds a whole chain";
            export_of_a_replicated_table: true, Run, "export @m.toml --db @t.db --deltas @new",
                "holds a whole chain";
            apply_to_a_plain_table: false, Deltas, "apply @deltas --db @t.db --batch-rows-max 7";
            apply_to_a_replicated_table: true, Deltas,
                "apply @deltas --db @t.db --batch-rows-max 7";
        }
    };
    ($check:path; $($name:ident: $crsqlite:expr, $before:ident, $command:expr $(, $done:expr)?;)*) => {
        $(#[test]
        fn $name() {
            let done: Option<&str> = None $(.or(Some($done)))?;
            let (crsqlite, before) = ($crsqlite, $crate::cases::Before::$before);
            $check($crate::cases::Case { crsqlite, before, command: $command, done });
        })*
    };
}
