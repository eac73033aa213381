//! What can go wrong, and what is true afterwards: scenarios, the ledger of a run, its verdict and its report.
//!
//! A [`scenario`] is text that people write; with a seed it becomes a plan: who takes part, and what is broken when.
//! A host carries the plan out and writes down facts. The [`ledger`] balances them, and [`verdict`] says whether the
//! promises were kept, broken, or not put to the test. Nothing here starts, waits for or breaks anything: the failure
//! lab does that on real processes.

pub mod check;
pub mod ledger;
pub mod metrics;
pub mod quantity;
pub mod report;
pub mod roster;
pub mod samples;
pub mod scenario;
pub mod verdict;
