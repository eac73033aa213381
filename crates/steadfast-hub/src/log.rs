//! The log: orders publications, keeps them, and answers what was missed.

pub mod io;
