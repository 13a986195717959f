//! Pure functions from rows to what is written: no I/O, no clock, no threads.

pub mod cohort;
pub mod dot;
pub mod or_set;
