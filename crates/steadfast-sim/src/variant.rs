//! What a run simulates in addition to its seed.

use crate::engine_kind::EngineKind;
use crate::planted_bug::PlantedBug;

/// What a run simulates in addition to its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// The engine of the gateways.
    pub engine: EngineKind,
    /// A guarantee that the run breaks deliberately.
    pub planted_bug: Option<PlantedBug>,
}
