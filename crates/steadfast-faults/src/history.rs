//! The stored form of an event log: lines of text, from which a run is evaluated and rendered again.
//!
//! The first line is [`FORMAT`] with the seed. Then follow one line for each planned fault, one for each event record,
//! and a last line with both counts, by which an incomplete file is detected. A record is its instant in nanoseconds,
//! its source, and what happened: `12000000 c4 published 3`. The sources are `c` (a client), `f` (a fault) and `i` (an
//! instance) with their ids, or `run` and `lab`. Text that others wrote is last in its line, as a JSON string.
//!
//! [`lines`] writes the form and [`HistoryReader`] reads it. A log of another plan is rejected: its ids would name other
//! participants.

mod read;
mod write;

pub use read::{HistoryError, HistoryReader};
pub use write::lines;

/// The name and the version of the format, at the start of the first line.
pub const FORMAT: &str = "lab-history/1";

/// The longest line in bytes, without its end. The longest text in a record is a reason of a few hundred bytes.
pub const LINE_BYTES_MAX: usize = 65_536;
