//! The rows of JSON-RPC: calls of the client library compared with other clients, and the latency of the bridge compared
//! with a plain relay.
//!
//! Contains their plan, samples, table and targets; a process of its own measures them.

pub(crate) mod measure;
pub(crate) mod plan;
pub(crate) mod results;
pub(crate) mod table;
pub(crate) mod targets;
