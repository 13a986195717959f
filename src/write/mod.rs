//! The single writer: each batch, its checkpoint and the fencing token in one transaction, in order.
//! Decides nothing about speed: it is told which range to write, and tells how long it held the
//! lock and whether anybody else wrote meanwhile.

mod apply;
mod apply_set;
mod drain;
mod error;
mod fill;
mod index;
pub mod or_set;
mod prepare;
mod prepare_set;
mod reship;
mod seed;
mod session;

pub use apply::{AppliedCount, Applier, Place, Slice, pending_rows};
pub use apply_set::{Difference, SetApplier, is_clocked, ours_of};
pub use drain::{Drained, Drainer, Then, any_dirty, dirty_rows};
pub use error::WriteError;
pub use fill::{BatchCount, Filler};
pub use index::{PreparedIndex, build_index, drop_index, prepare_index};
pub use prepare::{Prepared, prepare};
pub(crate) use prepare_set::replace_view;
pub use prepare_set::{PreparedSet, prepare_fed_set, prepare_set};
pub use reship::Reship;
pub use seed::Seeder;
pub use session::{Committed, Session, connect, wal_pages};
