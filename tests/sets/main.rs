//! Changes of kind `or_set`, on real databases, called as a library; one behaviour per file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::pedantic, reason = "tests are written to be read, not to be called")]

#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that call the binary")]
mod common;
#[allow(dead_code, reason = "not every test uses all of it")]
mod set;

mod every_form_and_key_is_translated;
mod replicas_converge;
