//! `[requires]`: what a run needs from the machine.

use crate::scenario::model::link::Via;

/// `[requires]`: without one of these the scenario is skipped, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// One of these ways to break links must be usable; empty if none is needed.
    pub any_of: Vec<Via>,
    /// Programs that must be in the search path.
    pub programs: Vec<String>,
    /// The user must be root on the machine.
    pub needs_root: bool,
}
