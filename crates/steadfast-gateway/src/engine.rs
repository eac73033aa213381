//! The shell of the engine that orders, stores and reads the publications of a process.

pub mod log;
