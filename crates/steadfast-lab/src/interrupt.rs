//! The request to end a run early. The run heals its faults and ends its processes before it returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request that any thread can make, once; all clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Requests the end of the run.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was requested.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
