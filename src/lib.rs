//! Backfills tables of CRDT-replicated `SQLite` databases without melting the cluster.
pub mod migration;
