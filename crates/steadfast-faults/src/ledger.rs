//! The book of a run: which facts were written down, and what they amount to.
//!
//! [`record`] holds the facts, [`history`] keeps them.

pub mod history;
pub mod record;
