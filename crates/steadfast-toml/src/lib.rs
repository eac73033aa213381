//! TOML files that operators write: the gateway's configuration and the lab's scenarios.
//!
//! This crate owns what both have in common: an error that names the key and shows its line ([`Source`],
//! [`FileError`]), the suggestion for a mistyped name ([`suggestion`]), and numbers with units ([`mod@unit`]).
//! The keys, their values and their meaning belong to the gateway and to steadfast-faults. It reads no file: the text is
//! an argument.

mod error;
mod source;
pub mod suggestion;
pub mod unit;

pub use error::{FileError, Problem, SourceLocation};
pub use source::{Source, summary};
