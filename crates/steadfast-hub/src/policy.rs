//! Settings that are valid by construction, one module per component.

pub mod hub;
