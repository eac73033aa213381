//! What people write to say who takes part, what is broken, and what must hold: TOML files of the format `lab/1`.
//!
//! [`model::Scenario::parse`] turns text into a scenario that passed every check, or into an error with its place; with
//! a seed one becomes a [`plan`].

mod check;
pub mod expr;
pub mod model;
mod params;
mod parse;
pub mod plan;
mod problem;
pub mod schedule;
pub mod select;
mod table;
mod units;

pub use params::Choice;
pub use parse::TEXT_LEN_MAX;
pub use problem::{Place, Problem, ScenarioError};
