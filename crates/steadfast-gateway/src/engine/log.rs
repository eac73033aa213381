//! The shell of the log: executes the outputs of the log's state machine.
//!
//! Owns the writer thread, its files, and the threads that execute operations of the storage. `steadfast_log` decides what is stored, returned and removed.
//! Called by the server with [`start()`], and by the command line, which checks and repairs a directory with [`tool`].

pub mod disk;
mod error;
mod files;
mod random;
mod start;
mod storage;
pub mod tool;
mod writer;

pub use self::error::LogError;
pub use self::start::{start, start_on};
