//! The limits file: what it may say, and what happens when it changes under a running job.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

/// A limits file in a directory of its own.
struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = directory.path().join("limits.toml");
        let fixture = Self { _directory: directory, path };
        fixture.write(text);
        fixture
    }

    /// Replaces the file by renaming, as its documentation asks.
    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        written.unwrap_or_else(|error| panic!("{error}"));
    }

    fn open(&self, base: Tuning) -> (LimitsFile, Tuning) {
        LimitsFile::open(&self.path, base).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The message that refuses the file at the start, with the path as `FILE`.
    fn refusal(&self, base: Tuning) -> String {
        match LimitsFile::open(&self.path, base) {
            Ok((_, tuning)) => panic!("accepted {tuning:?}"),
            Err(error) => shown(&self.path, &error.to_string()),
        }
    }
}

fn shown(path: &Path, message: &str) -> String {
    message.replace(&path.display().to_string(), "FILE")
}

fn refusal(text: &str) -> String {
    Fixture::new(text).refusal(Tuning::default())
}

#[test]
fn every_flag_is_a_key() {
    let fixture = Fixture::new(
        "threads = 3\nhold-ms = 1\nbatch-rows-max = 1_000\nrecords-per-transaction = 100\n\
         rows-per-second = 5000\nbytes-per-second = \"1MiB\"\nwal-bytes-max = 8388608\n\
         pause-file = \"/tmp/p\"\npause-when = \"SELECT 1\"\nwindow = \"01:00-05:00[UTC]\"\n\
         stage = 12.5\n",
    );
    let want = Tuning {
        threads: 3,
        hold_ms: 1,
        batch_rows_max: 1_000,
        records_per_transaction: 100,
        rows_per_second: Some(5_000),
        bytes_per_second: Some(1 << 20),
        wal_bytes_max: 8 << 20,
        pause_file: Some(PathBuf::from("/tmp/p")),
        pause_when: Some("SELECT 1".to_owned()),
        window: "01:00-05:00[UTC]".parse().ok(),
        stage_percent: Some(12.5),
    };
    assert_eq!(fixture.open(Tuning::default()).1, want);
    assert_eq!(Fixture::new("stage = 10").open(Tuning::default()).1.stage_percent, Some(10.0));
}

#[test]
fn a_bad_file_names_line_and_remedy() {
    let keys = "the keys are threads, hold-ms, batch-rows-max, records-per-transaction, \
                rows-per-second, bytes-per-second, wal-bytes-max, pause-file, pause-when, \
                window, stage";
    let cases = [
        ("\nhold_ms = 1", "FILE:2: unknown key \"hold_ms\"; did you mean hold-ms?".to_owned()),
        ("x = 1", format!("FILE:1: unknown key \"x\"; {keys}")),
        ("stage = 5\n\nhold-ms = 0", "FILE:3: hold-ms is 0; write 1 to 1000".to_owned()),
        ("hold-ms = -1", "FILE:1: hold-ms must be a whole number, 0 or more".to_owned()),
        (
            "wal-bytes-max = \"1MiB\"",
            "FILE:1: wal-bytes-max is 1048576; write 4MiB or more".to_owned(),
        ),
        (
            "wal-bytes-max = true",
            "FILE:1: wal-bytes-max must be a size such as \"64MiB\"".to_owned(),
        ),
        (
            "pause-file = 1",
            "FILE:1: pause-file must be a text in quotes: pause-file = \"...\"".to_owned(),
        ),
        (
            "stage = \"a\"",
            "FILE:1: stage must be a number of percent, such as 10 or 0.5".to_owned(),
        ),
        ("stage = nan", "FILE:1: stage is NaN; write a number above 0, at most 100".to_owned()),
        (
            "records-per-transaction = 1001",
            "FILE:1: records-per-transaction is 1001; write 1 to 1000".to_owned(),
        ),
    ];
    for (text, want) in cases {
        assert_eq!(refusal(text), want, "{text}");
    }
    let starts = [
        ("a = 1\nhold-ms = ", "FILE:2: not valid TOML: "),
        ("hold-ms = 1\nhold-ms = 2", "FILE:2: not valid TOML: "),
        ("window = \"1\"", "FILE:1: window: \"1\" is no window; "),
        ("bytes-per-second = \"1 x\"", "FILE:1: bytes-per-second: \"1 x\" is no size"),
    ];
    for (text, want) in starts {
        let message = refusal(text);
        assert!(message.starts_with(want), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_at_the_start() {
    let fixture = Fixture::new("");
    fs::remove_file(&fixture.path).unwrap_or_else(|error| panic!("{error}"));
    let message = fixture.refusal(Tuning::default());
    assert!(message.starts_with("FILE: cannot read the limits file: "), "{message}");
    assert!(message.ends_with("; check the path and its permissions"), "{message}");
    fs::create_dir(&fixture.path).unwrap_or_else(|error| panic!("{error}"));
    let message = fixture.refusal(Tuning::default());
    assert!(message.contains("it is no regular file"), "{message}");
    let large = refusal(&"\n".repeat((64 << 10) + 1));
    assert!(large.contains("it has more than 65536 bytes"), "{large}");
}

#[test]
fn a_change_is_seen_and_a_key_that_goes_falls_back_to_its_flag() {
    let base = Tuning { hold_ms: 5, ..Tuning::default() };
    let fixture = Fixture::new("hold-ms = 1");
    let (mut limits, tuning) = fixture.open(base.clone());
    assert_eq!(tuning.hold_ms, 1);
    assert_eq!(limits.refresh(), Ok(None));
    fixture.write("hold-ms = 9");
    let changed = limits.refresh().ok().flatten();
    assert_eq!(changed.map(|tuning| tuning.hold_ms), Some(9));
    fixture.write("# the same\nhold-ms = 9");
    assert_eq!(limits.refresh(), Ok(None));
    fixture.write("");
    assert_eq!(limits.refresh(), Ok(Some(base)));
    assert_eq!(limits.refresh(), Ok(None));
}

#[test]
fn a_file_that_breaks_or_vanishes_pauses_until_it_is_whole_again() {
    let fixture = Fixture::new("hold-ms = 1");
    let (mut limits, _) = fixture.open(Tuning::default());
    let reason = |limits: &mut LimitsFile| match limits.refresh() {
        Ok(tuning) => panic!("no reason: {tuning:?}"),
        Err(reason) => shown(&fixture.path, &reason),
    };
    fixture.write("hold-ms = 0");
    let want = "limits FILE:1: hold-ms is 0; write 1 to 1000";
    assert_eq!(reason(&mut limits), want);
    assert_eq!(reason(&mut limits), want);
    fixture.write("hold-ms = 1");
    assert_eq!(limits.refresh(), Ok(None));
    fs::remove_file(&fixture.path).unwrap_or_else(|error| panic!("{error}"));
    let gone = reason(&mut limits);
    assert!(gone.starts_with("limits FILE: cannot read the limits file: "), "{gone}");
    assert_eq!(reason(&mut limits), gone);
    fixture.write("hold-ms = 3");
    let changed = limits.refresh().ok().flatten();
    assert_eq!(changed.map(|tuning| tuning.hold_ms), Some(3));
}

/// Only for users whom permissions bind; root reads everything.
#[test]
fn a_file_that_becomes_readable_again_is_read() {
    let fixture = Fixture::new("hold-ms = 1");
    let (mut limits, _) = fixture.open(Tuning::default());
    let chmod = |mode| {
        let set = fs::set_permissions(&fixture.path, fs::Permissions::from_mode(mode));
        set.unwrap_or_else(|error| panic!("{error}"));
    };
    chmod(0o000);
    let bound = fs::read(&fixture.path).is_err();
    assert_eq!(limits.refresh().is_err(), bound);
    chmod(0o600);
    assert_eq!(limits.refresh(), Ok(None));
}

#[test]
fn flags_that_lift_the_bound_of_records_lift_that_of_the_file() {
    let base = Tuning { records_per_transaction: 10_000, ..Tuning::default() };
    let fixture = Fixture::new("records-per-transaction = 5000");
    assert_eq!(fixture.open(base.clone()).1.records_per_transaction, 5_000);
    fixture.write("records-per-transaction = 10001");
    assert_eq!(fixture.refusal(base), "FILE:1: records-per-transaction is 10001; write 1 to 10000");
}
