//! The shell of the log: carries out the log machine's orders and brings what it says to the cores.
//!
//! Owns the one writer thread, the files or the memory behind it, and the ring to the cores. Decides nothing about
//! what is stored, answered or removed: `steadfast_hub::log` does. Called by the server, which starts one
//! [`LogService`] and gives each core its [`CoreLog`], and by the command line, which looks at a directory with
//! [`tool`].

mod error;
mod files;
mod handle;
mod memory;
mod ring;
mod service;
mod storage;
pub mod tool;
mod writer;

pub use self::error::{LogError, damage_text};
pub use self::handle::CoreLog;
pub use self::ring::{RingLimits, Taken};
pub use self::service::{CloseError, LogService, LogSetup, LogStatus, Store};
