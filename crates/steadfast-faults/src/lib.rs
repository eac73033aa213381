//! Fault scenarios and their evaluation: the plan of a run, the ledger of what happened, the verdict and the report.
//!
//! A [`scenario`] is a text file written by an operator. With a seed it becomes a plan: who takes part and which faults
//! are injected when. The lab executes the plan and writes event records. The [`ledger`] reconciles them, and
//! [`verdict`] says whether the guarantees were kept, violated, or not tested. [`link`] is the model of a connection
//! into which faults are injected. This crate starts no process, waits for nothing and moves no bytes: steadfast-lab
//! executes plans on real processes, and steadfast-sim drives links in virtual time.

pub mod check;
pub mod counted;
pub mod history;
pub mod ledger;
pub mod link;
pub mod metrics;
pub mod quantity;
pub mod report;
pub mod samples;
pub mod scenario;
pub mod topology;
pub mod toxic;
pub mod verdict;
