//! Modes, epochs and gates: which step a migration of sets may take, what every replica has to say
//! first, and the triggers of a closed epoch. Compares modes by matching, never by their order.

pub mod ack;
pub mod agreement;
mod error;
pub mod fleet;
pub mod gate;
pub mod mode;
mod reason;
pub mod version;

pub use error::PhaseError;
pub use reason::rejection;
