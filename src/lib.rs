//! Backfills tables of CRDT-replicated `SQLite` databases without melting the cluster.
//!
//! The pipeline, top to bottom: `migration` -> `plan` -> `split` -> `scan` -> `transform` -> `write`
//! -> `verify`, joined by `engine`.

pub mod admit;
pub mod cli;
pub mod db;
pub mod delta;
pub mod demo;
pub mod doctor;
pub mod engine;
pub mod ensure;
pub mod layout;
pub mod lease;
pub mod migration;
pub mod monitor;
pub mod phase;
pub mod plan;
pub mod scan;
pub mod split;
pub mod state;
pub mod status;
pub mod throttle;
pub mod transform;
pub mod verify;
pub mod write;
