//! Random histories of replicas on which old clients, new clients, operators and dotfill do anything in
//! any order, against the five promises of a migration of sets; over plain databases and over replicas
//! with the real extension.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checks;
#[path = "../common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod common;
mod crsqlite;
mod ending;
mod form;
mod jobs;
mod model;
mod plain;
mod reach;
mod seen;
mod shrink;
mod step;
mod story;
mod teller;
#[path = "../engine/watch.rs"]
#[allow(dead_code, reason = "shared with the tests of columns")]
mod watch;
mod world;
mod writes;

mod minimised;
mod over_plain_databases;
mod over_replicas_of_crsqlite;
