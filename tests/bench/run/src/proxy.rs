//! The proxy rows: the fault proxy without toxics, compared with the direct path and with a plain copy loop.
//!
//! Contains their plan, samples, table and targets; a process of its own measures them.

pub(crate) mod measure;
pub(crate) mod plan;
pub(crate) mod results;
pub(crate) mod table;
pub(crate) mod targets;
