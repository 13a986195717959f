//! What the engine does to real databases, called as a library; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
mod job;
mod watch;

mod every_key_kind_is_filled_and_followed;
