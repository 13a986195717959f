//! The real cr-sqlite extension, fetched by `tools/crsqlite` once per test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static EXTENSION: OnceLock<PathBuf> = OnceLock::new();

/// The loadable extension. Panics with what `tools/crsqlite` said when it cannot be had: a test
/// that claims cr-sqlite is never skipped.
pub fn extension() -> &'static Path {
    EXTENSION.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/crsqlite");
        let output = Command::new(&script)
            .output()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", script.display()));
        assert!(
            output.status.success(),
            "tools/crsqlite failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let stdout = String::from_utf8(output.stdout).expect("tools/crsqlite prints a path");
        PathBuf::from(stdout.trim_end())
    })
}
