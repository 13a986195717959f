//! From a migration file and a database to a `Plan`: a value that can be printed and is exactly
//! what `run` executes, with what every way of getting there costs. Writes nothing.

mod advice;
mod bill;
mod build_cost;
mod cells;
mod choose;
mod chunks;
mod copy;
mod cost;
mod error;
mod expression;
mod folder;
mod fullness;
mod index;
mod number;
mod record;
mod resolve;
mod resolve_index;
mod resolve_set;
mod sample;
mod schema;
mod set;
mod trial;
mod triggers;

pub use bill::{ChangePlan, Plan, PlanOptions, plan, predicted_growth};
pub use build_cost::{BuildCost, build_cost};
pub use cells::{Cells, Estimate};
pub use cost::{Cost, DIGEST_BYTES_MAX, Way};
pub use error::PlanError;
pub use expression::expression_cost;
pub use index::IndexPlan;
pub use record::{Records, record_bytes};
pub use resolve::{
    Resolved, ResolvedChange, no_values, resolve, resolve_change, resolve_shipped,
    resolve_shipped_change,
};
pub use resolve_index::{Found, ResolvedIndex, resolve_index};
pub use resolve_set::{
    ResolvedSet, closed_objects, resolve_set, resolve_set_at, resolve_shipped_set,
};
pub use schema::{SchemaStatement, schema};
pub use set::SetPlan;
pub use triggers::UserTrigger;
