//! From a migration file and a database to a `Plan`: a value that can be printed and is exactly
//! what `run` executes. Writes nothing.

mod choose;
mod error;
mod resolve;
mod triggers;

pub use error::PlanError;
pub use resolve::{Resolved, resolve};
pub use triggers::UserTrigger;
mod expression;
mod record;
pub use expression::expression_cost;
pub use record::{Records, record_bytes};
/// tmp
pub fn predicted_growth(
    _: &std::path::Path,
    _: &crate::migration::Migration,
) -> Result<u64, PlanError> {
    Ok(0)
}
