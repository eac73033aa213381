//! Random values for the log, from the operating system.

use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};

use super::error::LogError;

/// Draws the values of one start.
pub(super) fn start_values() -> Result<StartValues, LogError> {
    Ok(StartValues {
        incarnation: u64::from_le_bytes(draw()?),
        directory: DirectoryId(draw()?),
        secret: secret()?,
    })
}

/// Draws the secret of one segment.
pub(super) fn secret() -> Result<SegmentSecret, LogError> {
    draw().map(SegmentSecret::new)
}

fn draw<const N: usize>() -> Result<[u8; N], LogError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| LogError::NoRandomness {
        reason: error.to_string(),
    })?;
    Ok(bytes)
}
