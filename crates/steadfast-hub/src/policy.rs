//! Settings that are valid by construction, one module per part.

pub mod hub;
pub mod log;
