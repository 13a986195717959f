//! From a migration file and a database to a `Plan`: a value that can be printed and is exactly
//! what `run` executes. Writes nothing.

mod choose;
mod error;
mod resolve;
mod triggers;

pub use error::PlanError;
pub use resolve::{Resolved, resolve};
pub use triggers::UserTrigger;
