//! The files that results are kept in, for a later look and for other programs.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads what an earlier run has written.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read; measure first", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is of another version; measure anew", path.display()))
}

/// Writes the results of a run.
pub(crate) fn write(path: &Path, results: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(results)?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
