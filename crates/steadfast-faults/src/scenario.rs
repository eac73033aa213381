//! What people write to say who takes part, what is broken, and what must hold: TOML files of the format `lab/1`.
//!
//! [`model`] is a scenario after every check; text becomes one by `parse`, and one becomes a [`plan`] by a seed.

pub mod model;
pub mod plan;
pub mod schedule;
pub mod select;
