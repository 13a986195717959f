//! Backfills tables of CRDT-replicated `SQLite` databases without melting the cluster.
pub mod migration;
pub mod db;
pub mod layout;
pub mod state;
pub mod split;
pub mod transform;
pub mod plan;
pub mod monitor;
pub mod throttle;
