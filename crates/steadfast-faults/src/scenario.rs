//! Scenarios: TOML files of the format `lab/1` that define the participants, the faults and the checks.
//!
//! [`model::Scenario::parse`] turns text into a valid scenario, or into an error with file, line and column. With a
//! seed, a scenario becomes a [`plan`].

mod builtin;
pub mod expr;
pub mod model;
mod params;
mod parse;
pub mod plan;
pub mod publish_schedule;
pub mod role;
pub mod routes;
pub mod select;
mod table;
pub mod template;
mod units;
mod validation;

pub use params::ScenarioOptions;
pub use parse::TEXT_LEN_MAX;
